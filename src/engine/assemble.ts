import type { Clock } from '../base/clock.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { Settings } from '../config/settings.js';
import type { SegmentSeq } from '../base/units.js';
import type { DeviceProvider } from '../device/device.js';
import type { Journal } from '../journal/journal.js';
import { recoverJournal } from '../journal/recovery.js';
import { endIsKnown } from '../journal/ring-end.js';
import { IntegrityTable } from '../member/integrity.js';
import { finishRaise, type FoundMember, makeMember, openMember } from '../member/member.js';
import type { ArrayShape, Checkpoint, Member, MemberRecord, RingEnd } from '../member/member-api.js';
import { assessMembership, type Membership, refuseDoubtful } from '../member/membership.js';
import { computeLayout } from '../member/layout.js';
import { bitCount } from '../member/stripe-bitmap.js';
import { allocating } from '../memory/allocation.js';
import type { HostMemory } from '../memory/host-memory.js';
import { Slab } from '../memory/slab.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import { loadAddon } from '../native/load.js';
import { createStripePool } from '../stripe/pool.js';
import type { StripePool, StripePoolOptions } from '../stripe/stripe-pool.js';
import { ArrayEngine } from './array-engine.js';
import { ArrayState } from './array-state.js';
import { systemRandom } from './create.js';
import { withLastResort } from './last-resort.js';
import type { EngineLog } from './log.js';
import { describePlace, pathOfAbsent, raiseRebuilding } from './member-names.js';
import { requireServingMemory, requireSlabMemory } from './memory-need.js';
import { planSlab, stripeThreads } from './slab-plan.js';
import { distrustTouchedRows, lostBeforeCrashFrom } from './torn-rows.js';
import { TrackedPool } from './tracked-pool.js';

const ASSEMBLY_REGION_BYTES = 4 * 1024 * 1024;

export interface AssembleOptions {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly provider: (slab: Slab) => DeviceProvider;
  /** Assembled to be filled by a restore, not to be served. */
  readonly restoring?: boolean;
  /** How stripe workers do their I/O, the same kind as the provider's. */
  readonly pool?: (options: StripePoolOptions) => Promise<StripePool>;
  /** Stripe threads that the slab is divided for; left out: as this machine has them. The same everywhere in the simulator. */
  readonly stripeThreads?: number;
  readonly random?: Random;
  /** The memory that this process may have. Left out: as much as it takes. */
  readonly memory?: HostMemory;
}

/** Paths of the members in index order: data members, then journal members of their own. */
export function memberPaths(settings: Settings): string[] {
  return [...settings.stripe.members, ...settings.journal.members];
}

/** A short tag of the array in every journal batch: batches of an earlier array on the same device are not taken for ours. */
export function arrayTagOf(uuid: string): number {
  const bytes = Buffer.from(uuid);
  return loadAddon().crc32c(bytes, 0, bytes.length, 0);
}

/**
 * Members -> running array: opens and judges the members, raises the epoch, loads bitmap and checksums, recovers the journal, and writes every stripe that a crash may
 * have torn again before its parity is trusted (P6). The movers are not started yet. Throws KeelsonError: ARRAY_*, MEMBER_*, JOURNAL_*, DEVICE_BUSY.
 */
export async function assembleArray(options: AssembleOptions): Promise<ArrayEngine> {
  const { settings, log } = options;
  if (options.memory !== undefined) requireSlabMemory(settings.memory.slabBytes, options.memory);
  const slab = Slab.allocate(settings.memory.slabBytes);
  const provider = options.provider(slab);
  const region = slabRegion(slab, 0, ASSEMBLY_REGION_BYTES);
  const found: FoundMember[] = [];
  try {
    for (const path of memberPaths(settings)) found.push(await openMember(provider, path, region));
    const busy = found.find((member) => member.error?.code === 'DEVICE_BUSY');
    if (busy?.error) {
      throw new KeelsonError('DEVICE_BUSY', `${busy.path} is in use by another process`, {
        found: busy.error.message,
        expected: 'members that nobody else holds',
        action: 'stop the other server (keelson stop), or whatever has the device open',
        exit: EXIT.refused,
      });
    }
    const membership = assessMembership(found);
    refuseDoubtful(membership);
    checkShape(settings, membership.shape);
    return await assembleFrom(options, slab, provider, membership, found);
  } catch (error) {
    for (const member of found) await member.device?.close();
    await provider.close();
    log.debug({ error: KeelsonError.from(error).describe() }, 'assembly failed');
    throw withLastResort(KeelsonError.from(error), settings);
  }
}

