import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { loadSettings } from '../../src/config/load-settings.js';
import { faultyProvider, type FaultyProvider } from '../../src/device/fault-device.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { assembleArray, memberPaths } from '../../src/engine/assemble.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { attachBackup } from '../../src/engine/backup-attach.js';
import { createArray } from '../../src/engine/create.js';
import type { EngineLog } from '../../src/engine/log.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import type { Slab } from '../../src/memory/slab.js';
import { ArrayRig, type ArrayOptions } from './rig/array.js';
import { BlockWriter } from './rig/block-writer.js';
import { backupLowerBound, mayBeLost } from './rig/loss-bounds.js';
import { MemoryBackup } from './rig/memory-backup.js';
import { Scratch } from './rig/scratch.js';

/*
 * One process, the engine itself, members that are killed under it: every one of the combinations is cheap enough to be tried. The backup is a map in memory that counts
 * what is fetched; the real one is tried by restore.test.ts and drain-openssh.test.ts.
 */
const test = anyTest as TestFn<Scratch>;

const SEED = Number(process.env.KEELSON_SYSTEM_SEED ?? Date.now() % 0x1_0000_0000);
/** Part of the volume that is used: some twenty stripes. */
const REGION_BYTES = 5 * MIB;
const LANES = 8;
/** Acknowledged writes before the loss, and after it (when the array still takes writes). */
const WRITES_BEFORE = 300;
const WRITES_AFTER = 150;
/** One way takes about a second; a way that takes this long hangs, and nothing after it can be trusted. */
const WAY_TIMEOUT_MS = 45_000;
const QUIET: EngineLog = { debug() {}, info() {}, warn() {}, error() {} };

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

interface Rig {
  readonly engine: ArrayEngine;
  readonly provider: FaultyProvider;
  readonly backup: MemoryBackup;
  readonly paths: readonly string[];
  readonly folder: string;
}

async function rig(scratch: Scratch, outside: boolean): Promise<Rig> {
  const folder = scratch.memory;
  const options: ArrayOptions = {
    stripeMembers: [0, 1, 2, 3, 4, 5].map((i) => join(folder, `data-${i}`)),
    ...(outside ? { journalMembers: [0, 1].map((i) => join(folder, `journal-${i}`)) } : {}),
    journalCopies: outside ? 2 : 3,
    memberSize: outside ? '24MiB' : '56MiB',
    journalSize: '32MiB',
    segment: '1MiB',
    backup: { url: `file://${join(folder, 'unused')}` },
    drain: { maxAge: '1h', maxBytes: '1GiB', maxFill: 0.95, onDegraded: false },
  };
  const settings = loadSettings(new ArrayRig(scratch, options).config);
  await createArray({ settings, force: true, clock: systemClock, provider: (slab) => createDeviceProvider(slab) });
  const made: { provider?: FaultyProvider; backup?: MemoryBackup } = {};
  const engine = await assembleArray({
    settings,
    clock: systemClock,
    log: QUIET,
    provider(slab: Slab) {
      made.provider = faultyProvider(createDeviceProvider(slab), slab);
      made.backup = new MemoryBackup(slab);
      return made.provider;
    },
  });
  const { provider, backup } = made as Required<typeof made>;
  attachBackup(engine, backup);
  engine.start();
  if (!(await engine.link?.connect())) throw new Error('the backup does not open');
  return { engine, provider, backup, paths: memberPaths(settings), folder };
}

function drainNow(engine: ArrayEngine): Promise<void> {
  return engine.drainLoop?.drainNow() ?? Promise.reject(new Error('no backup is attached'));
}

/** Something drained, something in the stripes but not drained, something in the ring alone; then the members die while writes go on. */
async function writeAndLose(made: Rig, writer: BlockWriter, lost: readonly number[], seed: number): Promise<void> {
  const { engine, provider, paths } = made;
  const random = seededRandom(seed);
  for (let first = 0; first < writer.blocks; first += 64) await writer.write(first, Math.min(64, writer.blocks - first));
  await writer.flush();
  await drainNow(engine);
  let target = writer.acknowledgements + WRITES_BEFORE;
  await writer.load(random, LANES, () => writer.acknowledgements >= target);
  await engine.destageLoop.drainAll();
  target += WRITES_BEFORE;
  const loading = writer.load(random, LANES, () => writer.acknowledgements >= target + WRITES_AFTER);
  while (writer.acknowledgements < target) await new Promise<void>((turn) => setImmediate(turn));
  for (const index of lost) provider.faults(paths[index] as string).kill();
  await loading;
}

async function replaceAll(made: Rig, lost: readonly number[]): Promise<void> {
  for (const index of lost) await replaceMember(made.engine, String(index), join(made.folder, `new-${index}`));
  await made.engine.rebuild.wait();
}

