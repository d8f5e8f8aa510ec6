import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import { EXTENT_HOLE, EXTENT_LOST, type SegmentPiece } from './backup.js';
import type { Checksums } from './format/checksums.js';
import type { FrameCodec } from './format/frame-codec.js';
import { type SegmentCipher, TAG_BYTES } from './format/repository-key.js';
import { encodeSegmentHeader, HEADER_BYTES, type SegmentFileHeader } from './format/segment-header.js';
import { FRAME_BLOCKS, INDEX_BYTES_MAX, SegmentIndexBuilder } from './format/segment-index.js';
import { encodeSegmentTrailer, segmentHash, TRAILER_BYTES, TRAILER_COVERED_BYTES } from './format/segment-trailer.js';
import type { TargetWriter } from '../target/target.js';

/** Small frames are gathered to this before they go to the target: eight of its packets. */
const STAGING_BYTES = 256 * 1024;

/** Blocks that are checksummed, hashed and sent at a time: 256 KiB fit the second cache. A multiple of FRAME_BLOCKS. */
const STEP_BLOCKS = 64;

export interface WrittenSegment {
  readonly hash: Uint8Array;
  readonly fileBytes: Bytes;
  readonly dataBytes: Bytes;
  /** Everything the map needs, without reading the segment back. */
  readonly index: Uint8Array;
  readonly entries: number;
  readonly dataBlocks: number;
  readonly holeBlocks: number;
  readonly indexOffset: Bytes;
}

export interface SegmentWriterParts {
  readonly memory: Uint8Array;
  readonly checksums: Checksums;
  readonly codec: FrameCodec;
  readonly cipher: SegmentCipher | null;
}

/** Writes one segment file from its first byte to its last, hashing on the way. Memory is bounded by the index. */
export class SegmentWriter {
  readonly #out: TargetWriter;
  readonly #parts: SegmentWriterParts;
  readonly #header: Uint8Array;
  readonly #volumeBlocks: number;
  readonly #index = new SegmentIndexBuilder();
  readonly #dataHash = createHash('sha256');
  readonly #staging = new Uint8Array(STAGING_BYTES);
  #staged = 0;
  #position = HEADER_BYTES;
  readonly #computed = new Uint32Array(STEP_BLOCKS);

  constructor(out: TargetWriter, header: SegmentFileHeader, parts: SegmentWriterParts) {
    assert(header.frameBlocksMax === FRAME_BLOCKS && header.encrypted === (parts.cipher !== null), 'the header says what the writer does');
    this.#out = out;
    this.#parts = parts;
    this.#header = encodeSegmentHeader(header);
    this.#volumeBlocks = header.volumeBytes / BLOCK_BYTES;
    this.#stage(this.#header);
  }