function checkShape(settings: Settings, shape: ArrayShape): void {
  const mismatch = (key: string, found: string | number, expected: string | number): never => {
    throw new KeelsonError('CONFIG_MISMATCH', `the configuration does not describe this array: ${key}`, {
      found: String(found),
      expected: `${expected}, as the array was created`,
      action: `correct ${key} in ${settings.file}`,
      exit: EXIT.usage,
    });
  };
  if (settings.stripe.members.length !== shape.dataMembers)
    mismatch('stripe.members', `${settings.stripe.members.length} members`, `${shape.dataMembers} members`);
  if (settings.journal.members.length !== shape.journalMembers)
    mismatch('journal.members', `${settings.journal.members.length} members`, `${shape.journalMembers} members`);
  if (settings.stripe.parity !== shape.parity) mismatch('stripe.parity', settings.stripe.parity, shape.parity);
  if (settings.stripe.chunkBytes !== shape.chunkBytes) mismatch('stripe.chunk', settings.stripe.chunkBytes, shape.chunkBytes);
  const { ringBytes, segmentBytes } = settings.journal;
  // Left out they are fitted when the array is made, so any is right.
  if (segmentBytes !== null && segmentBytes !== shape.segmentBytes) mismatch('journal.segment', segmentBytes, shape.segmentBytes);
  if (ringBytes !== null && ringBytes !== shape.ringBytes) mismatch('journal.size', ringBytes, shape.ringBytes);
  if (settings.journal.copies !== shape.journalCopies) mismatch('journal.copies', settings.journal.copies, shape.journalCopies);
  if (settings.name !== shape.name) mismatch('name', settings.name, shape.name);
}

/** An array that a restore has not filled, or whose ring nobody would ever drain, is not served. */
function checkProtection(settings: Settings, state: ArrayState, restoring: boolean): void {
  if (state.protection === 'seeding' && !restoring) {
    throw new KeelsonError('RESTORE_UNFINISHED', 'the restore of this array did not finish', {
      found: 'members without the whole image',
      action: 'keelson restore --force',
      exit: EXIT.unavailable,
    });
  }
  if (state.protection !== 'full' || settings.backup !== null) return;
  throw new KeelsonError('CONFIG_MISMATCH', 'the array keeps a backup, and the configuration has none', {
    found: `no [backup] in ${settings.file}`,
    expected: 'the [backup] section that the array was created with',
    action: 'put it back; without it nothing would ever leave the ring',
    exit: EXIT.usage,
  });
}

interface Cast {
  readonly members: (Member | null)[];
  readonly records: MemberRecord[];
  readonly paths: string[];
}

/** Who plays which part: usable devices by index, the others missing or failed as the newest member table has them. */
function cast(settings: Settings, membership: Membership, log: EngineLog): Cast {
  const { shape, verdicts, checkpoint } = membership;
  const configured = memberPaths(settings);
  const total = shape.dataMembers + shape.journalMembers;
  const members: (Member | null)[] = new Array<Member | null>(total).fill(null);
  const records: MemberRecord[] = [];
  const paths: string[] = [];
  for (let index = 0; index < total; index++) {
    const record = checkpoint.members.find((row) => row.index === index);
    if (record === undefined)
      throw new KeelsonError('ARRAY_TABLE', `the member table has no row for member ${index}`, {
        exit: EXIT.unavailable,
      });
    const verdict = verdicts.find(({ verdict: kind, record: row }) => kind === 'usable' && row?.index === index);
    paths.push(verdict?.found.path ?? pathOfAbsent(membership, configured, index));
    if (verdict?.found.device && verdict.found.superblock) {
      const state = record.state === 'rebuilding' ? 'rebuilding' : 'online';
      members[index] = makeMember(verdict.found.device, verdict.found.superblock, state, record.rebuiltStripes);
      records.push({ ...record, state });
    } else records.push({ ...record, state: record.state === 'failed' ? 'failed' : 'missing' });
  }
  for (const { verdict, found, problem } of verdicts) {
    if (verdict === 'usable') continue;
    log.warn({ path: found.path, verdict, problem: problem?.describe() }, 'device left out');
  }
  return { members, records, paths };
}

