import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, MIB } from '../base/units.js';
import type { Device } from '../device/device.js';
import { syncDevice } from '../device/promise-io.js';
import { INTEGRITY_REGION_BYTES, IntegrityTable } from '../member/integrity.js';
import { makeMember, writeNewMember } from '../member/member.js';
import type { Checkpoint, Member, MemberRecord, Superblock } from '../member/member-api.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import { loadAddon } from '../native/load.js';
import { MemberCopy } from '../rebuild/member-copy.js';
import type { ArrayEngine } from './array-engine.js';
import { clearMemberAlarms } from './member-names.js';
import type { RebuildProgress } from './rebuild-runner.js';

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

/**
 * Fills the successor from the member that it is to replace, which stays the member meanwhile: it is read, it is written, and parity counts on it. In the end, while nobody works
 * on stripes, the last changes are copied, data and checksums are flushed on the successor, and one raise of the epoch puts its UUID into the table. A crash before that leaves the old
 * member what it was. Resolves to the new member; null: the old one is not online any more, and the successor has to be rebuilt like any other device. Rejects with what the successor fails with.
 */
export async function replaceOnline(engine: ArrayEngine, successor: Successor): Promise<Member | null> {
  const { old } = successor;
  const memory = await copyMemory(engine);
  try {
    const copy = newCopy(engine, successor, slabRegion(engine.parts.slab, memory.offset, copyBytes(engine)));
    const table = successorTable(engine, successor);
    const work = run(
      engine,
      successor,
      copy,
      table,
      slabRegion(engine.parts.slab, memory.offset + copyBytes(engine), INTEGRITY_REGION_BYTES),
    );
    engine.replacements.copies.set(old.index, { copy, startedAt: engine.parts.clock.now(), ended: work });
    const member = await work;
    if (member === null) return null;
    await scrubBad(engine, member, copy.bad);
    engine.replacements.copied.set(member, { ...copyProgress(engine, old.index), secondsLeft: 0 } as RebuildProgress);
    return member;
  } finally {
    engine.replacements.copies.delete(old.index);
    engine.state.onChanged.delete(old.index);
    memory.release();
  }
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

async function run(
  engine: ArrayEngine,
  successor: Successor,
  copy: MemberCopy,
  table: IntegrityTable,
  region: SlabRegion,
): Promise<Member | null> {
  const { old, device } = successor;
  const { state } = engine;
  state.onChanged.set(old.index, (stripe) => {
    copy.changed(stripe);
    table.markStripe(stripe, state.geometry.rows);
  });
  try {
    for (let passes = 0; copy.left > LAST_STRIPES_MAX && passes < PASSES_MAX; passes++) await copy.pass(false);
    await flushTable(engine, device, table, region);
    return await engine.locks.alone(async () => {
      await copy.pass(true);
      await syncDevice(device);
      await flushTable(engine, device, table, region);
      return exchange(engine, successor, table);
    });
  } catch (error) {
    if (state.members[old.index] === old && old.state !== 'online') return null;
    throw error;
  }
}

/** The successor holds everything: it becomes the member, with the next raise of the epoch. */
async function exchange(engine: ArrayEngine, { old, device, superblock, checkpoint }: Successor, table: IntegrityTable): Promise<Member> {
  const { state, parts } = engine;
  const { index, role } = old;
  if (state.members[index] !== old || old.state !== 'online') throw notOnline(index);
  // Of this epoch: a raise during the copy would have left it behind.
  const present = { ...superblock, epoch: state.epoch, generation: superblock.generation + 1 };
  await engine.replacements.inTurn(() => writeNewMember(device, present, checkpoint(), parts.plan.admission));
  const member = makeMember(device, present, 'online', 0);
  const record: MemberRecord = { index, uuid: present.memberUuid, role, state: 'online', rebuiltStripes: 0 };
  let exchanged = false;
  await engine.checkpointer.exchange(() => {
    if (state.members[index] !== old || old.state !== 'online') return;
    exchanged = true;
    state.records[index] = record;
    state.members[index] = member;
    state.integrity[index] = table;
    state.paths[index] = device.path;
    state.whyFailed.set(old, new KeelsonError('MEMBER_REPLACED', `its place is given to ${device.path}`));
    old.state = 'failed';
    clearMemberAlarms(state, index);
  });
  if (!exchanged) throw notOnline(index);
  return member;
}

/** What the old member could not give, and the others could not at once, is written again from them. */
async function scrubBad(engine: ArrayEngine, member: Member, stripes: Iterable<number>): Promise<void> {
  const { state, parts } = engine;
  for (const stripe of stripes) {
    if (engine.writes.refusal !== null) return;
    if (state.isUntrusted(stripe) || state.members[member.index] !== member) continue;
    const one = Float64Array.of(stripe);
    const hold = await engine.lock(one);
    try {
      const outcome = await parts.pool.scrub(state.memberView(), one, true);
      await engine.account(outcome);
      if (outcome.repaired > 0) state.markChanged(stripe);
    } finally {
      engine.locks.release(hold);
    }
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
        if (engine.writes.refusal !== null) throw stopping(index);
        if (state.members[index] !== old || old.state !== 'online') throw notOnline(index);
        if (engine.volume.inFlight > 0) await new Promise<void>((resolve) => parts.clock.after(BUSY_PAUSE_MS, resolve));
      },
    },
    old.device,
    device,
    region,
    state.bitmap,
  );
}

/** The same entries, to be written to the successor under its own identity. */
function successorTable({ state }: ArrayEngine, { old, superblock }: Successor): IntegrityTable {
  const { index } = old;
  const identity = { arrayUuid: state.shape.arrayUuid, memberUuid: superblock.memberUuid, index };
  return new IntegrityTable(superblock.layout, identity, state.integrity[index] as IntegrityTable);
}

async function flushTable(engine: ArrayEngine, device: Device, table: IntegrityTable, region: SlabRegion): Promise<void> {
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
