import { availableParallelism, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { attempt } from './rig/command.js';

const DEMO = fileURLToPath(new URL('../../bench/demo.js', import.meta.url));
/** The promise is two minutes on a machine that does nothing else; a busy one gets twice that. */
const SECONDS_MAX = 240;
/** The demonstration itself says when it hangs. */
const HANGS_MS = 20 * 60_000;

test('P4, P5, P7, P8, P9: npm run demo tells its story to the end, nothing differs, and it does not take long', async (t) => {
  t.timeout(HANGS_MS);
  const { status, stdout, stderr } = await attempt(process.execPath, [DEMO], { timeout_ms: HANGS_MS });
  t.log(stdout);
  t.is(status, 0, stdout + stderr);
  t.regex(stdout, /beyond-parity/);
  t.regex(stdout, /rebuilt: .*every block as written/);
  t.regex(stdout, /exactly LSN \d+.*every block as written/);
  t.notRegex(stdout, /WRONG/);
  const seconds = Number(/Nothing differed\. ([\d.]+) s in all/.exec(stdout)?.[1]);
  // Where others run as well, each has its share of the processors.
  const share = Math.min(1, availableParallelism() / (loadavg()[1] as number));
  t.true(seconds * share < SECONDS_MAX, `it took ${seconds} s`);
});
