import test from 'ava';
import { AlarmLog } from '../../src/engine/alarm-log.js';
import type { Alarm } from '../../src/engine/array-state.js';
import { LogLines } from './log-lines.js';

function alarm(code: string): Alarm {
  return { code, message: `${code} has come`, action: `mend ${code}` };
}

test('each alarm that is raised is one line with what to do, and each that is cleared is one', (t) => {
  const log = new LogLines();
  let alarms = [alarm('A')];
  const watch = new AlarmLog(() => alarms, log);
  watch.start();
  alarms = [{ ...alarm('A'), message: 'A goes on' }, alarm('B')];
  watch.look();
  watch.look();
  alarms = [alarm('B')];
  watch.look();
  t.deepEqual(log.lines, [
    'warn alarm raised: A has come (A, mend A)',
    'warn alarm raised: B has come (B, mend B)',
    'info alarm cleared (A)',
  ]);
});

test('what is raised and cleared in one go is no trouble, and after the end nothing is said', async (t) => {
  const log = new LogLines();
  let alarms = [alarm('A')];
  const watch = new AlarmLog(() => alarms, log);
  watch.lookSoon();
  watch.start();
  watch.lookSoon();
  alarms = [];
  watch.lookSoon();
  await Promise.resolve();
  t.deepEqual(log.lines, ['warn alarm raised: A has come (A, mend A)', 'info alarm cleared (A)']);
  watch.stop();
  alarms = [alarm('B')];
  watch.look();
  t.is(log.lines.length, 2);
});