async function assembleFrom(
  options: AssembleOptions,
  slab: Slab,
  provider: DeviceProvider,
  membership: Membership,
  found: readonly FoundMember[],
): Promise<ArrayEngine> {
  const { settings, log } = options;
  const { shape, checkpoint } = membership;
  const { members, records, paths } = cast(settings, membership, log);
  for (const { device, path } of found)
    if (device && !members.some((member) => member?.device === device)) log.debug({ path }, 'closing a device that is left out');
  await Promise.all(
    found.map(({ device }) => (device && !members.some((member) => member?.device === device) ? device.close() : undefined)),
  );

  const threads = options.stripeThreads ?? stripeThreads();
  const plan = planSlab(slab, shape.segmentBytes, shape.chunkBytes * shape.dataMembers, threads);
  const layout = dataLayout(members, shape);
  const memory = requireServingMemory(shape, settings.memory.slabBytes, bitCount(checkpoint.stripeBitmap), options.memory, log);
  const integrity = allocating('the checksums of the stripe members', memory.full.integrityBytes, () =>
    records
      .slice(0, shape.dataMembers)
      .map(({ uuid, index }) => new IntegrityTable(layout, { arrayUuid: shape.arrayUuid, memberUuid: uuid, index })),
  );
  const state = new ArrayState(shape, membership.epoch, members, records, paths, integrity, Uint8Array.from(checkpoint.stripeBitmap));
  state.protection = checkpoint.protection;
  state.publishEpoch = checkpoint.publishEpoch ?? 0;
  checkProtection(settings, state, options.restoring === true);
  raiseAlarms(state, membership);
  if (memory.short !== null) state.raise('MEMORY_SHORT', memory.short, 'give this host more memory before more of the volume is written');
  await loadIntegrity(state, slabRegion(slab, plan.segmentBuffersAt, plan.segmentBuffers * shape.segmentBytes), checkpoint.destagedSeq);
  state.lost.scan();
  if (checkpoint.lost) {
    const rebuilt = (member: number): number => members[member]?.rebuiltStripes ?? 0;
    state.lost.restore(checkpoint.lost, (member, stripe) => state.integrityKnown[member] === 1 || stripe < rebuilt(member));
  }

  const makePool = options.pool ?? createStripePool;
  const pool = new TrackedPool(
    await makePool({
      context: {
        geometry: state.geometry,
        slab: slab.shared,
        dataOffset: new Float64Array(shape.dataMembers).fill(layout.dataOffset),
        integrity: integrity.map((table) => table.shared),
        io: provider.kind === 'fs' ? 'fs' : 'ring',
      },
      scratch: plan.stripeScratch,
    }),
  );
  try {
    const arrayTag = arrayTagOf(shape.arrayUuid);
    const engine = new ArrayEngine({
      settings,
      slab,
      plan,
      provider,
      state,
      pool,
      clock: options.clock,
      random: options.random ?? systemRandom,
      log,
      arrayTag,
      generation: checkpoint.generation,
    });
    await recover(engine, membership, arrayTag, log);
    return engine;
  } catch (error) {
    await pool.close();
    throw error;
  }
}

/** The layout of a data member: the same on all of them, since it follows from the shape alone. */
function dataLayout(members: readonly (Member | null)[], shape: ArrayShape) {
  const there = members.find((member) => member !== null && member.index < shape.dataMembers);
  if (there) return there.superblock.layout;
  return computeLayout({
    role: shape.journalMembers === 0 ? 'both' : 'data',
    chunkBytes: shape.chunkBytes,
    stripes: shape.stripes,
    journalBytes: shape.journalMembers === 0 ? shape.ringBytes : 0,
  });
}

function raiseAlarms(state: ArrayState, membership: Membership): void {
  for (const record of state.records) {
    if (record.state === 'rebuilding') raiseRebuilding(state, record.index);
    if (record.state !== 'missing' && record.state !== 'failed') continue;
    const path = state.paths[record.index] as string;
    const problem = membership.verdicts.find(({ found }) => found.path === path)?.problem;
    const why = problem ? `: ${problem.message} (${problem.code})` : '';
    const place = describePlace(path, record.uuid);
    state.raise(`MEMBER_FAILED_${record.index}`, `member ${record.index} (${place}) is ${record.state}${why}`);
    if (problem?.code === 'MEMBER_STALE') state.returned.add(record.index);
  }
}

