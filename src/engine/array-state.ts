import type { KeelsonError } from '../base/errors.js';
import type { BlockIndex, StripeIndex } from '../base/units.js';
import type { IntegrityTable } from '../member/integrity.js';
import { INTEGRITY_ENTRIES } from '../member/layout.js';
import type { ArrayShape, Member, MemberRecord } from '../member/member-api.js';
import { nextWrittenStripe } from '../member/stripe-bitmap.js';
import { CRC_LOST, StripeGeometry } from '../stripe/geometry.js';
import type { MemberView } from '../stripe/stripe-pool.js';
import { LostBlocks } from './lost-blocks.js';

/** Copy sets are 32-bit masks: on wider arrays the ring lies on the first members. */
const JOURNAL_POSITIONS_MAX = 32;

export interface Alarm {
  readonly code: string;
  readonly message: string;
  readonly action: string;
}

/** A place of the array for which no device is open: missing at assembly, or failed and closed. */
export interface AbsentMember {
  readonly record: MemberRecord;
  readonly path: string;
}

/** Every bit of the running array that more than one part of the engine looks at. */
export class ArrayState {
  readonly shape: ArrayShape;
  readonly geometry: StripeGeometry;
  /** By member index; a member that is not there has state missing or failed and a device that is closed (or null). */
  readonly members: (Member | null)[];
  readonly records: MemberRecord[];
  readonly paths: string[];
  /** One a data member, also for those that are not there (then nothing of it is known). */
  readonly integrity: IntegrityTable[];
  readonly integrityKnown: Uint8Array;
  readonly bitmap: Uint8Array;
  readonly lost: LostBlocks;
  /** Stripes that a crash may have torn: their parity is not trusted until they are written again from the journal. */
  readonly untrusted: Uint8Array;
  untrustedStripes = 0;
  /** Of all stripes one after the other, a bit a row; null while there are none. */
  #untrustedRows: Uint8Array | null = null;
  /** Ring places whose every copy is damaged, with the segment they were in: the place is used again later. */
  readonly damagedInRing = new Map<number, number>();
  epoch: number;
  protection: 'full' | 'seeding' | 'unprotected' = 'unprotected';
  /** Checkpoint.publishEpoch; 0: not known. */
  publishEpoch = 0;
  /** Set when the array cannot go on at all. */
  failure: KeelsonError | null = null;
  /** Places whose own device is there, and was away while the array went on: it may be taken for them again, not read as it is. */
  readonly returned = new Set<number>();
  /** Who is told of each stripe that changes, before its lock is given back; by the member that is being copied. */
  readonly onChanged = new Map<number, (stripe: StripeIndex) => void>();
  /** Why members that are failed were. */
  readonly whyFailed = new WeakMap<Member, KeelsonError>();
  readonly #alarms = new Map<string, Alarm>();

  constructor(
    shape: ArrayShape,
    epoch: number,
    members: (Member | null)[],
    records: MemberRecord[],
    paths: string[],
    integrity: IntegrityTable[],
    bitmap: Uint8Array,
  ) {
    this.shape = shape;
    this.epoch = epoch;
    this.geometry = new StripeGeometry(shape.dataMembers - shape.parity, shape.parity, shape.chunkBytes, shape.stripes);
    this.members = members;
    this.records = records;
    this.paths = paths;
    this.integrity = integrity;
    this.integrityKnown = new Uint8Array(shape.dataMembers).fill(1);
    this.lost = new LostBlocks(this.geometry, integrity, this.integrityKnown);
    this.bitmap = bitmap;
    this.untrusted = new Uint8Array(bitmap.length);
  }

  /** The data members as stripe tasks see them now. */
  memberView(): MemberView {
    const n = this.shape.dataMembers;
    const handle = new Int32Array(n).fill(-1);
    const rebuiltStripes = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
    const durableStripes = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
    for (let i = 0; i < n; i++) {
      const member = this.members[i];
      if (member === null || member === undefined) continue;
      if (member.state !== 'online' && member.state !== 'rebuilding') continue;
      handle[i] = member.device.handle;
      if (member.state !== 'rebuilding') continue;
      rebuiltStripes[i] = member.rebuiltStripes;
      durableStripes[i] = member.durableStripes;
    }
    return { handle, rebuiltStripes, durableStripes, integrityKnown: this.integrityKnown.slice(), zeroesDoubted: this.lost.unlisted };
  }

  /** True when data member i can be read at this stripe. */
  readable(i: number, stripe: StripeIndex): boolean {
    const member = this.members[i];
    if (member === null || member === undefined) return false;
    return member.state === 'online' || (member.state === 'rebuilding' && stripe < member.rebuiltStripes);
  }

  /** Data members that are not whole. */
  lostDataMembers(): number[] {
    const lost: number[] = [];
    for (let i = 0; i < this.shape.dataMembers; i++) if (this.members[i]?.state !== 'online') lost.push(i);
    return lost;
  }

  /** Members that are there and take writes. */
  present(): Member[] {
    return this.members.filter(
      (member): member is Member => member !== null && (member.state === 'online' || member.state === 'rebuilding'),
    );
  }

  journalPositions(): number[] {
    const { dataMembers, journalMembers } = this.shape;
    return journalMembers === 0
      ? Array.from({ length: Math.min(dataMembers, JOURNAL_POSITIONS_MAX) }, (_, i) => i)
      : Array.from({ length: journalMembers }, (_, i) => dataMembers + i);
  }

  isWritten(stripe: StripeIndex): boolean {
    return ((this.bitmap[stripe >>> 3] as number) & (1 << (stripe & 7))) !== 0;
  }

