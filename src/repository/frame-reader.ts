import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type SlabOffset } from '../base/units.js';
import { type BlockMap, ROW_LOST } from './format/block-map.js';
import type { Checksums } from './format/checksums.js';
import type { FrameCodec } from './format/frame-codec.js';
import { type SegmentCipher, TAG_BYTES } from './format/repository-key.js';
import { readExactlyInto } from './segment-reader.js';
import type { Target } from '../target/target.js';

/** The files that the map's segment numbers mean. */
export interface SegmentFile {
  readonly name: string;
  readonly cipher: SegmentCipher | null;
}

/** One ranged read asks for at most this; larger runs are split. */
const RUN_BYTES_MAX = 512 * 1024;
/** Ranged reads at the same time: enough to hide the three round trips of each small one. At most 8 MiB are held here. */
const RUNS_IN_FLIGHT_MAX = 16;

/** A contiguous range of one file and the units in it. */
interface Run {
  readonly segment: number;
  readonly offset: Bytes;
  readonly length: Bytes;
  readonly units: Unit[];
}

/**
 * What has to be fetched as one: a whole frame when it is compressed or encrypted, else only the blocks wanted of it. from, to: its
 * blocks' positions in the caller's list. Lives as long as the call.
 */
interface Unit {
  readonly row: number;
  readonly first: BlockIndex;
  readonly count: number;
  readonly ordinal: number;
  readonly raw: boolean;
  readonly segment: number;
  readonly offset: Bytes;
  readonly length: Bytes;
  readonly from: number;
  readonly to: number;
}

export interface FrameReaderParts {
  readonly target: Target;
  readonly memory: Uint8Array;
  readonly checksums: Checksums;
  readonly codec: FrameCodec;
}

/** Reads blocks of the image: merged ranged reads, each frame fetched once a call, every block's checksum verified. */
export class FrameReader {
  readonly #parts: FrameReaderParts;

  constructor(parts: FrameReaderParts) {
    this.#parts = parts;
  }

  /**
   * blocks: ascending. Block i goes to memory at into + i * 4096, its checksum to crcs[i]. Resolves to the bytes fetched.
   * Throws BACKUP_CORRUPT naming file and block; then the memory of the call holds nothing of use.
   */
  async read(map: BlockMap, segments: readonly SegmentFile[], blocks: Float64Array, into: SlabOffset, crcs: Uint32Array): Promise<Bytes> {
    const { memory } = this.#parts;
    assert(into >= 0 && into + blocks.length * BLOCK_BYTES <= memory.length, 'the result lies inside the memory');
    assert(crcs.length >= blocks.length, 'a checksum slot for every block');
    const runs = plan(map, segments, blocks, (i) => {
      memory.fill(0, into + i * BLOCK_BYTES, into + (i + 1) * BLOCK_BYTES);
      crcs[i] = 0;
    });
    // The plan and the checksums are copies: a publish may change the map while we wait for the target.
    const expected = new Uint32Array(blocks.length);
    for (let i = 0; i < blocks.length; i++) expected[i] = map.crc(blocks[i] as number);
    let fetched = 0;
    let next = 0;
    let failure: unknown = null;
    const work = async (): Promise<void> => {
      while (next < runs.length && failure === null) {
        const run = runs[next++] as Run;
        const file = segments[run.segment] as SegmentFile;
        const bytes = new Uint8Array(run.length);
        await readExactlyInto(this.#parts.target, file.name, run.offset, bytes);
        fetched += run.length;
        for (const unit of run.units) {
          const stored = bytes.subarray(unit.offset - run.offset, unit.offset - run.offset + unit.length);
          this.#place(
            file,
            unit,
            stored,
            blocks.subarray(unit.from, unit.to),
            expected.subarray(unit.from, unit.to),
            into + unit.from * BLOCK_BYTES,
            crcs,
          );
        }
      }
    };
    // Every worker ends before the call does: none may write to memory that the caller has taken back.
    const guarded = (): Promise<void> =>
      work().catch((error: unknown) => {
        failure ??= error;
      });
    await Promise.all(Array.from({ length: Math.min(RUNS_IN_FLIGHT_MAX, runs.length) }, guarded));
    if (failure !== null) throw failure;
    return fetched;
  }

