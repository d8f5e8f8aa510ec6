import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, MIB } from '../base/units.js';
import type { Device } from '../device/device.js';
import { syncDevice } from '../device/promise-io.js';
import { INTEGRITY_REGION_BYTES, IntegrityTable } from '../member/integrity.js';
import { makeMember, writeNewMember } from '../member/member.js';
import { RingTwin } from '../journal/ring-twin.js';
import type { Checkpoint, Member, MemberRecord, Superblock } from '../member/member-api.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import { loadAddon } from '../native/load.js';
import { MemberCopy } from '../rebuild/member-copy.js';
import type { ArrayEngine } from './array-engine.js';
import { clearMemberAlarms } from './member-names.js';
import type { RebuildProgress } from './rebuild-runner.js';
import type { CopyBytes } from './replacements.js';
import { scrubStripe } from './scrub-stripe.js';

/** With no more stripes left than this the last pass is made while nobody else works on stripes. */
const LAST_STRIPES_MAX = 64;
/** Passes after which it is made anyway: clients change stripes faster than they are copied. */
const PASSES_MAX = 16;
const BUSY_PAUSE_MS = 2;
/** Memory of the data under way: several small chunks at a time, or one large. */
const COPY_BYTES_MIN = MIB / 2;

/** A device that is to take the place of a member which is online. No table lists it before it holds everything. */
export interface Successor {
  readonly old: Member;
  readonly device: Device;
  readonly superblock: Superblock;
  /** The checkpoint that makes it a member, of this moment. */
  readonly checkpoint: () => Checkpoint;
}

/** What the successor gets before it is the member: its part of the stripes, and what its position of the ring has. */
interface Filling {
  readonly stripes: StripePart | null;
  readonly ring: RingTwin | null;
  readonly done: CopyBytes;
}

interface StripePart {
  readonly copy: MemberCopy;
  /** The same entries, to be written to the successor under its own identity. */
  readonly table: IntegrityTable;
  readonly region: SlabRegion;
}

/**
 * Fills the successor from the member that it is to replace, which stays the member meanwhile: it is read, it is written, and parity counts on it. Of the ring the successor gets
 * each new batch beside it, and copies of the segments before. In the end, while nobody works on stripes, the last changes are copied, data and checksums are flushed on the
 * successor, and one raise of the epoch puts its UUID into the table. A crash before that leaves the old member what it was. Resolves to the new member; null: the old one is not
 * online any more, and the successor has to be rebuilt like any other device. Rejects with what the successor fails with.
 */
export async function replaceOnline(engine: ArrayEngine, successor: Successor): Promise<Member | null> {
  const { old } = successor;
  const { replacements, state, journal } = engine;
  const holdsStripes = old.index < state.shape.dataMembers;
  const memory = holdsStripes ? await copyMemory(engine) : null;
  const filling = newFilling(engine, successor, memory?.offset ?? null);
  try {
    const work = run(engine, successor, filling);
    replacements.copies.set(old.index, { copy: filling.done, startedAt: engine.parts.clock.now(), ended: work });
    const member = await work;
    if (member === null) return null;
    if (filling.stripes !== null) await scrubBad(engine, member, filling.stripes.copy.bad);
    replacements.copied.set(member, { ...copyProgress(engine, old.index), secondsLeft: 0 } as RebuildProgress);
    return member;
  } finally {
    if (filling.ring !== null) journal.twins.delete(filling.ring.position);
    replacements.copies.delete(old.index);
    state.onChanged.delete(old.index);
    memory?.release();
  }
}

function newFilling(engine: ArrayEngine, successor: Successor, memory: number | null): Filling {
  const { old, device, superblock } = successor;
  const { slab } = engine.parts;
  const position = engine.state.journalPositions().indexOf(old.index);
  const ring = position < 0 ? null : new RingTwin(position, makeMember(device, superblock, 'online', 0));
  const bytes = copyBytes(engine);
  const stripes =
    memory === null
      ? null
      : {
          copy: newCopy(engine, successor, slabRegion(slab, memory, bytes)),
          table: successorTable(engine, successor),
          region: slabRegion(slab, memory + bytes, INTEGRITY_REGION_BYTES),
        };
  return { stripes, ring, done: stripes?.copy ?? { copiedBytes: 0, totalBytes: 0 } };
}