  /** The first written stripe from `from` on and below `end`, else `end`. */
  nextWritten(from: StripeIndex, end: StripeIndex): StripeIndex {
    return nextWrittenStripe(this.bitmap, from, end);
  }

  /** After a stripe's blocks were written: every page its entries lie on is flushed with the next checkpoint, which also carries its bit. */
  markChanged(stripe: StripeIndex): void {
    this.bitmap[stripe >>> 3] = (this.bitmap[stripe >>> 3] as number) | (1 << (stripe & 7));
    for (const table of this.integrity) table.markStripe(stripe, this.geometry.rows);
    for (const told of this.onChanged.values()) told(stripe);
    this.lost.changed(stripe);
  }

  /** The block is lost for good: an error until it is written again, zeroes for parity. Of blocks that are not written yet. */
  lose(block: BlockIndex): void {
    const stripe = this.geometry.stripeOf(block);
    this.#tableOf(block).entries[this.#rowOf(block)] = CRC_LOST;
    this.markChanged(stripe);
    this.lost.note(stripe);
  }

  /** The stripes say that it is lost for good. */
  isLost(block: BlockIndex): boolean {
    return this.#tableOf(block).entries[this.#rowOf(block)] === CRC_LOST;
  }

  #tableOf(block: BlockIndex): IntegrityTable {
    const shard = Math.floor(this.geometry.slotOf(block) / this.geometry.rows);
    return this.integrity[this.geometry.memberOf(this.geometry.stripeOf(block), shard)] as IntegrityTable;
  }

  isUntrusted(stripe: StripeIndex): boolean {
    return this.untrustedStripes > 0 && ((this.untrusted[stripe >>> 3] as number) & (1 << (stripe & 7))) !== 0;
  }

  /**
   * Every data member that is not whole was already called so before the crash that made stripes untrusted. Then a row that the crash tore has its lost blocks in the ring
   * (DESIGN 12: they were journaled before it was touched), and a row without them there was not touched: its parity is right. So for stripes from this one on.
   */
  lostBeforeCrashFrom: StripeIndex = Number.POSITIVE_INFINITY;
  /** For the checkpoint: rows that a crash tore counted on a member that is lost now, so that another crash must not take its absence for one from before (lostBeforeCrashFrom). */
  get tornAsWholeBelow(): StripeIndex {
    return this.untrustedStripes > 0 && this.lostDataMembers().length > 0 ? this.lostBeforeCrashFrom : 0;
  }

  /** A data member failed, and stripe tasks made before that may still be running. */
  tasksCountOnFailed = false;

  /** The row of this block may be torn; the other rows of its stripe are as they were, whatever happened to it. */
  isUntrustedRow(block: BlockIndex): boolean {
    if (this.#untrustedRows === null) return false;
    const row = this.#rowOf(block);
    return ((this.#untrustedRows[row >>> 3] as number) & (1 << (row & 7))) !== 0;
  }

  /**
   * Some member that is there has, of this block's row, checksums that the checkpoint does not rest on yet: other members may have older ones, and each its own content to
   * them. Then only a shard more than k shows whether they are of one state.
   */
  rowMayBeMixed(block: BlockIndex): boolean {
    const stripe = this.geometry.stripeOf(block);
    const page = Math.floor(this.#rowOf(block) / INTEGRITY_ENTRIES);
    return this.integrity.some((table, i) => table.ahead.has(page) && this.readable(i, stripe));
  }

  /** What is lost of this block's row may be reconstructed, when the block has no undestaged entry in the ring. */
  rowTrusted(block: BlockIndex): boolean {
    return this.geometry.stripeOf(block) >= this.lostBeforeCrashFrom || !this.isUntrustedRow(block);
  }

  #rowOf(block: BlockIndex): number {
    return this.geometry.memberBlock(this.geometry.stripeOf(block), this.geometry.slotOf(block) % this.geometry.rows);
  }

  /** The row of this block may be torn, and so the stripe. */
  distrust(block: BlockIndex): void {
    const stripe = this.geometry.stripeOf(block);
    const row = this.#rowOf(block);
    this.#untrustedRows ??= new Uint8Array(Math.ceil((this.geometry.stripes * this.geometry.rows) / 8));
    this.#untrustedRows[row >>> 3] = (this.#untrustedRows[row >>> 3] as number) | (1 << (row & 7));
    if (this.isUntrustedBit(stripe)) return;
    this.untrusted[stripe >>> 3] = (this.untrusted[stripe >>> 3] as number) | (1 << (stripe & 7));
    this.untrustedStripes++;
  }

  isUntrustedBit(stripe: StripeIndex): boolean {
    return ((this.untrusted[stripe >>> 3] as number) & (1 << (stripe & 7))) !== 0;
  }

  trustAll(): void {
    this.untrusted.fill(0);
    for (const table of this.integrity) table.ahead.drain();
    this.#untrustedRows = null;
    this.untrustedStripes = 0;
  }

  /** Called after each of the two. */
  onAlarms: () => void = () => {};

  /** action left out: it depends on how things stand when somebody asks (alarms.ts). */
  raise(code: string, message: string, action = ''): void {
    this.#alarms.set(code, { code, message, action });
    this.onAlarms();
  }

  clear(code: string): void {
    if (this.#alarms.delete(code)) this.onAlarms();
  }

  get alarms(): Alarm[] {
    return [...this.#alarms.values()];
  }
}

/** Stands in the journal's member list for one that is not there: never online, never touched. */
export function absentMember(index: number): Member {
  return { index, role: 'journal', state: 'missing' } as Member;
}
