import { errnoName, KeelsonError } from '../base/errors.js';
import type { SegmentSeq } from '../base/units.js';
import type { Member } from '../member/member-api.js';
import type { SegmentTable } from './segment-table.js';

/** What missing() asks of the journal. */
interface RingContent {
  readonly table: SegmentTable;
  readonly tailSeq: SegmentSeq;
  readonly headSeq: SegmentSeq;
}

/**
 * A second device at a journal position: it gets every batch that the member there gets, and every
 * flush. First it is the successor, which nothing counts on. After the exchange it is the old device,
 * which has to go on until the checkpoint that names the new one is durable: a crash before that makes
 * it the member again.
 */
export class RingTwin {
  readonly position: number;
  /** The successor; after the exchange the member that it replaced. */
  member: Member;
  /** Segments that the successor holds, or will hold when their batches under way are written. */
  readonly held = new Set<SegmentSeq>();
  /** Why the successor cannot be taken. */
  error: KeelsonError | null = null;
  #durable: Promise<unknown> | null = null;

  constructor(position: number, successor: Member) {
    this.position = position;
    this.member = successor;
  }

  /** A segment without a batch gets these copies. */
  opened(seq: SegmentSeq, copies: number): void {
    if ((copies & (1 << this.position)) !== 0) this.held.add(seq);
    else this.held.delete(seq);
  }

  /** Segments that the position holds and the successor does not. */
  missing({ table, tailSeq, headSeq }: RingContent): SegmentSeq[] {
    const list: SegmentSeq[] = [];
    for (let seq = tailSeq; seq <= headSeq; seq++) {
      const slot = table.slotOf(seq);
      const here = table.seq[slot] === seq && ((table.copies[slot] as number) & (1 << this.position)) !== 0;
      if (here && (table.used[slot] as number) > 0 && !this.held.has(seq)) list.push(seq);
    }
    return list;
  }

  /** The successor is the member from here on, and this the twin. Returns it. */
  exchange(old: Member): Member {
    const { member } = this;
    this.member = old;
    return member;
  }

  /** The exchange is durable when this resolves. */
  durableWith(exchange: Promise<unknown>): void {
    this.#durable = exchange.catch(() => undefined);
  }

  /** Its write or flush failed. What it did not get may be acknowledged when this resolves. */
  failed(errno: number, doing: string): Promise<unknown> {
    if (this.#durable !== null) return this.#durable;
    const { path } = this.member.device;
    this.error ??= new KeelsonError('DEVICE_WRITE', `${doing} on ${path} failed`, { found: errnoName(errno) });
    return Promise.resolve();
  }
}
