import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { systemClock } from '../../src/base/clock.js';
import { MIB } from '../../src/base/units.js';
import type { Settings } from '../../src/config/settings.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { KeelsonError } from '../../src/base/errors.js';
import { memberPaths } from '../../src/engine/assemble.js';
import { createArray } from '../../src/engine/create.js';
import type { DrainLoop } from '../../src/engine/drain-loop.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import { parseHeadName } from '../../src/repository/format/names.js';
import { type FixtureOptions, settingsOf } from '../engine/array-fixture.js';
import { imageVersions, wrongImage } from './rig/backup-image.js';
import { DurabilityModel, readVersions } from './rig/durability-model.js';
import { KEPT, type Kept, layDown, Medium } from './rig/power-failure.js';
import { assembleRecorded, type RecordedArray, vaultOf } from './rig/recorded-array.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';
import { directoryLeft, layDownDirectory } from './rig/target-failure.js';
import type { TargetLog } from './rig/target-recorder.js';
import { NEVER, WriteRecorder } from './rig/write-recorder.js';

/*
 * What kill -9 cannot show, since the page cache outlives it: the members of a running array, and its backup host with them, lose what no fdatasync covered, in every legal way, and the
 * real engine recovers from what is left. Each run is recorded once and replayed at many moments.
 */

const test = anyTest as TestFn<Scratch>;

/** Moments of each recorded run at which the power fails. KEELSON_SYSTEM_FAILURES makes it a soak. */
const FAILURES = Number(process.env.KEELSON_SYSTEM_FAILURES ?? 60);
const REQUESTS = 600;
const LANES = 6;
const SEGMENTS = 12;
const BLOCKS_MAX = 8;
const REQUESTS_PER_FLUSH = 9;
/** One recovery in this many is itself recorded, and the power fails again inside it. */
const AGAIN_ONE_IN = 3;
/** In one failure in this many, one of the journal members of their own does not come back with the power: what was flushed is on the other. */
const JOURNAL_GONE_ONE_IN = 3;
/** In one failure in this many of an array with a backup, one stripe member more than parity covers does not come back: everything has to be in the ring or on the backup. */
const STRIPES_GONE_ONE_IN = 3;
/** Ways in which the backup host loses its power at one moment. */
const HOST_WAYS = 5;
/** Requests of an array with a backup between two drains by hand, besides those that happen by themselves. */
const REQUESTS_PER_DRAIN = 90;
/** In one recovery in this many, as many members as parity covers die afterwards: what they held has to follow from the others. */
const LOSE_ONE_IN = 2;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

/** A recorded run: the members as they were when it began, everything that was written since, and what clients were told. */
interface Recording {
  readonly recorder: WriteRecorder;
  readonly model: DurabilityModel;
  readonly settings: Settings;
  /** Path -> image at the beginning. A device that was added later is not among them: it was empty. */
  readonly before: ReadonlyMap<string, Buffer>;
  /** A member that died at a moment of the run, and the device that took its place. */
  readonly replaced: Replaced | null;
  readonly target: TargetLog | null;
  /** Drains by hand that ended well: everything acknowledged by `from` is on the backup from the moment `by` on. */
  readonly drains: readonly { readonly from: number; readonly by: number }[];
}

interface Replaced {
  readonly index: number;
  readonly path: string;
  readonly diedAt: number;
  /** From here on every other member knows that it failed. */
  readonly recordedAt: number;
  readonly inPlaceAt: number;
}