/** Of the copy of this member, as of a rebuild: everything comes from the survivor that it replaces. null: there is none. */
export function copyProgress({ replacements, parts }: ArrayEngine, index: number): RebuildProgress | null {
  const running = replacements.copies.get(index);
  if (running === undefined) return null;
  const { copiedBytes, totalBytes } = running.copy;
  const seconds = (parts.clock.now() - running.startedAt) / 1000;
  return {
    doneBytes: copiedBytes,
    totalBytes,
    fromSurvivors: copiedBytes,
    fromParity: 0,
    fromJournal: 0,
    fromBackup: 0,
    secondsLeft: copiedBytes === 0 ? null : (seconds / copiedBytes) * (totalBytes - copiedBytes),
    lostBlocks: 0,
  };
}

async function run(engine: ArrayEngine, successor: Successor, filling: Filling): Promise<Member | null> {
  const { old, device } = successor;
  const { state, journal } = engine;
  const { stripes, ring } = filling;
  if (ring !== null) journal.attachTwin(ring);
  if (stripes !== null) {
    state.onChanged.set(old.index, (stripe) => {
      stripes.copy.changed(stripe);
      stripes.table.markStripe(stripe, state.geometry.rows);
    });
  }
  try {
    if (stripes !== null) {
      for (let passes = 0; stripes.copy.left > LAST_STRIPES_MAX && passes < PASSES_MAX; passes++) await stripes.copy.pass(false);
      await flushTable(engine, device, stripes);
    }
    for (;;) {
      if (ring !== null) await fillRing(engine, old, ring, filling.done);
      const member = await engine.locks.alone(async () => {
        if (stripes !== null) await stripes.copy.pass(true);
        await syncDevice(device);
        if (stripes !== null) await flushTable(engine, device, stripes);
        return exchange(engine, successor, filling);
      });
      if (member !== null) return member;
    }
  } catch (error) {
    if (state.members[old.index] === old && old.state !== 'online') return null;
    throw error;
  }
}

/** What the old member's position held before the twin got all of it, and what it was given since from other copies. */
async function fillRing(engine: ArrayEngine, old: Member, twin: RingTwin, done: CopyBytes): Promise<void> {
  const { journal, replicator } = engine;
  const segmentBytes = journal.segmentBlocks * BLOCK_BYTES;
  for (let missing = twin.missing(journal); missing.length > 0; missing = twin.missing(journal)) {
    done.totalBytes += missing.length * segmentBytes;
    for (const seq of missing) {
      requireCopying(engine, old);
      await replicator.copyTo(twin, seq);
      if (twin.error !== null) throw twin.error;
      done.copiedBytes += segmentBytes;
    }
  }
}

/** The successor holds everything: it becomes the member, with the next raise of the epoch. null: its position of the ring has more by now. */
async function exchange(engine: ArrayEngine, successor: Successor, { stripes, ring }: Filling): Promise<Member | null> {
  const { old, device, superblock, checkpoint } = successor;
  const { state, parts, journal } = engine;
  const { index, role } = old;
  if (state.members[index] !== old || old.state !== 'online') throw notOnline(index);
  // Of this epoch: a raise during the copy would have left it behind.
  const present = { ...superblock, epoch: state.epoch, generation: superblock.generation + 1 };
  await engine.replacements.inTurn(() => writeNewMember(device, present, checkpoint(), parts.plan.admission));
  const member = ring?.member ?? makeMember(device, present, 'online', 0);
  member.superblock = present;
  const record: MemberRecord = { index, uuid: present.memberUuid, role, state: 'online', rebuiltStripes: 0 };
  let exchanged = false;
  let settled = (): void => {};
  const durable = new Promise<void>((resolve) => {
    settled = resolve;
  });
  const round = engine.checkpointer.exchange(() => {
    if (state.members[index] !== old || old.state !== 'online') return;
    if (ring !== null && (ring.error !== null || ring.missing(journal).length > 0)) return;
    exchanged = true;
    state.records[index] = record;
    state.members[index] = member;
    if (stripes !== null) state.integrity[index] = stripes.table;
    if (ring !== null) {
      journal.exchangeTwin(ring);
      ring.durableWith(durable);
    }
    state.paths[index] = device.path;
    state.whyFailed.set(old, new KeelsonError('MEMBER_REPLACED', `its place is given to ${device.path}`));
    old.state = 'failed';
    clearMemberAlarms(state, index);
  });
  await round.finally(settled);
  if (exchanged) return member;
  if (state.members[index] !== old || old.state !== 'online') throw notOnline(index);
  if (ring?.error) throw ring.error;
  return null;
}

