import { readdirSync, readlinkSync } from 'node:fs';
import test from 'ava';
import { type Clock, systemClock, type Timer } from '../../src/base/clock.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import { heldByEngine } from '../../src/sim/leftovers.js';
import { ArrayFixture } from './array-fixture.js';

/** The system's clock, and the timers that were asked for, have not run and were not cancelled. */
function countingClock(): { readonly clock: Clock; readonly timers: Set<object> } {
  const timers = new Set<object>();
  const after = (delay_ms: number, callback: () => void): Timer => {
    const key = {};
    const timer = systemClock.after(delay_ms, () => {
      timers.delete(key);
      callback();
    });
    timers.add(key);
    return {
      cancel: () => {
        timers.delete(key);
        timer.cancel();
      },
    };
  };
  return { clock: { ...systemClock, after }, timers };
}

const TURNS_MAX = 20_000;

/** What this process has open, by what it is: the numbers of pipes and sockets differ from run to run. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        // The descriptor of this very listing.
        return 'listing';
      }
    })
    .filter((path) => path !== 'listing' && !path.endsWith('/fd'))
    .sort();
}

function resources(): string[] {
  return process.getActiveResourcesInfo().sort();
}

/** Handles end some turns after they were closed. */
async function settled(same: () => boolean): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX && !same(); turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function use(fixture: ArrayFixture): Promise<void> {
  const { volume } = fixture.engine;
  const done = (ask: (answer: (error: Error | null) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => ask((error) => (error === null ? resolve() : reject(error))));
  const payload = Buffer.alloc(70_001, 7);
  for (let i = 0; i < 40; i++) await done((answer) => volume.write(i * 25_001, payload, i % 8 === 0, answer));
  await done((answer) => volume.trim(0, 65_536, false, answer));
  await done((answer) => volume.writeZeroes(100_001, 5000, false, false, answer));
  await done((answer) => volume.flush(answer));
  await new Promise<void>((resolve, reject) =>
    volume.read(12_345, 200_000, (error, read) => {
      read?.release();
      if (error === null) resolve();
      else reject(error);
    }),
  );
}

test.serial('after a stop while more members are lost than parity covers no timer is left that would try again', async (t) => {
  const { clock, timers } = countingClock();
  const fixture = await ArrayFixture.create(t, { dataMembers: 4, parity: 1, journalMembers: 2, clock });
  await use(fixture);
  fixture.kill([0, 1]);
  await new Promise<void>((resolve) => fixture.engine.volume.write(0, Buffer.alloc(4096, 1), true, () => resolve()));
  t.false(await fixture.engine.destageLoop.drainAll());
  await fixture.close();
  t.is(timers.size, 0);
});

for (const threads of [false, true]) {
  test.serial(
    `after writing, losing a member, its rebuild, draining and a stop nothing is left open: ${threads ? 'threads' : 'no threads'}`,
    async (t) => {
      const rejections: unknown[] = [];
      const take = (reason: unknown): void => void rejections.push(reason);
      process.on('unhandledRejection', take);
      t.teardown(() => process.off('unhandledRejection', take));
      const { clock, timers } = countingClock();
      const options = { dataMembers: 4, parity: 1, journalMembers: 2, threads, clock };
      // What is loaded and opened once for the life of the process is there after a first array.
      await (await ArrayFixture.create(t, options)).close();
      const files = openFiles();
      const before = resources();
      const fixture = await ArrayFixture.create(t, options);
      t.true(openFiles().length > files.length, 'an open array is seen');
      await use(fixture);
      fixture.kill([1]);
      await use(fixture);
      await replaceMember(fixture.engine, '1', fixture.newPath());
      await fixture.engine.rebuild.wait();
      await fixture.drain();
      const { engine } = fixture;
      await fixture.close();
      // At once: a timer that is left behind would end by itself some time.
      t.is(timers.size, 0);
      t.is(heldByEngine(engine), '');
      await settled(() => openFiles().length <= files.length && resources().length <= before.length);
      t.deepEqual(openFiles(), files);
      t.deepEqual(resources(), before);
      t.deepEqual(rejections, []);
    },
  );
}