function combinations(of: number, size: number): number[][] {
  if (size === 0) return [[]];
  const sets: number[][] = [];
  for (let last = size - 1; last < of; last++) for (const rest of combinations(last, size - 1)) sets.push([...rest, last]);
  return sets;
}

/** Runs one way to lose members and returns what went wrong. `total`: nothing at all may be lost. */
async function tryLoss(
  t: ExecutionContext<Scratch>,
  outside: boolean,
  lost: readonly number[],
  total: boolean,
): Promise<{ failures: string[]; lostBlocks: number }> {
  const made = await rig(t.context, outside);
  const { engine, backup } = made;
  const what = `loss of ${lost.join(', ')}: `;
  const failures: string[] = [];
  const complain = (when: string, wrong: readonly string[]): void => {
    if (wrong.length > 0) failures.push(`${what}${when}: ${wrong.length} wrong, first ${wrong[0]}`);
  };
  let lostBlocks = 0;
  try {
    const tolerance = arrayStatus(engine).tolerance.devices;
    if (tolerance !== (outside ? 4 : 2)) failures.push(`${what}tolerance of the whole array is ${tolerance}`);
    const writer = new BlockWriter(engine.volume, REGION_BYTES / BLOCK_BYTES);
    await writeAndLose(made, writer, lost, SEED);
    const forgiven = (block: number): boolean => !total && mayBeLost(engine, lost, block);
    const online = await writer.verify(forgiven);
    complain('online, before any rebuild', online.wrong);
    lostBlocks = online.unreadable;

    await engine.destageLoop.drainAll();
    const bound = backupLowerBound(engine, writer.blocks);
    backup.fetchedBlocks = 0;
    await replaceAll(made, lost);
    if (total && backup.fetchedBlocks > Math.ceil(bound * 1.1))
      failures.push(`${what}${backup.fetchedBlocks} blocks fetched from the backup, the lower bound is ${bound}`);
    complain('after the rebuild', (await writer.verify(forgiven)).wrong);
    const after = arrayStatus(engine);
    if (after.state !== 'online') failures.push(`${what}state ${after.state} after the rebuild`);

    // The rebuilt members are whole, parity too: four others that die now are covered by them.
    if (total) {
      const others = [0, 1, 2, 3, 4, 5].filter((index) => !lost.includes(index)).slice(0, 2);
      for (const index of others) made.provider.faults(made.paths[index] as string).kill();
      complain(`after the rebuild and the loss of ${others.join(', ')}`, (await writer.verify()).wrong);
    }
  } catch (error) {
    failures.push(`${what}${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    await engine.stop();
    for (const index of lost) rmSync(join(made.folder, `new-${index}`), { force: true });
    for (const path of made.paths) rmSync(path, { force: true });
  }
  return { failures, lostBlocks };
}

async function tryAll(t: ExecutionContext<Scratch>, outside: boolean, sets: readonly number[][], total: boolean): Promise<void> {
  t.timeout(600_000);
  t.log(`seed ${SEED}, ${sets.length} ways`);
  const failures: string[] = [];
  let lossy = 0;
  for (const lost of sets) {
    const limit = new AbortController();
    const hung = delay(WAY_TIMEOUT_MS, null, { signal: limit.signal });
    const result = await Promise.race([tryLoss(t, outside, lost, total), hung]);
    if (result === null) return t.fail(`loss of ${lost.join(', ')} hangs; before it: ${failures.slice(0, 5).join('\n')}`);
    limit.abort();
    hung.catch(() => undefined);
    failures.push(...result.failures);
    if (result.lostBlocks > 0) lossy++;
  }
  t.log(`${lossy} of the ways lost something`);
  t.deepEqual(failures.slice(0, 10), [], `${failures.length} failures`);
}

test.serial(
  'P8: each of the 70 ways to lose 4 of 8 members (4+2, two journal members) while writes go on loses no acknowledged write',
  (t) => tryAll(t, true, combinations(8, 4), true),
);

test.serial(
  'P9: of the 56 ways to lose 5 of 8 members, only what was not drained and has no copy left is lost, and nothing stale is read',
  (t) => tryAll(t, true, combinations(8, 5), false),
);

test.serial('P8: each of the 21 ways to lose 1 or 2 of six members with three journal copies among them loses no acknowledged write', (t) =>
  tryAll(t, false, [...combinations(6, 1), ...combinations(6, 2)], true),
);

test.serial(
  'P9: of the 20 ways to lose 3 of six members with three journal copies among them, only what was not drained and has no copy left is lost',
  (t) => tryAll(t, false, combinations(6, 3), false),
);