/** What the old member could not give, and the others could not at once, is written again from them. */
async function scrubBad(engine: ArrayEngine, member: Member, stripes: Iterable<number>): Promise<void> {
  const { state } = engine;
  for (const stripe of stripes) {
    if (engine.writes.refusal !== null) return;
    if (state.isUntrusted(stripe) || state.members[member.index] !== member) continue;
    await scrubStripe(engine, stripe);
  }
  // They were the old device's.
  member.checksumErrors = 0;
}

function newCopy(engine: ArrayEngine, { old, device }: Successor, region: SlabRegion): MemberCopy {
  const { state, parts } = engine;
  const { index } = old;
  return new MemberCopy(
    {
      geometry: state.geometry,
      member: index,
      kernels: loadAddon(),
      entries: (state.integrity[index] as IntegrityTable).entries,
      dataOffset: old.superblock.layout.dataOffset,
      lock: (stripes) => engine.lock(stripes),
      unlock: (hold) => engine.locks.release(hold),
      recover: async (blocks, pages) => {
        await parts.pool.recover({ members: state.memberView(), blocks, pages, repair: false });
      },
      pace: async () => {
        requireCopying(engine, old);
        if (engine.volume.inFlight > 0) await new Promise<void>((resolve) => parts.clock.after(BUSY_PAUSE_MS, resolve));
      },
    },
    old.device,
    device,
    region,
    state.bitmap,
  );
}

function requireCopying({ writes, state }: ArrayEngine, old: Member): void {
  if (writes.refusal !== null) throw stopping(old.index);
  if (state.members[old.index] !== old || old.state !== 'online') throw notOnline(old.index);
}

function successorTable({ state }: ArrayEngine, { old, superblock }: Successor): IntegrityTable {
  const { index } = old;
  const identity = { arrayUuid: state.shape.arrayUuid, memberUuid: superblock.memberUuid, index };
  return new IntegrityTable(superblock.layout, identity, state.integrity[index] as IntegrityTable);
}

async function flushTable(engine: ArrayEngine, device: Device, { table, region }: StripePart): Promise<void> {
  const error = await table.flush(device, engine.state.epoch, region, engine.checkpointer.stripesReach);
  if (error !== null) throw error;
}

/** Of the memory for slow reads: a chunk and more for data, and room for checksums. */
function copyMemory(engine: ArrayEngine): Promise<{ offset: number; release: () => void }> {
  const pages = (copyBytes(engine) + INTEGRITY_REGION_BYTES) / BLOCK_BYTES;
  return new Promise((resolve) => {
    engine.fetchPages.allocate(pages, (offset) => resolve({ offset, release: () => engine.fetchPages.free(offset, pages) }));
  });
}

function copyBytes({ state }: ArrayEngine): Bytes {
  return Math.max(state.geometry.chunkBytes, COPY_BYTES_MIN);
}

function notOnline(index: number): KeelsonError {
  return new KeelsonError('MEMBER_FAILED', `member ${index} failed while it was copied`, {
    action: 'its successor is rebuilt from the others: keelson status',
  });
}

function stopping(index: number): KeelsonError {
  return new KeelsonError('SHUTTING_DOWN', 'the server is stopping', {
    found: 'a member that is being copied to another device',
    action: `member ${index} is what it was; give the same command again when the server runs: the copy begins anew`,
  });
}
