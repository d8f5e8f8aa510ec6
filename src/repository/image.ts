import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type Lsn, type SlabOffset } from '../base/units.js';
import { BlockMap } from './format/block-map.js';
import { FrameReader, type FrameReaderParts, type SegmentFile } from './frame-reader.js';
import type { Head } from './format/head.js';
import { parseSegmentName, segmentName } from './format/names.js';
import type { RepositoryConfig } from './format/repository-config.js';
import type { SegmentCipher } from './format/repository-key.js';
import { corruptFile } from './format/sealed-file.js';
import { decodeSegmentIndex, FRAME_BLOCKS } from './format/segment-index.js';
import { type LoadedSegment, loadSegment } from './segment-reader.js';
import type { WrittenSegment } from './segment-writer.js';

/** Segments whose index is being read at the same time while the map is loaded. */
const LOADS_IN_FLIGHT = 8;

/** The volume as the repository holds it at one HEAD: which segments make it, and, once asked for, the map of its blocks. */
export class RepositoryImage {
  readonly config: RepositoryConfig;
  readonly #parts: FrameReaderParts;
  readonly #reader: FrameReader;
  #head: Head;
  #map: BlockMap | null = null;
  #segments: SegmentFile[] = [];
  #loading: Promise<BlockMap> | null = null;

  constructor(parts: FrameReaderParts, config: RepositoryConfig, head: Head) {
    this.#parts = parts;
    this.config = config;
    this.#head = head;
    this.#reader = new FrameReader(parts);
  }

  get head(): Head {
    return this.#head;
  }

  /** Checks that the segment HEAD names is there and is the one HEAD means. Throws BACKUP_CORRUPT. */
  async checkNewest(): Promise<void> {
    if (this.#head.segment > 0) await this.#loadNewest();
  }

  /** Goes back to the newest point at or before `at`. Throws BACKUP_POINT when the repository does not reach back so far. */
  async rewind(at: Lsn): Promise<void> {
    const newest = this.#head;
    if (newest.segment === 0 || newest.headLsn <= at) return this.checkNewest();
    let segment = await this.#loadNewest();
    while (segment.header.lastLsn > at) {
      if (segment.header.segment === 1) {
        throw new KeelsonError('BACKUP_POINT', `the backup at ${this.#parts.target.url} does not reach back to LSN ${at}`, {
          found: `its oldest point is LSN ${segment.header.lastLsn}`,
          expected: `a point at or before LSN ${at}`,
          action: 'choose a later point',
        });
      }
      segment = await this.#loadPrevious(segment);
    }
    const point = segment;
    let storedBytes = segment.fileBytes;
    while (!segment.header.seed && segment.header.segment > 1) {
      segment = await this.#loadPrevious(segment);
      storedBytes += segment.fileBytes;
    }
    this.#head = {
      ...newest,
      segment: point.header.segment,
      segmentEpoch: point.header.epoch,
      segmentHash: point.hash,
      headLsn: point.header.lastLsn,
      firstSegment: segment.header.segment,
      storedBytes,
      time: point.header.time,
    };
  }

