import { KeelsonError } from '../../../src/base/errors.js';
import { BLOCK_BYTES } from '../../../src/base/units.js';
import type { Slab } from '../../../src/memory/slab.js';
import { loadAddon } from '../../../src/native/load.js';
import type { Backup, BackupOpen, BackupState, PublishedSegment, SegmentHeader, SegmentPiece } from '../../../src/repository/backup.js';

/** A backup target in this process's memory that counts what is fetched from it. It publishes all or nothing, as a real one does. */
export class MemoryBackup implements Backup {
  readonly target = 'memory';
  /** Blocks that read() was asked for. */
  fetchedBlocks = 0;
  readonly #slab: Slab;
  readonly #blocks = new Map<number, Buffer>();
  readonly #metadata = new Map<string, Uint8Array>();
  #head: { arrayUuid: string; volumeBytes: number; epoch: number; lsn: number; segments: number } | null = null;

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  async open(options: BackupOpen): Promise<BackupState> {
    this.#head ??= { arrayUuid: options.arrayUuid, volumeBytes: options.volumeBytes, epoch: options.epoch, lsn: 0, segments: 0 };
    const { arrayUuid, volumeBytes, epoch, lsn, segments } = this.#head;
    return { arrayUuid, volumeBytes, epoch, headLsn: lsn, segments, storedBytes: this.#blocks.size * BLOCK_BYTES, weakness: '' };
  }

  async publish(header: SegmentHeader, pull: () => Promise<SegmentPiece | null>): Promise<PublishedSegment> {
    const head = this.#head;
    if (head === null || header.firstLsn !== head.lsn + 1) {
      throw new KeelsonError('BACKUP_CORRUPT', 'a segment that does not continue the repository', {
        found: `first LSN ${header.firstLsn}`,
        expected: `${(head?.lsn ?? -1) + 1}`,
      });
    }
    const written = new Map<number, Buffer | null>();
    for (let piece = await pull(); piece !== null; piece = await pull()) this.#take(piece, written);
    for (const [block, bytes] of written) {
      if (bytes === null) this.#blocks.delete(block);
      else this.#blocks.set(block, bytes);
    }
    head.lsn = header.lastLsn;
    head.segments += 1;
    return {
      segment: head.segments,
      lastLsn: header.lastLsn,
      storedBytes: written.size * BLOCK_BYTES,
      dataBytes: written.size * BLOCK_BYTES,
    };
  }

  #take(piece: SegmentPiece, written: Map<number, Buffer | null>): void {
    for (let extent = 0; extent < piece.extents; extent++) {
      const memory = piece.memory[extent] ?? -1;
      for (let i = 0; i < (piece.count[extent] ?? 0); i++) {
        const block = (piece.first[extent] ?? 0) + i;
        if (written.has(block)) throw new KeelsonError('BACKUP_CORRUPT', `block ${block} is twice in one segment`);
        const at = memory + i * BLOCK_BYTES;
        written.set(block, memory < 0 ? null : Buffer.from(this.#slab.view.subarray(at, at + BLOCK_BYTES)));
      }
    }
  }

  async lookup(first: number, count: number, out: Uint8Array): Promise<void> {
    for (let i = 0; i < count; i++) out[i] = this.#blocks.has(first + i) ? 1 : 0;
  }

  async read(blocks: Float64Array, into: number, crcs: Uint32Array): Promise<number> {
    this.fetchedBlocks += blocks.length;
    blocks.forEach((block, i) => {
      const at = into + i * BLOCK_BYTES;
      const bytes = this.#blocks.get(block);
      this.#slab.view.fill(0, at, at + BLOCK_BYTES);
      if (bytes !== undefined) this.#slab.view.set(bytes, at);
      if (bytes === undefined) crcs[i] = 0;
      else loadAddon().crcRun(this.#slab.view, at, block, 1, crcs, i);
    });
    return blocks.length * BLOCK_BYTES;
  }

  async allocated(from: number, limit: number): Promise<Float64Array> {
    const ascending = [...this.#blocks.keys()].filter((block) => block >= from).sort((a, b) => a - b);
    return Float64Array.from(ascending.slice(0, limit).flatMap((block) => [block, 1]));
  }

  async putMetadata(name: string, bytes: Uint8Array): Promise<void> {
    this.#metadata.set(name, Uint8Array.from(bytes));
  }

  async getMetadata(name: string): Promise<Uint8Array | null> {
    return this.#metadata.get(name) ?? null;
  }

  async close(): Promise<void> {}
}