async function record(t: ExecutionContext<Scratch>, random: Random, options: FixtureOptions, loseMember: boolean): Promise<Recording> {
  const folder = join(t.context.memory, 'recorded');
  mkdirSync(folder);
  const settings = settingsOf(folder, { backup: false, segments: SEGMENTS, ...options });
  await createArray({ settings, force: false, clock: systemClock, provider: (slab) => createDeviceProvider(slab, 'fs') });
  const before = new Map(memberPaths(settings).map((path) => [path, readFileSync(path)]));
  const array = await assembleRecorded(settings);
  const { engine, recorder } = array;
  const model = new DurabilityModel(engine.volume, recorder);
  const drains: { from: number; by: number }[] = [];
  const draining: Promise<unknown>[] = [];
  const drain = (): void => {
    const from = recorder.tick();
    draining.push((engine.drainLoop as DrainLoop).drainNow().then(() => drains.push({ from, by: recorder.tick() })));
  };
  let sent = 0;
  let replaced: Replaced | null = null;
  let replacing: Promise<unknown> = Promise.resolve();
  /** A member dies, the engine finds it out by itself, and later another device takes its place. */
  const lose = async (): Promise<void> => {
    const index = random.below(settings.stripe.members.length);
    const member = engine.state.members[index];
    array.provider.faults(settings.stripe.members[index] as string).kill();
    const diedAt = recorder.tick();
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    while (member?.state === 'online') await turn();
    await engine.checkpointer.settle();
    const recordedAt = recorder.tick();
    while (sent < REQUESTS / 2) await turn();
    const path = join(folder, 'replacement');
    await replaceMember(engine, String(index), path);
    replaced = { index, path, diedAt, recordedAt, inPlaceAt: recorder.tick() };
  };
  const lane = async (): Promise<void> => {
    while (sent < REQUESTS) {
      sent++;
      if (loseMember && sent === Math.floor(REQUESTS / 4)) replacing = lose();
      if (array.target !== null && sent % REQUESTS_PER_DRAIN === 0) drain();
      if (random.below(REQUESTS_PER_FLUSH) === 0) await model.flush();
      else await model.writeSomewhere(random, BLOCKS_MAX);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await replacing;
  await engine.rebuild.wait();
  await Promise.all(draining);
  const { tailSeq } = engine.journal;
  await array.close();
  t.deepEqual(model.errors, [], 'no request was refused');
  for (const log of recorder.logs.values())
    t.deepEqual(log.racing, [], 'no two writes of the same bytes are on their way to a member at once');
  if (array.target !== null) {
    t.true(tailSeq > SEGMENTS, 'every slot of the ring was given back at least once');
    t.log(`${drains.length} drains by hand, ${headsOf(array.target).length} HEADs published, the ring's tail came to segment ${tailSeq}`);
  }
  rmSync(folder, { recursive: true });
  return { recorder, model, settings, before, replaced, target: array.target, drains };
}

/** Moments at which a HEAD came into its place. */
function headsOf(target: TargetLog): number[] {
  return target.changes.filter(({ from, to }) => from !== '' && parseHeadName(to) !== null).map(({ completed }) => completed);
}

/** The moments to look at: just before and just after syncs and replies, where a promise begins to hold, and any others. */
function moments(recording: Recording, random: Random): number[] {
  const { recorder, model } = recording;
  const syncs = [...recorder.logs.values()].flatMap((log) => log.syncs.map(({ completed }) => completed)).filter((at) => at !== NEVER);
  const published =
    recording.target === null ? [] : [...headsOf(recording.target), ...recording.target.syncs.map(({ completed }) => completed)];
  const kinds = [syncs, model.replies, published].filter((of) => of.length > 0);
  const picked: number[] = [];
  // With a backup a failure takes twice the time.
  const failures = recording.target === null ? FAILURES : Math.ceil((FAILURES * 2) / 3);
  for (let i = 0; i < failures; i++) {
    const of = kinds[i % (kinds.length + 1)] ?? [1 + random.below(recorder.time)];
    picked.push(Math.max(1, (of[random.below(of.length)] as number) - random.below(2)));
  }
  return picked.sort((a, b) => a - b);
}

interface Tally {
  readonly kept: Record<string, number>;
  again: number;
  losses: number;
  journalsGone: number;
  stripesGone: number;
  volatile: number;
}

/** What has to be there after a failure. */
interface Expected {
  readonly permitted: (block: number) => ReadonlySet<number>;
  /** Everything acknowledged by this moment was said to be drained. */
  readonly floor: number;
  readonly mayFail: boolean;
  /** More stripe members are gone than parity covers. */
  readonly exposed: boolean;
}

interface Recovery {
  readonly recorder: WriteRecorder;
  readonly target: TargetLog | null;
  /** The moment after the first reading. */
  readonly readAt: number;
}

class Replay {
  readonly #t: ExecutionContext<Scratch>;
  readonly #random: Random;
  readonly #recording: Recording;
  readonly #media: Map<string, Medium>;
  readonly tally: Tally = { kept: {}, again: 0, losses: 0, journalsGone: 0, stripesGone: 0, volatile: 0 };

  constructor(t: ExecutionContext<Scratch>, random: Random, recording: Recording) {
    this.#t = t;
    this.#random = random;
    this.#recording = recording;
    const { recorder, before } = recording;
    this.#media = new Map();
    for (const [path, log] of recorder.logs) {
      const bytes = before.values().next().value?.length ?? 0;
      this.#media.set(path, new Medium(Buffer.from(before.get(path) ?? Buffer.alloc(bytes)), log));
    }
  }

  async failAt(moment: number): Promise<void> {
    const { model } = this.#recording;
    for (const medium of this.#media.values()) medium.advance(moment);
    const random = this.#random;
    // Mostly all members lose in the same manner, else each in its own.
    const common = KEPT[random.below(KEPT.length)] as Kept;
    const mixed = random.below(4) === 0;
    const permitted = model.permitted(moment, common === 'complete' && !mixed);
    const name = `seed ${SYSTEM_SEED}, power failure at ${moment} of ${this.#recording.recorder.time}, ${mixed ? 'mixed' : common}`;
    this.tally.kept[mixed ? 'mixed' : common] = (this.tally.kept[mixed ? 'mixed' : common] ?? 0) + 1;
    const folder = join(this.#t.context.memory, `failure-${moment}`);
    mkdirSync(folder);
    const images = new Map<string, Buffer>();
    for (const [path, medium] of this.#media) {
      this.tally.volatile += medium.volatileWrites;
      images.set(path, medium.left(mixed ? (KEPT[random.below(KEPT.length)] as Kept) : common, random));
    }
    const settings = this.#laidDown(folder, images, moment);
    const { target, drains } = this.#recording;
    const floor = Math.max(0, ...drains.filter(({ by }) => by <= moment).map(({ from }) => from));
    if (target !== null) await this.#layDownBackup(name, settings, target, moment, floor);
    const exposed = target !== null && random.below(STRIPES_GONE_ONE_IN) === 0;
    if (exposed) {
      this.tally.stripesGone++;
      for (const path of settings.stripe.members.slice(0, settings.stripe.parity + 1)) rmSync(path);
    }
    const { members: journal } = settings.journal;
    if (this.#recording.replaced === null && journal.length > 1 && random.below(JOURNAL_GONE_ONE_IN) === 0) {
      rmSync(journal[random.below(journal.length)] as string);
      this.tally.journalsGone++;
    }
    // With one parity, a member that dies together with the power takes blocks of torn rows with it: those are errors, and never wrong.
    const { replaced } = this.#recording;
    const mayFail = replaced !== null && moment >= replaced.diedAt && moment < replaced.recordedAt;
    const expected: Expected = { permitted, floor, mayFail, exposed };
    const recovery = await this.#recover(name, settings, expected);
    if (random.below(AGAIN_ONE_IN) === 0) await this.#failAgain(name, settings, images, recovery, expected);
    rmSync(folder, { recursive: true });
  }

  /** The backup host lost its power too, in a manner of its own, or not. P3, P7, P9: what it may have now, if everything else were gone. The last of several ways stays. */
  async #layDownBackup(name: string, settings: Settings, target: TargetLog, moment: number, floor: number): Promise<void> {
    const random = this.#random;
    const folder = vaultOf(settings);
    const { model } = this.#recording;
    for (let way = 0; way < HOST_WAYS; way++) {
      const kept = KEPT[random.below(KEPT.length)] as Kept;
      rmSync(folder, { recursive: true, force: true });
      layDownDirectory(folder, directoryLeft(target, moment, kept, random));
      try {
        const wrong = wrongImage(await imageVersions(folder, model.blocks), floor, (block, version) => model.shownBy(block, version));
        this.#t.deepEqual(wrong.slice(0, 5), [], `${name}, backup host: ${kept}: ${wrong.length} wrong`);
      } catch (error) {
        this.#t.fail(`${name}, backup host: ${kept}: P9: the backup cannot be read: ${KeelsonError.from(error).describe()}`);
      }
    }
  }

  /** The images as files; the settings that name them. */
  #laidDown(folder: string, images: ReadonlyMap<string, Buffer>, moment: number): Settings {
    const { settings, replaced } = this.#recording;
    const there = (path: string): string => join(folder, basename(path));
    for (const [path, image] of images) {
      // A device that died comes back as it was, or not at all.
      const gone = replaced !== null && path === settings.stripe.members[replaced.index] && moment >= replaced.diedAt && moment % 2 === 0;
      if (!gone) layDown(there(path), image);
    }
    const members = settings.stripe.members.map((path, index) =>
      there(replaced !== null && replaced.index === index && moment >= replaced.inPlaceAt ? replaced.path : path),
    );
    return {
      ...settings,
      stripe: { ...settings.stripe, members },
      journal: { ...settings.journal, members: settings.journal.members.map(there) },
      backup:
        settings.backup === null
          ? null
          : { ...settings.backup, target: { kind: 'file', url: `file://${there('vault')}`, path: there('vault') } },
    };
  }

  /** Recovers, reads everything, and perhaps loses members and reads everything again. Returns what was written. */
  async #recover(name: string, settings: Settings, { permitted, mayFail, exposed }: Expected): Promise<Recovery> {
    const random = this.#random;
    const recorder = new WriteRecorder();
    let array: RecordedArray;
    try {
      array = await assembleRecorded(settings, recorder);
    } catch (error) {
      this.#t.fail(`${name}: ${KeelsonError.from(error).describe()}`);
      return { recorder, target: null, readAt: 0 };
    }
    const { engine } = array;
    const { wrong, unreadable, shown } = await readVersions(engine.volume, permitted);
    if (!mayFail) wrong.push(...unreadable);
    const readAt = recorder.time;
    this.#t.deepEqual(wrong.slice(0, 5), [], `${name}: ${wrong.length} wrong`);
    const away = engine.state.records.filter(({ index, state }) => state !== 'online' && existsSync(engine.state.paths[index] as string));
    this.#t.true(this.#recording.replaced !== null || away.length === 0, `${name}: a member is left out, and none was away`);
    if (wrong.length === 0 && array.target !== null) await this.#drainAll(`${name}, then all is drained`, array, settings, shown);
    if (wrong.length === 0 && !exposed && random.below(LOSE_ONE_IN) === 0 && this.#recording.replaced === null) {
      this.tally.losses++;
      const { dataMembers, parity } = engine.state.shape;
      const first = random.below(dataMembers);
      const step = 1 + random.below(2);
      for (let i = 0; i < parity; i++) array.provider.faults(engine.state.paths[(first + i * step) % dataMembers] as string).kill();
      const after = await readVersions(engine.volume, (block) => new Set([shown[block] as number]));
      this.#t.deepEqual([...after.wrong, ...after.unreadable].slice(0, 5), [], `${name}, then ${parity} members die`);
    }
    await array.close();
    return { recorder, target: array.target, readAt };
  }

  /** P7: array and backup go on together, and then the backup alone has what the volume shows. */
  async #drainAll(name: string, { engine }: RecordedArray, settings: Settings, shown: Int32Array): Promise<void> {
    try {
      await (engine.drainLoop as DrainLoop).drainNow();
      this.#t.deepEqual(await imageVersions(vaultOf(settings), shown.length), shown, name);
    } catch (error) {
      this.#t.fail(`${name}: ${KeelsonError.from(error).describe()}`);
    }
  }

  /** The power fails inside the recovery from a power failure, and what is left is recovered. */
  async #failAgain(
    name: string,
    settings: Settings,
    images: ReadonlyMap<string, Buffer>,
    { recorder, target, readAt }: Recovery,
    expected: Expected,
  ): Promise<void> {
    const random = this.#random;
    this.tally.again++;
    const moment = 1 + random.below(Math.max(1, readAt));
    const kept = KEPT[random.below(KEPT.length)] as Kept;
    for (const [path, log] of recorder.logs) {
      const image = [...images].find(([of]) => basename(of) === basename(path))?.[1];
      if (image === undefined) continue;
      const medium = new Medium(image, log);
      medium.advance(moment);
      layDown(path, medium.left(kept, random));
    }
    const again = `${name}, again at ${moment} of ${readAt} of the recovery, ${kept}`;
    if (target !== null) await this.#layDownBackup(again, settings, target, moment, expected.floor);
    await this.#recover(again, settings, expected);
  }
}