/** Checksums of the stripes that were ever written. A page that is lost makes its blocks erasures: read, they are reconstructed and repaired. */
async function loadIntegrity(state: ArrayState, region: SlabRegion, destagedSeq: SegmentSeq): Promise<void> {
  for (let i = 0; i < state.shape.dataMembers; i++) {
    const member = state.members[i];
    const table = state.integrity[i] as IntegrityTable;
    if (!member) {
      state.integrityKnown[i] = 0;
      table.cover(state.bitmap, state.geometry.rows);
      continue;
    }
    // Of a member under rebuild only what lies below its mark is known: above, its zone holds what was never flushed, or nothing at all.
    if (member.state === 'rebuilding') state.integrityKnown[i] = 0;
    const loaded = await table.load(member.device, state.bitmap, state.geometry.rows, region, destagedSeq);
    if (member.state === 'rebuilding') table.forgetFrom(member.rebuiltStripes * state.geometry.rows);
    member.readErrors += loaded.readErrors;
    if (member.state !== 'rebuilding') member.checksumErrors += loaded.lostPages.length;
  }
}

async function recover(engine: ArrayEngine, membership: Membership, arrayTag: number, log: EngineLog): Promise<void> {
  const { state, journal, parts } = engine;
  const { checkpoint } = membership;
  const started = parts.clock.now();
  const report = await recoverJournal(
    journal,
    parts.slab,
    // Nobody reads yet: the read area takes the copies of a segment.
    parts.plan.reads,
    {
      tailSeq: checkpoint.tailSeq,
      destagedSeq: checkpoint.destagedSeq,
      drainedSeq: checkpoint.drainedSeq,
      knownLsn: Math.max(checkpoint.destagedLsn, checkpoint.drainedLsn),
      tailLsn: Math.min(checkpoint.destagedLsn, checkpoint.drainedLsn),
      arrayTag,
      volumeBlocks: state.geometry.volumeBlocks,
    },
    (seq) =>
      checkpoint.cleanShutdown ||
      endIsKnown(
        checkpoint.ring ?? ringEndByTable(journal, state, checkpoint),
        seq,
        journal.onlineMask(),
        journal.members.length,
        state.shape.journalCopies,
      ),
  );
  engine.destager.resume(journal.headSeq);
  for (const block of report.lostBlocks) {
    const place = journal.index.lookup(block);
    if (place >= 0) state.damagedInRing.set(place, journal.table.seqOfPlace(place));
  }
  state.lostBeforeCrashFrom = lostBeforeCrashFrom(state, checkpoint);
  // Before the first checkpoint, which has to say so when members are lost that the rows counted on.
  distrustTouchedRows(engine);
  await finishLastRaise(engine, membership);
  // Nothing may be written before every member that is there knows the new epoch (P10).
  await engine.checkpointer.fence();
  state.lostBeforeCrashFrom = lostBeforeCrashFrom(state, checkpoint);
  await engine.replicator.run();
  engine.trustAfter(journal.headSeq);
  // What it cannot apply stays in the ring: status says why (DESTAGE_BLOCKED).
  await engine.destageLoop.drainAll();
  const ms = Math.round(parts.clock.now() - started);
  log.info(
    { segments: report.segments, batches: report.batches, lastLsn: report.lastLsn, ms, clean: checkpoint.cleanShutdown },
    'journal recovered',
  );
}

/** The last bump may have been interrupted: what it wrote to some members is written to all, or those that fail now are failed. */
async function finishLastRaise(engine: ArrayEngine, membership: Membership): Promise<void> {
  const { checkpoint, epoch, verdicts } = membership;
  // Without the table of the newest epoch there is nothing to bring anybody up to.
  if (checkpoint.epoch !== epoch) return;
  const members = engine.state.present().map((member) => ({
    member,
    checkpoint: verdicts.find(({ found }) => found.device === member.device)?.found.checkpoint ?? null,
  }));
  const failures = await finishRaise(members, checkpoint, engine.parts.plan.meta);
  for (const [i, error] of failures.entries())
    if (error !== null) await engine.failMember((members[i] as (typeof members)[number]).member, error);
}

/** Of a checkpoint that does not say it: segments went to the members that its table calls there. */
function ringEndByTable(journal: Journal, state: ArrayState, checkpoint: Checkpoint): RingEnd {
  let positions = 0;
  journal.members.forEach((_, position) => {
    const record = checkpoint.members.find(({ index }) => index === state.journalPositions()[position]);
    if (record?.state === 'online' || record?.state === 'rebuilding') positions |= 1 << position;
  });
  return { headSeq: 0, positions: positions >>> 0, short: [], more: false };
}
