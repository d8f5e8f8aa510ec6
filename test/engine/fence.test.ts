import { readFileSync, statSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { type Clock, systemClock } from '../../src/base/clock.js';
import type { KeelsonError } from '../../src/base/errors.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { assembleArray } from '../../src/engine/assemble.js';
import { ArrayFixture, SILENT } from './array-fixture.js';
import { BlockModel } from './block-model.js';

/** Takes the members of a running array, as another host would that does not see its locks. */
function takeOver(fixture: ArrayFixture): Promise<ArrayEngine> {
  return assembleArray({
    settings: fixture.settings,
    clock: systemClock,
    log: SILENT,
    provider: (slab) => {
      const provider = createDeviceProvider(slab);
      return {
        kind: provider.kind,
        open: (path, options) => provider.open(path, { ...options, exclusive: false }),
        close: () => provider.close(),
      };
    },
  });
}

function answer(ask: (done: (error: KeelsonError | null) => void) => void): Promise<string> {
  return new Promise((resolve) => ask((error) => resolve(error?.code ?? 'acknowledged')));
}

/** What the process that has the array knows of it is there, and still there after the next start. next: the array is served again by the first one. */
async function lasts(t: ExecutionContext, fixture: ArrayFixture, model: BlockModel, engine: ArrayEngine, next: () => void): Promise<void> {
  t.deepEqual((await model.verify()).wrong, []);
  await engine.stop();
  await fixture.start();
  next();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
}

for (const journalMembers of [2, 0]) {
  test.serial(
    `P10: a process that stood still while another took its array, which has ${journalMembers} journal members, writes nothing more, acknowledges nothing and stops`,
    async (t) => {
      let stood_ms = 0;
      const clock: Clock = { ...systemClock, now: () => systemClock.now() + stood_ms };
      const fixture = await ArrayFixture.create(t, { backup: false, stripes: 6, segments: 12, journalMembers, clock });
      const first = fixture.engine;
      let engine = first;
      const model = new BlockModel(() => engine.volume, first.state.geometry.volumeBlocks);
      await model.fill();
      await first.destageLoop.drainAll();
      t.true(await model.write(1, 2));
      await model.flush();
      engine = await takeOver(fixture);
      engine.start();
      t.true(await model.write(1, 2));
      t.true(await model.write(9, 4));
      await model.flush();

      stood_ms = 1000;
      const payload = Buffer.alloc(2 * BLOCK_BYTES, 0xbb);
      t.is(await answer((done) => first.volume.write(BLOCK_BYTES, payload, false, done)), 'EPOCH_FENCED');
      t.is(await answer((done) => first.volume.write(BLOCK_BYTES, payload, true, done)), 'EPOCH_FENCED');
      t.is(await answer((done) => first.volume.flush(done)), 'EPOCH_FENCED');
      t.is(await answer((done) => first.volume.read(0, BLOCK_BYTES, (error) => done(error))), 'EPOCH_FENCED');
      t.is((await first.fatal).code, 'EPOCH_FENCED');
      await t.throwsAsync(first.checkpointer.settle(), { code: 'EPOCH_FENCED' });
      await first.stop();

      await lasts(t, fixture, model, engine, () => {
        engine = fixture.engine;
      });
    },
  );
}

test.serial('P10: what was journaled before is not written to the stripes of an array that another process has taken', async (t) => {
  let stood_ms = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + stood_ms };
  const fixture = await ArrayFixture.create(t, { backup: false, stripes: 6, segments: 12, clock });
  const first = fixture.engine;
  let engine = first;
  const model = new BlockModel(() => engine.volume, first.state.geometry.volumeBlocks);
  // Nothing is destaged before it is asked for, however long the other process takes.
  first.destageLoop.kick = () => {};
  t.true(await model.write(0, 30));
  await model.flush();
  engine = await takeOver(fixture);
  engine.start();
  t.true(await model.write(0, 20));
  await engine.destageLoop.drainAll();
  stood_ms = 1000;
  t.false(await first.destageLoop.drainAll());
  t.is(first.state.failure?.code, 'EPOCH_FENCED');
  await first.stop();
  await lasts(t, fixture, model, engine, () => {
    engine = fixture.engine;
  });
});

test.serial('P10: a process whose members somebody has made something else of writes nothing to them', async (t) => {
  let stood_ms = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + stood_ms };
  const fixture = await ArrayFixture.create(t, { backup: false, stripes: 6, segments: 12, clock });
  const { engine } = fixture;
  const before = fixture.paths.slice(6).map((path) => {
    const bytes = Buffer.alloc(statSync(path).size, 0x5a);
    writeFileSync(path, bytes);
    return bytes;
  });
  stood_ms = 1000;
  t.is(await answer((done) => engine.volume.write(0, Buffer.alloc(BLOCK_BYTES, 1), false, done)), 'EPOCH_FENCED');
  t.is((await engine.fatal).code, 'EPOCH_FENCED');
  await fixture.engine.stop();
  for (const [i, path] of fixture.paths.slice(6).entries()) t.true(readFileSync(path).equals(before[i] as Buffer));
});

test.serial('a change of the membership that is being written is not taken for another process at work', async (t) => {
  let stood_ms = 0;
  const fixture = await ArrayFixture.create(t, {
    backup: false,
    stripes: 6,
    segments: 12,
    clock: { ...systemClock, now: () => systemClock.now() + stood_ms },
  });
  const { engine } = fixture;
  let looking = true;
  const look = async (): Promise<void> => {
    for (; looking; await new Promise((turn) => setImmediate(turn))) {
      stood_ms += 1000;
      await engine.fence.pass();
      looks++;
    }
  };
  let looks = 0;
  const looked = look();
  for (let i = 0; i < 20; i++) await engine.checkpointer.fence();
  looking = false;
  await looked;
  t.true(looks > 20);
  t.is(engine.state.failure, null);
  await fixture.close();
});
