import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { scratchFolder } from '../device/scratch-files.js';
import { ROOT } from '../house/source-files.js';
import { attempt } from './rig/command.js';
import { buildProgram, checkSources, exportSources, kernelSources } from './rig/native-build.js';
import { SYSTEM_SEED } from './rig/seed.js';

const SECONDS = Number(process.env.KEELSON_FUZZ_SECONDS ?? 20);
const CORPUS = join(ROOT, 'native', 'check', 'corpus');

/** Of this Node, or those that node-gyp fetched when the addon was built. */
function nodeHeaders(): string {
  const own = join(dirname(dirname(process.execPath)), 'include', 'node');
  if (existsSync(join(own, 'node_api.h'))) return own;
  const config = readFileSync(join(ROOT, 'build', 'config.gypi'), 'utf8');
  return join(/"nodedir": "([^"]+)"/.exec(config)?.[1] ?? '', 'include', 'node');
}

test.serial('no argument makes an entry point of the addon touch memory that is not its own', async (t) => {
  t.log(`${SECONDS} s from the kept corpus; KEELSON_SYSTEM_SEED=${SYSTEM_SEED} begins alike, KEELSON_FUZZ_SECONDS runs longer`);
  const folder = scratchFolder(t);
  const program = await buildProgram(
    folder,
    'fuzz-entry-points',
    'clang++-14',
    [...checkSources('fuzz_entry_points', 'fuzz_devices', 'fake_node_api'), ...exportSources(), ...kernelSources()],
    [
      '-O1',
      '-g1',
      '-fsanitize=fuzzer,address,undefined',
      '-fno-sanitize-recover=all',
      // Each pointer checked twice makes compiling the kernels twice as long; native-kernels.test.ts has those checks.
      '-fno-sanitize=null,object-size,pointer-overflow,alignment,vptr',
      '-DNAPI_VERSION=9',
      '-DNAPI_CPP_EXCEPTIONS',
      '-DNODE_ADDON_API_DISABLE_DEPRECATED',
      `-I${nodeHeaders()}`,
      `-I${join(ROOT, 'node_modules', 'node-addon-api')}`,
    ],
  );
  const corpus = join(folder, 'corpus');
  cpSync(CORPUS, corpus, { recursive: true });
  const kept = readdirSync(corpus).length;
  t.true(kept > 0);
  const bounds = [`-max_total_time=${SECONDS}`, '-max_len=2048', '-timeout=20', '-rss_limit_mb=1024', `-seed=${SYSTEM_SEED}`];
  const result = await attempt(program, [...bounds, `-artifact_prefix=${folder}/`, corpus], { timeout_ms: (SECONDS + 60) * 1000 });
  const found = readdirSync(folder).filter((name) => /^(crash|leak|timeout|oom)-/.test(name));
  const inputs = found.map((name) => `${name} ${readFileSync(join(folder, name)).toString('base64')}`);
  t.is(result.status, 0, `${result.stderr.slice(-6000)}\ninputs, in base64:\n${inputs.join('\n')}`);
  t.deepEqual(found, []);
  const runs = Number(/^Done (\d+) runs/m.exec(result.stderr)?.[1] ?? 0);
  t.log(`${runs} runs`);
  t.true(runs > kept, result.stderr.slice(-2000));
});
