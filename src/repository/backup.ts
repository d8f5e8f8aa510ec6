import type { BlockIndex, Bytes, Lsn, SlabOffset } from '../base/units.js';

/** What the engine knows of its backup target: implemented by the drain worker's client, by the simulator, and by the tests. */
export interface Backup {
  /** For status and messages: the URL without secrets. */
  readonly target: string;

  /**
   * Connects, takes the writer's lease by epoch, and reads HEAD. Creates the repository when the target directory is empty and `create` is set.
   * Throws KeelsonError: BACKUP_UNREACHABLE (transient), BACKUP_HOST_KEY, BACKUP_AUTH, BACKUP_DENIED, BACKUP_FOREIGN (another array's
   * repository), BACKUP_FENCED (a newer epoch wrote), BACKUP_CORRUPT, BACKUP_MISSING, BACKUP_PASSPHRASE.
   */
  open(options: BackupOpen): Promise<BackupState>;

  /**
   * Publishes one repository segment: everything written in (previous head LSN, lastLsn], superseded blocks left out. `pull` is called
   * until it returns null, one call at a time; the next piece is asked for while this one is written, so the memory of piece i has to stay
   * as it is until pull is called for piece i + 2, or until publish ends. When publish settles no pull is under way.
   * Resolves only when the segment is fsynced, renamed and HEAD names it. When it rejects, the outcome is settled by open alone, which has to be
   * called before the next publish: it either finds the old head LSN (nothing was published; leftovers are removed) or, after a connection that was lost
   * at the very end, the new one. Reads go on from the image as it was.
   * Errors as open, and BACKUP_SPACE (the target is full; transient), SLAB_CORRUPT (a block is not what its checksum says), BACKUP_SEGMENT_SIZE.
   */
  publish(header: SegmentHeader, pull: () => Promise<SegmentPiece | null>): Promise<PublishedSegment>;

  /**
   * What the newest image (or the one at `at`) holds of [first, first + count): out[i] = 1 when block first + i has data there,
   * 0 when it reads as zeroes (never written or trimmed), BLOCK_LOST when what was written last was lost before it was drained. Loads the map into the worker on first use.
   */
  lookup(first: BlockIndex, count: number, out: Uint8Array): Promise<void>;

  /**
   * Reads `blocks` (ascending, no duplicates) of the newest image: block i lands at slab offset into + i * 4096 with its address-seeded CRC32C
   * verified and stored in crcs[i]; blocks that read as zeroes are filled with zeroes and get crc 0. Reads are merged. Throws BACKUP_LOST when one of them is lost.
   * Resolves to the number of stored (compressed) bytes fetched from the target.
   */
  read(blocks: Float64Array, into: SlabOffset, crcs: Uint32Array): Promise<Bytes>;

  /** Extents of the whole newest image that hold data, ascending, as (first, count) pairs; at most limit pairs from block `from`. */
  allocated(from: BlockIndex, limit: number): Promise<Float64Array>;

  /**
   * Asks the host whether the repository is as this process left it. Resolves when it answered and HEAD is the one we know. Throws as open, or BACKUP_CHANGED; not beside publish.
   */
  confirm(): Promise<void>;

  /** Small opaque files beside the segments (superblocks, geometry): published like HEAD. */
  putMetadata(name: string, bytes: Uint8Array): Promise<void>;
  getMetadata(name: string): Promise<Uint8Array | null>;

  close(): Promise<void>;
}

export interface BackupOpen {
  readonly arrayUuid: string;
  readonly epoch: number;
  /** A number of this process alone: of two writers with one epoch the one that holds the lease goes on. Left out: 0, which no other is held against. */
  readonly writer?: number;
  readonly volumeBytes: Bytes;
  readonly create: boolean;
  /** What the array knows to be drained: segments beyond a HEAD that ends before it were published, and are not cleared away as leftovers. */
  readonly drainedLsn?: Lsn;
  /** Read without taking the lease: restore --plan, inspect, and the like. arrayUuid '' accepts any. */
  readonly readOnly?: boolean;
  /** With readOnly: the newest point at or before this LSN instead of the newest one. Throws BACKUP_POINT when there is none. */
  readonly at?: Lsn;
}

export interface BackupState {
  readonly arrayUuid: string;
  readonly volumeBytes: Bytes;
  readonly epoch: number;
  /** The image is exact at this LSN. 0 in a new repository. */
  readonly headLsn: Lsn;
  /** When it was published, by the wall clock of whoever did, milliseconds. 0 in a new repository. */
  readonly headTime: number;
  /** Epoch of whoever published the newest segment; 0 when there is none. */
  readonly segmentEpoch: number;
  readonly segments: number;
  readonly storedBytes: Bytes;
  /** '' when fsync and atomic rename are there; else which weaker fallback is in use. */
  readonly weakness: string;
}

export interface SegmentHeader {
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** Wall clock, milliseconds; describes, never orders. */
  readonly time: number;
  /** The publish that first holds the whole image (seeding) replaces all segments before it. */
  readonly seed: boolean;
}

/** Out of lookup: see there. */
export const BLOCK_LOST = 2;

export const EXTENT_HOLE = -1;
export const EXTENT_LOST = -2;

/**
 * Extents in any order of blocks but each block at most once in a segment. Extent i covers blocks first[i] .. first[i] + count[i] - 1.
 * memory[i] = slab offset of its data (contiguous), or EXTENT_HOLE: the range was trimmed or zeroed and reads as zeroes from here on, or EXTENT_LOST: what was written there
 * is in nobody's hands, and what the image held before is older.
 * crcs holds the address-seeded CRC32C of every data block, extents in order (none for holes and for what is lost).
 */
export interface SegmentPiece {
  readonly extents: number;
  readonly first: Float64Array;
  readonly count: Float64Array;
  readonly memory: Float64Array;
  readonly crcs: Uint32Array;
}

export interface PublishedSegment {
  readonly segment: number;
  readonly lastLsn: Lsn;
  readonly storedBytes: Bytes;
  readonly dataBytes: Bytes;
}