  #place(
    file: SegmentFile,
    unit: Unit,
    stored: Uint8Array,
    blocks: Float64Array,
    expected: Uint32Array,
    into: SlabOffset,
    crcs: Uint32Array,
  ): void {
    const { memory, codec, checksums } = this.#parts;
    let data: Uint8Array | null = stored;
    if (file.cipher !== null) data = file.cipher.openFrame(unit.ordinal, stored);
    if (data !== null && !unit.raw) data = codec.unpack(data, unit.count);
    if (data === null) throw corruptBlock(file.name, blocks[0] as number, 'a frame that does not decrypt or expand', 'an undamaged frame');
    const offsets = new Float64Array(blocks.length);
    for (let i = 0; i < blocks.length; i++) {
      const at = unit.raw ? i * BLOCK_BYTES : ((blocks[i] as number) - unit.first) * BLOCK_BYTES;
      offsets[i] = into + i * BLOCK_BYTES;
      memory.set(data.subarray(at, at + BLOCK_BYTES), into + i * BLOCK_BYTES);
    }
    checksums.crcBlocks(memory, offsets, blocks, blocks.length, crcs, unit.from);
    for (let i = 0; i < blocks.length; i++) {
      const found = crcs[unit.from + i] as number;
      if (found === expected[i]) continue;
      memory.fill(0, into, into + blocks.length * BLOCK_BYTES);
      throw corruptBlock(file.name, blocks[i] as number, `CRC32C 0x${found.toString(16)}`, `0x${(expected[i] as number).toString(16)}`);
    }
  }
}

function plan(map: BlockMap, segments: readonly SegmentFile[], blocks: Float64Array, zero: (i: number) => void): Run[] {
  const units: Unit[] = [];
  for (let i = 0; i < blocks.length; ) {
    const block = blocks[i] as number;
    assert(block >= 0 && block < map.volumeBlocks && (i === 0 || block > (blocks[i - 1] as number)), 'blocks ascend inside the volume');
    const row = map.row(block);
    if (row === 0) {
      zero(i++);
      continue;
    }
    if (row === ROW_LOST) throw lostBlock(block);
    const segment = map.frames.segment(row);
    const encrypted = (segments[segment] as SegmentFile).cipher !== null;
    const stored = map.frames.stored(row);
    const raw = !encrypted && stored === map.frames.count(row) * BLOCK_BYTES;
    let to = i + 1;
    while (to < blocks.length && map.row(blocks[to] as number) === row && (!raw || blocks[to] === block + (to - i))) to++;
    const first = map.frames.first(row);
    // The blocks of one frame may be parted by a newer block between them; then the frame is in two units, and in one run.
    units.push({
      row,
      first,
      count: map.frames.count(row),
      ordinal: map.frames.ordinal(row),
      raw,
      segment,
      offset: map.frames.offset(row) + (raw ? (block - first) * BLOCK_BYTES : 0),
      length: raw ? (to - i) * BLOCK_BYTES : stored + (encrypted ? TAG_BYTES : 0),
      from: i,
      to,
    });
    i = to;
  }
  units.sort((a, b) => a.segment - b.segment || a.offset - b.offset || a.from - b.from);
  return merge(units);
}

/** Joins units that touch (or are the same frame) into runs. Gaps are not read: a fetched byte is a byte that was needed. */
function merge(units: readonly Unit[]): Run[] {
  const runs: { segment: number; offset: Bytes; length: Bytes; units: Unit[] }[] = [];
  for (const unit of units) {
    const last = runs.at(-1);
    const end = last === undefined ? -1 : last.offset + last.length;
    const sameFrame = last?.units.at(-1)?.row === unit.row && last.segment === unit.segment && unit.offset < end;
    const joins =
      last !== undefined &&
      last.segment === unit.segment &&
      (sameFrame || (unit.offset === end && last.length + unit.length <= RUN_BYTES_MAX));
    if (!joins) {
      runs.push({ segment: unit.segment, offset: unit.offset, length: unit.length, units: [unit] });
      continue;
    }
    last.length = Math.max(end, unit.offset + unit.length) - last.offset;
    last.units.push(unit);
  }
  return runs;
}

function lostBlock(block: number): KeelsonError {
  return new KeelsonError('BACKUP_LOST', `block ${block} was lost before it could be drained`, {
    expected: 'a block that lookup calls data or zeroes',
    action: 'write it again, or read it from an earlier point of the backup, which has an earlier state of it',
  });
}

function corruptBlock(name: string, block: number, found: string, expected: string): KeelsonError {
  return new KeelsonError('BACKUP_CORRUPT', `block ${block} in the backup file ${name} is damaged`, {
    found,
    expected,
    action: 'put the file back from a copy of the backup host, then start the server again; until then the members hold the data',
  });
}
