import type { ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { RecoveryStart } from '../../src/journal/recovery.js';
import { NOT_IN_RING, ZEROED } from '../../src/journal/ring-index.js';
import { contentOf, Ring, type RingShape, turn } from './ring-fixture.js';

const BLOCKS = 60;

interface Entry {
  readonly block: number;
  readonly count: number;
  /** 0 = zeroes. */
  readonly version: number;
}

export interface HistoryOptions {
  readonly shape: RingShape;
  readonly seed: number;
  readonly lives: number;
  readonly stepsPerLife: number;
  readonly crash: 'process' | 'power' | 'either';
  /** One copy of something flushed is damaged after each crash. */
  readonly bitrot?: boolean;
  /** A journal member may die in each life. */
  readonly deaths?: boolean;
}

/**
 * A journal that lives several times: random writes, zeroes, flushes, destaging and draining, then a crash at any moment, then recovery. entries[lsn - 1] is what each LSN wrote; what
 * a crash took away is cut off. The stripes are played by an image that follows the destaged cursor.
 */
export class History {
  readonly t: ExecutionContext;
  readonly random: Random;
  readonly options: HistoryOptions;
  entries: Entry[] = [];
  ring: Ring;
  checkpoint: Required<RecoveryStart> = {
    tailSeq: 1,
    destagedSeq: 1,
    drainedSeq: 1,
    knownLsn: 0,
    tailLsn: 0,
    arrayTag: 0x1234_5678,
    volumeBlocks: BLOCKS,
  };
  /** LSN up to which the stripes hold everything. */
  destagedLsn = 0;
  acknowledged = 0;
  flushed = 0;
  wraps = 0;
  dropped = 0;
  #version = 1;
  #epoch = 1;
  #away: boolean[];

  constructor(t: ExecutionContext, options: HistoryOptions) {
    this.t = t;
    this.options = options;
    this.random = seededRandom(options.seed);
    this.#away = new Array<boolean>(options.shape.members).fill(false);
    this.ring = new Ring(options.shape, this.random);
  }

  async run(): Promise<void> {
    for (let life = 0; life < this.options.lives; life++) {
      await this.#live();
      await this.#die(life);
    }
  }

  async #live(): Promise<void> {
    const { random, ring } = this;
    for (let step = 0; step < this.options.stepsPerLife; step++) {
      const what = random.below(100);
      if (what < 45) this.#write();
      else if (what < 50) this.#zero();
      else if (what < 58) this.#flush();
      else if (what < 60) ring.journal.close();
      else if (what < 64) await this.#destage();
      else if (what < 68) this.#drain();
      else if (what < 69 && this.options.deaths === true) this.#kill();
      else {
        ring.step();
        await turn();
      }
    }
  }

  #flush(): void {
    const { acknowledged, ring } = this;
    void ring.flush().then((error) => this.#noteFlush(error === null && ring === this.ring, acknowledged));
  }

  #noteFlush(done: boolean, upTo: number): void {
    if (done) this.flushed = Math.max(this.flushed, upTo);
  }

  #write(): void {
    const { random, ring } = this;
    const block = random.below(BLOCKS - 4);
    const room = ring.journal.writeRoom(false);
    const count = Math.min(room, 1 + random.below(4));
    if (count === 0) return;
    const version = this.#version++;
    this.#appended(ring.write(block, count, version), { block, count, version });
  }

  #zero(): void {
    const { random, ring } = this;
    if (ring.journal.writeRoom(false) === 0) return;
    const block = random.below(BLOCKS - 20);
    const count = 1 + random.below(20);
    this.#appended(ring.journal.appendZero(block, count), { block, count, version: 0 });
  }

  #appended(lsn: number, entry: Entry): void {
    const { ring } = this;
    if (lsn !== this.entries.length + 1) this.t.fail(`seed ${this.options.seed}: LSN ${lsn} after ${this.entries.length} entries`);
    this.entries.push(entry);
    const fua = this.random.below(12) === 0;
    if (fua) void ring.flushed(lsn).then((error) => this.#noteFlush(error === null && ring === this.ring, lsn));
    void ring.committed(lsn).then((error) => {
      if (error === null && ring === this.ring) this.acknowledged = Math.max(this.acknowledged, lsn);
    });
  }

  /** As the destager does it: flush, apply, checkpoint, then move the cursor. */
  async #destage(): Promise<void> {
    const { journal } = this.ring;
    const to = Math.min(journal.headSeq, journal.destagedSeq + 1 + this.random.below(4));
    if (to <= journal.destagedSeq) return;
    const upTo = journal.nextLsn - 1;
    const error = await this.ring.during(this.ring.flushed(upTo));
    if (error !== null) return;
    this.#noteFlush(true, upTo);
    this.destagedLsn = journal.table.lastLsn[journal.table.slotOf(to - 1)] as number;
    this.#moveTo(to, journal.drainedSeq);
  }

  #drain(): void {
    const { journal } = this.ring;
    const to = Math.min(journal.destagedSeq, journal.drainedSeq + this.random.below(4));
    this.#moveTo(journal.destagedSeq, Math.max(journal.drainedSeq, to));
  }

  #moveTo(destagedSeq: number, drainedSeq: number): void {
    const { journal } = this.ring;
    const lsnBefore = (seq: number): number => {
      const slot = journal.table.slotOf(seq - 1);
      if (seq > journal.tailSeq && journal.table.seq[slot] === seq - 1) return journal.table.lastLsn[slot] as number;
      const next = journal.table.slotOf(seq);
      return journal.table.seq[next] === seq ? (journal.table.firstLsn[next] as number) - 1 : journal.nextLsn - 1;
    };
    const tailSeq = Math.min(destagedSeq, drainedSeq);
    const [destagedLsn, drainedLsn] = [lsnBefore(destagedSeq), lsnBefore(drainedSeq)];
    this.checkpoint = {
      ...this.checkpoint,
      tailSeq,
      destagedSeq,
      drainedSeq,
      knownLsn: Math.max(destagedLsn, drainedLsn),
      tailLsn: Math.min(destagedLsn, drainedLsn),
    };
    journal.setDestaged(destagedSeq);
    journal.setDrained(drainedSeq);
    journal.removeBefore(tailSeq);
    this.wraps = Math.max(this.wraps, Math.floor(tailSeq / journal.slots));
  }

  #kill(): void {
    const alive = this.ring.members.filter(({ state }) => state === 'online');
    if (alive.length < 2 || this.#away.filter(Boolean).length >= this.options.shape.copies - 1) return;
    const victim = alive[this.random.below(alive.length)] as (typeof alive)[number];
    this.#away[victim.index] = true;
    (this.ring.devices[victim.index] as (typeof this.ring.devices)[number]).dead = true;
  }

  async #die(life: number): Promise<void> {
    const { random, options } = this;
    const power = options.crash === 'power' || (options.crash === 'either' && random.below(2) === 0);
    const images = this.ring.devices.map((device, i) => {
      if (this.#away[i]) return null;
      return power ? device.afterPowerFailure(random) : device.afterProcessCrash(random);
    });
    const promised = power ? this.flushed : this.acknowledged;
    if (options.bitrot === true) this.#rot(images);
    const before = this.entries.length;
    this.ring = new Ring(options.shape, random, images, ++this.#epoch);
    const where = `seed ${options.seed}, life ${life}, after a ${power ? 'power failure' : 'process crash'}`;
    let lastLsn = 0;
    try {
      const report = await this.ring.recover(this.checkpoint);
      lastLsn = report.lastLsn;
      this.t.deepEqual(report.lostBlocks, [], where);
    } catch (error) {
      this.t.fail(`${where}: ${String(error)} ${JSON.stringify(error)}`);
      throw error;
    }
    if (lastLsn < promised || lastLsn > before)
      this.t.fail(`${where}: recovered up to LSN ${lastLsn}; promised ${promised}, written ${before}`);
    this.dropped += before - lastLsn;
    this.entries = this.entries.slice(0, lastLsn);
    this.acknowledged = lastLsn;
    this.flushed = lastLsn;
    await this.ring.during(this.ring.replicator.run());
    await this.#compare(where);
  }

  /** A byte of one copy, in a segment of the ring. */
  #rot(images: (Uint8Array | null)[]): void {
    const whole = images.filter((image) => image !== null);
    if (whole.length < 2) return;
    const { table, tailSeq, headSeq } = this.ring.journal;
    if (headSeq === tailSeq) return;
    const slot = table.slotOf(tailSeq + this.random.below(headSeq - tailSeq));
    const image = whole[this.random.below(whole.length)] as Uint8Array;
    const at = this.ring.journal.deviceOffset(0, slot, 0) + this.random.below((table.used[slot] as number) * BLOCK_BYTES);
    image[at] = (image[at] as number) ^ (1 << this.random.below(8));
  }

  /** Every block reads as the entries say: from the ring, else from the stripes. */
  async #compare(where: string): Promise<void> {
    const versions = (upTo: number): number[] => {
      const image = new Array<number>(BLOCKS).fill(0);
      for (const { block, count, version } of this.entries.slice(0, upTo)) image.fill(version, block, block + count);
      return image;
    };
    const wanted = versions(this.entries.length);
    const stripes = versions(this.destagedLsn);
    for (let block = 0; block < BLOCKS; block++) {
      const place = this.ring.journal.index.lookup(block);
      const version = wanted[block] as number;
      if (place === NOT_IN_RING) {
        if (stripes[block] !== version)
          this.t.fail(`${where}: block ${block} is not in the ring, and the stripes have version ${stripes[block]} for ${version}`);
      } else if (place === ZEROED) {
        if (version !== 0) this.t.fail(`${where}: block ${block} reads as zeroes, not as version ${version}`);
      } else {
        const bytes = await this.ring.read(place);
        if (bytes === null || Buffer.compare(bytes, contentOf(block, version)) !== 0)
          this.t.fail(`${where}: block ${block} is ${bytes === null ? 'unreadable' : 'wrong'}`);
      }
    }
  }
}