  /** The piece's memory may be reused when this resolves. Throws SLAB_CORRUPT when a block is not what its checksum says. */
  async append(piece: SegmentPiece): Promise<void> {
    let crcIndex = 0;
    for (let i = 0; i < piece.extents; i++) {
      const first = piece.first[i] as number;
      const count = piece.count[i] as number;
      const memory = piece.memory[i] as number;
      assert(count > 0 && first >= 0 && first + count <= this.#volumeBlocks, 'an extent lies inside the volume');
      if (memory === EXTENT_HOLE) this.#index.hole(first, count);
      else if (memory === EXTENT_LOST) this.#index.lost(first, count);
      else {
        await this.#extent(memory, first, count, piece.crcs, crcIndex);
        crcIndex += count;
      }
      if (this.#index.bytes > INDEX_BYTES_MAX) {
        throw new KeelsonError('BACKUP_SEGMENT_SIZE', 'the segment is too large', {
          found: `an index of ${this.#index.bytes} bytes`,
          expected: `at most ${INDEX_BYTES_MAX} bytes`,
          action: 'drain less at once',
        });
      }
    }
  }

  /** Writes index and trailer and makes the file durable; the caller closes and renames it. */
  async finish(): Promise<WrittenSegment> {
    const dataEnd = this.#position;
    const index = this.#index.encode();
    const trailer = encodeSegmentTrailer({
      indexOffset: dataEnd,
      indexBytes: index.length + (this.#parts.cipher === null ? 0 : TAG_BYTES),
      entries: this.#index.entries,
      dataBlocks: this.#index.dataBlocks,
      holeBlocks: this.#index.holeBlocks,
      dataHash: this.#dataHash.digest(),
    });
    const covered = trailer.subarray(0, TRAILER_COVERED_BYTES);
    const stored = this.#parts.cipher === null ? index : this.#parts.cipher.sealIndex(index, Buffer.concat([this.#header, covered]));
    const hash = segmentHash(this.#header, stored, trailer);
    trailer.set(hash, TRAILER_COVERED_BYTES);
    await this.#flush();
    await this.#out.write(stored);
    await this.#out.write(trailer);
    await this.#out.sync();
    return {
      hash,
      fileBytes: dataEnd + stored.length + TRAILER_BYTES,
      dataBytes: this.#index.dataBlocks * BLOCK_BYTES,
      index,
      entries: this.#index.entries,
      dataBlocks: this.#index.dataBlocks,
      holeBlocks: this.#index.holeBlocks,
      indexOffset: dataEnd,
    };
  }

  /** Checksum, hash and copy go over the data in steps that stay in the cache from one to the next. */
  async #extent(memory: number, first: number, count: number, crcs: Uint32Array, crcIndex: number): Promise<void> {
    assert(crcIndex + count <= crcs.length, 'a checksum for every data block');
    assert(memory + count * BLOCK_BYTES <= this.#parts.memory.length, 'an extent lies inside the memory');
    for (let done = 0; done < count; ) {
      const blocks = Math.min(count - done, STEP_BLOCKS - ((first + done) % STEP_BLOCKS));
      await this.#step(memory + done * BLOCK_BYTES, first + done, blocks, crcs, crcIndex + done);
      done += blocks;
    }
  }

  async #step(memory: number, first: number, count: number, crcs: Uint32Array, crcIndex: number): Promise<void> {
    const { codec, cipher } = this.#parts;
    this.#verify(memory, first, count, crcs, crcIndex);
    const plain = cipher === null && !codec.compresses;
    for (let done = 0; done < count; ) {
      const blocks = Math.min(count - done, FRAME_BLOCKS - ((first + done) % FRAME_BLOCKS));
      const data = this.#parts.memory.subarray(memory + done * BLOCK_BYTES, memory + (done + blocks) * BLOCK_BYTES);
      const payload = plain ? data : codec.pack(data);
      const ordinal = this.#index.entries;
      this.#index.frame(first + done, blocks, payload.length, crcs, crcIndex + done);
      if (!plain) await this.#data(cipher === null ? payload : cipher.sealFrame(ordinal, payload));
      done += blocks;
    }
    if (plain) await this.#data(this.#parts.memory.subarray(memory, memory + count * BLOCK_BYTES));
  }

  async #data(bytes: Uint8Array): Promise<void> {
    this.#dataHash.update(bytes);
    this.#position += bytes.length;
    if (bytes.length >= STAGING_BYTES) {
      await this.#flush();
      await this.#out.write(bytes);
      return;
    }
    if (this.#staged + bytes.length > STAGING_BYTES) await this.#flush();
    this.#stage(bytes);
  }

  #stage(bytes: Uint8Array): void {
    this.#staging.set(bytes, this.#staged);
    this.#staged += bytes.length;
  }

  async #flush(): Promise<void> {
    if (this.#staged === 0) return;
    await this.#out.write(this.#staging.subarray(0, this.#staged));
    this.#staged = 0;
  }

  /** End to end: what goes to the backup is what was checksummed when it was received. */
  #verify(memory: number, first: number, count: number, crcs: Uint32Array, crcIndex: number): void {
    this.#parts.checksums.crcRun(this.#parts.memory, memory, first, count, this.#computed, 0);
    for (let i = 0; i < count; i++) {
      if (this.#computed[i] === crcs[crcIndex + i]) continue;
      throw new KeelsonError('SLAB_CORRUPT', `block ${first + i} changed in memory before it was drained`, {
        found: `CRC32C ${hex(this.#computed[i])}`,
        expected: hex(crcs[crcIndex + i]),
        action: 'nothing was published; check the memory of this host',
      });
    }
  }
}

function hex(value: number | undefined): string {
  return `0x${(value ?? 0).toString(16).padStart(8, '0')}`;
}