  /** The map, loaded on first use from the indexes of all segments of the image. Throws BACKUP_CORRUPT, BACKUP_UNREACHABLE. */
  async map(): Promise<BlockMap> {
    if (this.#map !== null) return this.#map;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async read(blocks: Float64Array, into: SlabOffset, crcs: Uint32Array): Promise<Bytes> {
    await this.map();
    // Taken again: a publish may have replaced both while the map was loading.
    const map = this.#map;
    assert(map !== null, 'a loaded map');
    return this.#reader.read(map, this.#segments, blocks, into, crcs);
  }

  /** A segment was published: the image moves on, without reading it back. */
  advance(head: Head, seed: boolean, written: WrittenSegment, cipher: SegmentCipher | null): void {
    this.#head = head;
    if (this.#map === null) return;
    const name = segmentName(head.segment, head.segmentEpoch);
    const volumeBlocks = head.volumeBytes / BLOCK_BYTES;
    const index = decodeSegmentIndex(name, written.index, {
      ...written,
      volumeBlocks,
      frameBlocksMax: FRAME_BLOCKS,
      encrypted: cipher !== null,
    });
    if (seed) {
      this.#map = new BlockMap(volumeBlocks);
      this.#segments = [];
    }
    this.#map.apply(this.#segments.length, index);
    this.#segments.push({ name, cipher });
  }

  async #load(): Promise<BlockMap> {
    for (;;) {
      const head = this.#head;
      const map = new BlockMap(head.volumeBytes / BLOCK_BYTES);
      const segments: SegmentFile[] = [];
      if (head.segment > 0) await this.#applyAll(head, map, segments);
      // A publish that finished meanwhile is not in this map: read what it added.
      if (head.segment !== this.#head.segment) continue;
      this.#map = map;
      this.#segments = segments;
      return map;
    }
  }

  async #applyAll(head: Head, map: BlockMap, segments: SegmentFile[]): Promise<void> {
    const names = await this.#names(head);
    const loads: Promise<LoadedSegment>[] = [];
    let before: LoadedSegment | null = null;
    for (let i = 0; i < names.length; i++) {
      for (let ahead = loads.length; ahead < Math.min(names.length, i + LOADS_IN_FLIGHT); ahead++) {
        const load = loadSegment(this.#parts.target, names[ahead] as string, this.config.key);
        load.catch(() => undefined);
        loads.push(load);
      }
      const segment: LoadedSegment = await (loads[i] as Promise<LoadedSegment>);
      // The promise keeps its index alive otherwise.
      delete loads[i];
      this.#checkLink(segment, before, head.firstSegment + i, head);
      map.apply(segments.length, segment.index);
      segments.push({ name: segment.name, cipher: segment.cipher });
      before = segment;
    }
    if (before === null || Buffer.compare(before.hash, head.segmentHash) !== 0) {
      throw corruptFile(names.at(-1) ?? 'HEAD', 'another segment hash than HEAD names', 'the segment that HEAD names');
    }
  }

  #checkLink(segment: LoadedSegment, before: LoadedSegment | null, number: number, head: Head): void {
    const { header, name } = segment;
    if (header.segment !== number || header.arrayUuid !== head.arrayUuid || header.volumeBytes !== head.volumeBytes) {
      throw corruptFile(name, `segment ${header.segment} of array ${header.arrayUuid}`, `segment ${number} of array ${head.arrayUuid}`);
    }
    if (before === null) {
      if (number > 1 && !header.seed) throw corruptFile(name, 'a first segment that is not a seed', 'a seed');
    } else if (Buffer.compare(header.previousHash, before.hash) !== 0) {
      throw corruptFile(before.name, 'another segment hash than its successor names', 'an unbroken chain');
    }
  }

  /** File names of the image's segments, oldest first. More than one file of a number is rare: then the chain itself decides. */
  async #names(head: Head): Promise<string[]> {
    const epochs = new Map<number, number[]>();
    for (const entry of await this.#parts.target.list()) {
      const parsed = parseSegmentName(entry.name);
      if (parsed === null) continue;
      const found = epochs.get(parsed.segment);
      if (found === undefined) epochs.set(parsed.segment, [parsed.epoch]);
      else found.push(parsed.epoch);
    }
    const names: string[] = [];
    let epoch = head.segmentEpoch;
    for (let number = head.segment; number >= head.firstSegment; number--) {
      const name = segmentName(number, epoch);
      names.push(name);
      if (number === head.firstSegment) break;
      const before = epochs.get(number - 1) ?? [];
      if (before.length === 0) throw corruptFile(`segment ${number - 1}`, 'no such file', 'every segment from the newest seed to HEAD');
      epoch =
        before.length === 1 ? (before[0] as number) : (await loadSegment(this.#parts.target, name, this.config.key)).header.previousEpoch;
    }
    return names.reverse();
  }

  async #loadNewest(): Promise<LoadedSegment> {
    const name = segmentName(this.#head.segment, this.#head.segmentEpoch);
    const segment = await loadSegment(this.#parts.target, name, this.config.key);
    if (Buffer.compare(segment.hash, this.#head.segmentHash) !== 0) {
      throw corruptFile(name, 'another segment hash than HEAD names', 'the segment that HEAD names');
    }
    return segment;
  }

  async #loadPrevious(segment: LoadedSegment): Promise<LoadedSegment> {
    const name = segmentName(segment.header.segment - 1, segment.header.previousEpoch);
    const before = await loadSegment(this.#parts.target, name, this.config.key);
    if (Buffer.compare(before.hash, segment.header.previousHash) !== 0) {
      throw corruptFile(name, 'another segment hash than its successor names', 'an unbroken chain');
    }
    return before;
  }
}
