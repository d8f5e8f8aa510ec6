import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { BackupWatch } from '../../src/sim/backup-watch.js';
import { Scheduler } from '../../src/sim/scheduler.js';
import { VolumeHistory } from '../../src/sim/volume-history.js';

test('P3: a drain between a restore and the end of the first check says nothing of the volume before that, one after it does', async (t) => {
  const history = new VolumeHistory(2);
  const backup = new BackupWatch(new Scheduler(seededRandom(1)), seededRandom(1), {
    fail: (finding) => t.fail(finding.message),
    count() {},
  });
  const engine = { drainLoop: { drainNow: () => Promise.resolve() } } as unknown as ArrayEngine;
  /** All that was acknowledged until now was said to be drained. */
  const drained = async (): Promise<boolean> => {
    const now = history.moment();
    backup.drain(engine, history);
    await Promise.resolve();
    return backup.floor > now;
  };
  t.true(await drained());
  history.acknowledge(history.submit(0, 1, false), true);
  const { floor } = backup;
  backup.restored(history);
  t.false(await drained());
  t.is(backup.floor, floor);
  history.restored(new Array<number>(history.cells).fill(0));
  t.true(await drained());
});
