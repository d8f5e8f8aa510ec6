import type { Random } from '../base/random.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Lsn } from '../base/units.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { drainedLsn } from '../engine/backup-attach.js';
import { arrayStatus } from '../engine/array-status.js';
import { loadAddon } from '../native/load.js';
import type { SegmentPiece } from '../repository/backup.js';
import { decodeHead, type Head } from '../repository/format/head.js';
import { headName, parseHeadName, parseSegmentName, segmentName } from '../repository/format/names.js';
import type { Repository } from '../repository/repository.js';
import { HEADER_BYTES } from '../repository/format/segment-header.js';
import { simulatedRepository } from './backup-checks.js';
import { EVENT } from './scheduler.js';
import type { HostFile, SimulatedHost } from './simulated-target.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

const BLOCKS_MAX = 8;
const MARK_BYTES = 64;
const PUBLISHES_MAX = 3;
const PAUSE_US = 400_000;
/** Until somebody looks at what the server of the array says. */
const UNNOTICED_US = [0, 100_000, 3_000_000] as const;

/**
 * Another process that takes the repository with a newer epoch: a copy of the array, say, that was started elsewhere, so that the members know nothing of it. It runs the real
 * repository code, and may publish what no client of ours ever wrote, up to an LSN that our ring may end a segment at as well. From then on the older one changes nothing of
 * that and drains nothing more (P10), and never takes it for its own (P3, P7), whatever epoch it has by then.
 */
export class NewerWriter {
  readonly #host: SimulatedHost;
  readonly #published: () => void;
  #process: SimulatedProcess | null = null;
  /** What it takes, and what it has taken. */
  #wanted = 0;
  #epoch = 0;
  #contends = false;
  #headLsn: Lsn = 0;
  /** What the host held when it had been taken and nothing had been published yet. */
  #before: ReadonlyMap<string, HostFile> = new Map();
  /** How the data of each of its segments begin, also of those that it heard of no success of. */
  readonly #marks: Buffer[] = [];
  /** What it published, as it was then. */
  readonly #files = new Map<string, Buffer>();
  #unnoticed_us = 0;
  /** Whoever stops it knows that it has published. */
  known = false;
  #noticedAt_us = Number.POSITIVE_INFINITY;

  constructor(host: SimulatedHost, published: () => void) {
    this.#host = host;
    this.#published = published;
  }

  /** Some writer has tried to take it: also one that heard of no success may have. */
  get wasThere(): boolean {
    return this.#process !== null;
  }

  /** It wants the repository or has it, or may have, and the array has not gone on from there under an epoch above its own. */
  get contends(): boolean {
    return this.#contends;
  }

  get isThere(): boolean {
    return this.#process?.alive === true;
  }

