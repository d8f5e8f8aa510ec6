import { fileURLToPath } from 'node:url';
import test from 'ava';
import { attempt } from './rig/command.js';

const DEMO = fileURLToPath(new URL('../../bench/demo.js', import.meta.url));
/** The promise is two minutes on a machine that does nothing else; a busy one gets twice that. */
const SECONDS_MAX = 240;

test('P4, P5, P7, P8, P9: npm run demo tells its story to the end, nothing differs, and it does not take long', async (t) => {
  t.timeout(SECONDS_MAX * 2000);
  const { status, stdout, stderr } = await attempt(process.execPath, [DEMO], { timeout_ms: SECONDS_MAX * 1500 });
  t.log(stdout);
  t.is(status, 0, stdout + stderr);
  t.regex(stdout, /beyond-parity/);
  t.regex(stdout, /rebuilt: .*every block as written/);
  t.regex(stdout, /exactly LSN \d+.*every block as written/);
  t.notRegex(stdout, /WRONG/);
  const seconds = Number(/Nothing differed\. ([\d.]+) s in all/.exec(stdout)?.[1]);
  t.true(seconds < SECONDS_MAX, `it took ${seconds} s`);
});