async function recordAndReplay(t: ExecutionContext<Scratch>, options: FixtureOptions, loseMember = false): Promise<void> {
  t.timeout(600_000);
  t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the requests; the order of I/O is the machine's`);
  const random = seededRandom(SYSTEM_SEED);
  const recording = await record(t, random, options, loseMember);
  const { recorder, model } = recording;
  const writes = [...recorder.logs.values()].reduce((sum, log) => sum + log.writes.length, 0);
  t.log(
    `${model.acknowledgements} requests acknowledged, ${model.replies.length} flushes and FUA, ${writes} writes to members, ${recorder.time} events`,
  );
  const replay = new Replay(t, random, recording);
  const failures = moments(recording, random);
  for (const moment of failures) await replay.failAt(moment);
  const { kept, again, losses, journalsGone, stripesGone, volatile } = replay.tally;
  t.log(
    `${failures.length} power failures with ${volatile} unsynced writes: ${JSON.stringify(kept)}; ${again} again in recovery; ${losses} with loss of members after, ${journalsGone} with a journal member gone, ${stripesGone} with more stripe members gone than parity covers`,
  );
  t.true(volatile > 0, 'there was something to lose');
}

test.serial(
  'P2, P3, P6, P7: a power failure of array and backup host at any moment while the ring is drained and trimmed: what was flushed is there, and the backup is the volume at some moment',
  (t) => recordAndReplay(t, { backup: true, drain: { maxBytes: MIB, maxFill: 0.3 } }),
);

test.serial('P2, P6: a power failure at any moment, journal among the stripe members: what was flushed is there, and parity fits', (t) =>
  recordAndReplay(t, { dataMembers: 4, parity: 2, journalMembers: 0, copies: 3 }),
);

test.serial('P2, P10: a power failure at any moment around the loss and rebuild of a member: what was flushed is there', (t) =>
  recordAndReplay(t, { dataMembers: 4, parity: 1 }, true),
);