  /** Resolves to true when it has taken the repository; it may publish after that. Connections break for it as well. */
  async take(process: SimulatedProcess, engine: ArrayEngine, random: Random): Promise<boolean> {
    const { state, volumeBytes } = engine;
    const memory = new Uint8Array(BLOCKS_MAX * BLOCK_BYTES);
    const repository = simulatedRepository(this.#host, process, memory);
    // Often the very next one, which our own process may come to as well.
    const epoch = state.epoch + 1 + (random.below(2) === 0 ? 0 : random.below(5));
    const options = { arrayUuid: state.shape.arrayUuid, epoch, volumeBytes, create: false, writer: random.u32() };
    this.#process = process;
    this.#wanted = epoch;
    this.#contends = true;
    this.#epoch = 0;
    this.#marks.length = 0;
    this.#files.clear();
    this.#unnoticed_us = UNNOTICED_US[random.below(UNNOTICED_US.length)] as number;
    this.#noticedAt_us = Number.POSITIVE_INFINITY;
    this.known = random.below(2) === 0;
    try {
      const { headLsn } = await repository.open(options);
      this.#epoch = epoch;
      this.#headLsn = headLsn;
    } catch {
      process.alive = false;
      return false;
    }
    this.#before = copied(this.#host.files);
    void this.#write(process, engine, repository, memory, random, () => repository.open(options).then(({ headLsn }) => headLsn));
    return true;
  }

  async #write(
    process: SimulatedProcess,
    engine: ArrayEngine,
    repository: Repository,
    memory: Uint8Array,
    random: Random,
    reopen: () => Promise<Lsn>,
  ): Promise<void> {
    let headLsn = this.#headLsn;
    for (let left = random.below(PUBLISHES_MAX + 1); left > 0; left--) {
      await new Promise<void>((resolve) => void process.scheduler.after(random.below(PAUSE_US), process, EVENT.driver, resolve));
      const lastLsn = nextLsn(headLsn, engine, random);
      const pieces = [foreignPiece(memory, Math.floor(engine.volumeBytes / BLOCK_BYTES), random)];
      const header = { firstLsn: headLsn + 1, lastLsn, time: process.scheduler.wallOffset_ms, seed: false };
      this.#marks.push(Buffer.from(memory.subarray(0, MARK_BYTES)));
      this.#files.delete(headName(this.#epoch));
      try {
        await repository.publish(header, async () => pieces.pop() ?? null);
        headLsn = lastLsn;
        this.#remember();
        this.#published();
      } catch (error) {
        if (KeelsonError.from(error).code === 'BACKUP_FENCED') return;
        const found = await reopen().catch(() => null);
        if (found === null) return;
        headLsn = found;
        if (headLsn > this.#headLsn) this.#remember();
      }
    }
  }

  #remember(): void {
    for (const [name, { bytes }] of this.#host.files) {
      if (parseHeadName(name) === this.#epoch || parseSegmentName(name)?.epoch === this.#epoch) this.#files.set(name, Buffer.from(bytes));
    }
  }

  /** It is at work, or the engine writes under an older epoch. */
  isNewerThan(engine: ArrayEngine): boolean {
    return this.isThere || this.#epoch > (engine.link?.state?.epoch ?? 0);
  }

  /** The newest segment of the repository is of its making: told by its bytes, since epochs may be the same for a moment. */
  get isForeign(): boolean {
    if (this.#marks.length === 0) return false;
    const head = newestHead(this.#host);
    if (head === null || head.segmentEpoch !== this.#epoch) return false;
    const data = this.#host.files.get(segmentName(head.segment, head.segmentEpoch))?.bytes.subarray(HEADER_BYTES);
    return data !== undefined && this.#marks.some((mark) => mark.equals(data.subarray(0, mark.length)));
  }

  look(engine: ArrayEngine): Finding | null {
    const { link } = engine;
    if (link?.isOpen === true && (link.state?.epoch ?? 0) > this.#wanted && !this.isThere && !this.isForeign) this.#contends = false;
    if (this.#epoch === 0 || link === null) return null;
    const drained = link.state === null ? 0 : drainedLsn(engine);
    const newer = `a newer writer (epoch ${this.#epoch})`;
    if (this.#epoch > (link.state?.epoch ?? 0) && drained > this.#headLsn)
      return { promise: 'P10', message: `LSN ${drained} is said to be drained; ${newer} took the image over at ${this.#headLsn}` };
    if (this.#files.size === 0) return null;
    const head = newestHead(this.#host);
    const overwritten = [...this.#files].find(
      ([name, bytes]) => this.#isToBeThere(name, head) && !this.#host.files.get(name)?.bytes.equals(bytes),
    );
    if (overwritten !== undefined) return { promise: 'P10', message: `${overwritten[0]} of ${newer} is not what that wrote` };
    if (!this.isForeign) return null;
    if (drained > this.#headLsn)
      return { promise: 'P3', message: `LSN ${drained} is said to be drained; ours ends at ${this.#headLsn}, the rest is of ${newer}` };
    if (link.isOpen && (link.state?.epoch ?? 0) > this.#epoch)
      return { promise: 'P10', message: `what ${newer} published is taken for the array's own` };
    return null;
  }

  /** HEADs of older epochs go when another writer has taken over; what it names does not. */
  #isToBeThere(name: string, head: Head | null): boolean {
    return head !== null && (parseHeadName(name) === null || head.epoch <= this.#epoch);
  }

  /** What the array says when it has been fenced off, or finds what it cannot go on from. */
  judge(engine: ArrayEngine): Finding | null {
    const { alarms, drain } = arrayStatus(engine);
    const code = engine.link?.lastError?.code ?? '';
    const alarm = code === 'BACKUP_AHEAD' ? 'BACKUP_MISMATCH' : code;
    const said = alarms.some((one) => one.code === alarm) && drain.state !== 'idle' && drain.lastError?.includes(code);
    return said === true
      ? null
      : { promise: 'P10', message: `fenced off its backup, and status does not say so: ${JSON.stringify({ alarms, drain })}` };
  }

  /** Somebody has seen it, and it is stopped. False: not yet. */
  stopIfNoticed(now_us: number): boolean {
    if (this.#noticedAt_us === Number.POSITIVE_INFINITY) this.#noticedAt_us = now_us + this.#unnoticed_us;
    if (now_us < this.#noticedAt_us) return false;
    this.stop();
    return true;
  }

  stop(): void {
    if (this.#process !== null) this.#process.alive = false;
  }

  /** The files of the repository are put back as they were before it published anything. */
  undo(): void {
    this.#host.connection++;
    this.#host.putBack(this.#before);
    this.#files.clear();
    this.#marks.length = 0;
  }
}

/** Where its next segment ends: where one of ours does, half of the time. */
function nextLsn(headLsn: Lsn, { journal }: ArrayEngine, random: Random): Lsn {
  const { table } = journal;
  const ends: Lsn[] = [];
  for (let seq = journal.drainedSeq; seq < journal.headSeq; seq++) {
    const slot = table.slotOf(seq);
    const lastLsn = table.lastLsn[slot] as number;
    if (table.seq[slot] === seq && lastLsn > headLsn) ends.push(lastLsn);
  }
  return ends.length > 0 && random.below(2) === 0 ? (ends[random.below(ends.length)] as Lsn) : headLsn + 1 + random.below(40);
}

function foreignPiece(memory: Uint8Array, volumeBlocks: number, random: Random): SegmentPiece {
  const count = 1 + random.below(Math.min(BLOCKS_MAX, volumeBlocks));
  const first = random.below(volumeBlocks - count + 1);
  random.fill(memory);
  const crcs = new Uint32Array(count);
  loadAddon().crcRun(memory, 0, first, count, crcs, 0);
  return { extents: 1, first: Float64Array.of(first), count: Float64Array.of(count), memory: Float64Array.of(0), crcs };
}

function newestHead(host: SimulatedHost): Head | null {
  let newest = -1;
  for (const name of host.files.keys()) newest = Math.max(newest, parseHeadName(name) ?? -1);
  const name = [...host.files.keys()].find((other) => parseHeadName(other) === newest);
  return name === undefined ? null : decodeHead(name, host.get(name).bytes, null);
}

function copied(files: ReadonlyMap<string, HostFile>): ReadonlyMap<string, HostFile> {
  return new Map([...files].map(([name, file]) => [name, { ...file }]));
}
