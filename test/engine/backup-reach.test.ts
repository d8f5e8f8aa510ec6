import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { ManualClock } from '../nbd/manual-clock.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { LogLines } from './log-lines.js';

const SMALL: FixtureOptions = { dataMembers: 4, parity: 1, journalMembers: 2, stripes: 4 };
const A_MINUTE_MS = 60_000;

/** Nothing can be opened at the backup's place. */
function takeAway(fixture: ArrayFixture): () => void {
  const vault = join(fixture.folder, 'vault');
  renameSync(vault, `${vault}-away`);
  writeFileSync(vault, '');
  return () => {
    rmSync(vault);
    renameSync(`${vault}-away`, vault);
  };
}

function codes(fixture: ArrayFixture): string[] {
  return arrayStatus(fixture.engine).alarms.map(({ code }) => code);
}

test('a backup that was never reached is not said to protect: status, tolerance, alarm, log and drain --wait say so', async (t) => {
  const log = new LogLines();
  const fixture = await ArrayFixture.create(t, { ...SMALL, log });
  const model = new BlockModel(() => fixture.engine.volume, 8);
  await model.write(0, 4);
  await fixture.drain();
  t.is(arrayStatus(fixture.engine).drain.state, 'idle');
  t.is(arrayStatus(fixture.engine).tolerance.devices, 3);
  await fixture.engine.stop();
  const bringBack = takeAway(fixture);
  await fixture.start();
  const { drain, tolerance } = arrayStatus(fixture.engine);
  t.is(drain.state, 'unreachable');
  t.is(drain.answeredSecondsAgo, null);
  t.is(drain.undrainedBytes, 0);
  t.is(tolerance.devices, 1, 'the parity alone');
  t.regex(tolerance.because, /out of reach/);
  t.deepEqual(codes(fixture), ['BACKUP_UNREACHABLE']);
  t.is(log.of('(BACKUP_UNREACHABLE').length, 1, 'raised, in the log, though nothing had to be drained');
  const [alarm] = arrayStatus(fixture.engine).alarms;
  t.notRegex(alarm?.message ?? '', /\([A-Z_]+\)|do:/, 'the code and what to do are said once, beside the message');
  const control = arrayControl(fixture.engine);
  for (const wait of [true, false]) {
    const error = await t.throwsAsync(
      control.drain(wait, () => undefined),
      { instanceOf: KeelsonError },
      `nothing to drain, wait ${wait}`,
    );
    t.regex(error?.code ?? '', /^BACKUP_/);
  }
  bringBack();
  t.like(await control.drain(true, () => undefined), { drainedLsn: drain.drainedLsn });
  t.is(arrayStatus(fixture.engine).drain.state, 'idle');
  t.is(arrayStatus(fixture.engine).tolerance.devices, 3);
  await fixture.close();
});

test('before the first answer the backup is not reached yet: nothing rests on it, and nothing is alarmed', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine } = fixture;
  const { link } = engine;
  if (link === null) return t.fail('there is a backup');
  Object.defineProperty(link, 'isOpen', { value: false });
  Object.defineProperty(link, 'reach', { value: 'connecting' });
  const { drain, tolerance } = arrayStatus(engine);
  t.is(drain.state, 'connecting');
  t.is(tolerance.devices, 1);
  t.regex(tolerance.because, /has not answered yet/);
  t.deepEqual(codes(fixture), []);
  await fixture.close();
});

test('drain --wait with nothing to drain holds the backup to what was left there', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const model = new BlockModel(() => fixture.engine.volume, 8);
  await model.write(0, 4);
  await fixture.drain();
  const answers = fixture.engine.link?.answers ?? 0;
  const control = arrayControl(fixture.engine);
  await control.drain(true, () => undefined);
  t.is(fixture.engine.link?.answers, answers + 1, 'the host was asked');
  const vault = join(fixture.folder, 'vault');
  for (const name of readdirSync(vault)) if (name.startsWith('HEAD-')) rmSync(join(vault, name));
  const error = await t.throwsAsync(
    control.drain(true, () => undefined),
    { instanceOf: KeelsonError },
  );
  t.is(error?.code, 'BACKUP_CHANGED');
  t.is(arrayStatus(fixture.engine).drain.state, 'unreachable');
  await fixture.close();
});

test('a backup host that goes away while nothing is drained is missed within a minute, and the log has when it went and came back', async (t) => {
  const clock = new ManualClock();
  const log = new LogLines();
  const fixture = await ArrayFixture.create(t, { ...SMALL, clock, log });
  const { link } = fixture.engine;
  const bringBack = takeAway(fixture);
  t.is(arrayStatus(fixture.engine).drain.state, 'idle');
  const failed = new Promise<void>((resolve) => {
    const before = link?.failed.bind(link);
    Object.assign(link as object, {
      failed: (error: KeelsonError) => {
        before?.(error);
        resolve();
      },
    });
  });
  clock.advance(A_MINUTE_MS);
  await failed;
  t.is(arrayStatus(fixture.engine).drain.state, 'unreachable');
  t.true((arrayStatus(fixture.engine).drain.answeredSecondsAgo ?? 0) >= 60);
  clock.advance(1000);
  t.is(log.of('alarm raised').filter((line) => line.includes('(BACKUP_UNREACHABLE')).length, 1, 'nobody asked for a status');
  bringBack();
  // The first joins an attempt that may have begun while it was away.
  t.true((await link?.connect()) || (await link?.connect()));
  clock.advance(1000);
  t.is(log.of('alarm cleared (BACKUP_UNREACHABLE)').length, 1);
  const timers = clock.pending;
  t.true(timers > 0);
  const stopped = fixture.close();
  await stopped;
  t.is(clock.pending, 0, 'no timer is left');
});
