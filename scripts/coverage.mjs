// npm run coverage [-- --seconds N] [--min N]: the lines of src that the tests of npm test and the simulator run, together. Last lines: the figure of each folder of the data path.
// System tests are not in it: what they alone reach is in docs/testing.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runAva } from './count-tests.mjs';
import { reportCoverage } from './coverage-report.mjs';
import { root, setUp } from './set-up.mjs';

const { seconds, min } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, min: { type: 'string', default: '95' } },
}).values;
setUp();
const raw = mkdtempSync(join(tmpdir(), 'keelson-coverage-'));
// From a known seed: what is covered differs little from run to run.
const stress = ['dist/src/cli/main.js', 'stress', '--seed', '1', '--seconds', seconds];
const env = { ...process.env, NODE_V8_COVERAGE: raw };
const { failed } = await runAva([], { NODE_V8_COVERAGE: raw });
const simulated = spawnSync(process.execPath, stress, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
const low = reportCoverage(raw, 'dist', Number(min));
rmSync(raw, { recursive: true, force: true });
process.exitCode = failed === 0 && simulated.status === 0 && low === 0 ? 0 : 1;
