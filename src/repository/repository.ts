import { randomBytes } from 'node:crypto';
import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { BlockIndex, Bytes, SlabOffset } from '../base/units.js';
import {
  type Backup,
  BLOCK_LOST,
  type BackupOpen,
  type BackupState,
  type PublishedSegment,
  type SegmentHeader,
  type SegmentPiece,
} from './backup.js';
import { ROW_LOST } from './format/block-map.js';
import type { Checksums } from './format/checksums.js';
import { type Compression, FrameCodec } from './format/frame-codec.js';
import { HASH_BYTES, type Head } from './format/head.js';
import { RepositoryImage } from './image.js';
import { metadataName, segmentName, temporaryName } from './format/names.js';
import { type Ambient, type Lease, RepositoryFiles, systemAmbient } from './repository-files.js';
import type { RepositoryConfig } from './format/repository-config.js';
import { SCRYPT_DEFAULT, type ScryptCost, type SegmentCipher } from './format/repository-key.js';
import { SALT_BYTES } from './format/segment-header.js';
import { FRAME_BLOCKS } from './format/segment-index.js';
import { SegmentWriter, type WrittenSegment } from './segment-writer.js';
import type { Target, TargetWriter } from '../target/target.js';

export interface RepositoryOptions {
  readonly target: Target;
  /** What publish reads from and read writes to: offsets count from its start. */
  readonly memory: Uint8Array;
  readonly checksums: Checksums;
  readonly compression: Compression;
  /** '' = not encrypted. */
  readonly passphrase: string;
  /** Cost of the passphrase in a new repository; left out: SCRYPT_DEFAULT. Tests, which open hundreds, take a cheaper one. */
  readonly scrypt?: ScryptCost;
  /** Names and time from outside; left out: the system's. */
  readonly ambient?: Ambient;
}

interface Written extends WrittenSegment {
  readonly cipher: SegmentCipher | null;
}

interface Opened {
  readonly options: BackupOpen;
  readonly config: RepositoryConfig;
  readonly weakness: string;
  head: Head;
}

/** The backup's own format on a target (docs/repository-format.md). One publish, and any number of reads, at a time. */
export class Repository implements Backup {
  readonly target: string;
  readonly #options: RepositoryOptions;
  readonly #codec: FrameCodec;
  readonly #files: RepositoryFiles;
  #opened: Opened | null = null;
  #image: RepositoryImage | null = null;
  #publishing = false;

  constructor(options: RepositoryOptions) {
    this.#options = options;
    this.target = options.target.url;
    this.#codec = new FrameCodec(options.compression);
    this.#files = new RepositoryFiles(options.target, options.passphrase, options.scrypt ?? SCRYPT_DEFAULT, options.ambient);
  }

  async open(options: BackupOpen): Promise<BackupState> {
    assert(!this.#publishing, 'open does not run beside publish');
    const readOnly = options.readOnly === true;
    this.#opened = null;
    this.#image = null;
    const { weakness } = await this.#options.target.open(options.create && !readOnly);
    // A publish that was cut short may have given HEAD its name without making that durable. It is read here and built upon, so it must not be gone after a power failure.
    await this.#options.target.syncDirectory();
    // First: a rename of an attempt that was given up can no longer come late once its temporary file is gone.
    if (!readOnly) await this.#files.removeTemporaries();
    const config = await this.#files.config(options);
    const head = readOnly ? await this.#files.head(config) : await this.#takeLease(config, options);
    if (head === null) throw this.#missing();
    const image = new RepositoryImage({ ...this.#options, codec: this.#codec }, config, head);
    if (options.at === undefined) await image.checkNewest();
    else await image.rewind(options.at);
    if (!readOnly && head.headLsn >= (options.drainedLsn ?? 0)) await this.#files.removeOrphans(head);
    this.#image = image;
    this.#opened = { options, config, weakness, head: image.head };
    return this.#state(this.#opened);
  }

  async publish(header: SegmentHeader, pull: () => Promise<SegmentPiece | null>): Promise<PublishedSegment> {
    const opened = this.#writable();
    assert(!this.#publishing, 'one publish at a time');
    assert(header.lastLsn >= opened.head.headLsn && header.firstLsn <= header.lastLsn + 1, 'a segment does not go back in time');
    this.#publishing = true;
    // Until it is done nobody knows what is on the target: after a failure only open() tells.
    this.#opened = null;
    let temporary = '';
    let file: TargetWriter | null = null;
    try {
      await this.#refuseFenced(opened);
      temporary = temporaryName((this.#options.ambient ?? systemAmbient).unique());
      file = await this.#options.target.create(temporary);
      const written = await this.#write(opened, header, file, pull);
      await file.close();
      file = null;
      const head = await this.#commit(opened, header, temporary, written);
      temporary = '';
      this.#image?.advance(head, header.seed, written, written.cipher);
      opened.head = head;
      this.#opened = opened;
      return { segment: head.segment, lastLsn: head.headLsn, storedBytes: written.fileBytes, dataBytes: written.dataBytes };
    } catch (error) {
      await file?.abandon().catch(() => undefined);
      if (temporary !== '') await this.#options.target.remove(temporary).catch(() => undefined);
      throw error;
    } finally {
      this.#publishing = false;
    }
  }

  async lookup(first: BlockIndex, count: number, out: Uint8Array): Promise<void> {
    const map = await this.#readable().map();
    assert(first >= 0 && first + count <= map.volumeBlocks && out.length >= count, 'blocks inside the volume');
    for (let i = 0; i < count; i++) {
      const row = map.row(first + i);
      out[i] = row === 0 ? 0 : row === ROW_LOST ? BLOCK_LOST : 1;
    }
  }

  async read(blocks: Float64Array, into: SlabOffset, crcs: Uint32Array): Promise<Bytes> {
    return this.#readable().read(blocks, into, crcs);
  }

  async allocated(from: BlockIndex, limit: number): Promise<Float64Array> {
    const map = await this.#readable().map();
    const pairs: number[] = [];
    for (let block = map.next(from, true); block < map.volumeBlocks && pairs.length < limit * 2; ) {
      const end = map.next(block, false);
      pairs.push(block, end - block);
      block = map.next(end, true);
    }
    return Float64Array.from(pairs);
  }

  async confirm(): Promise<void> {
    assert(!this.#publishing, 'confirm does not run beside publish');
    await this.#refuseChanged(this.#writable());
  }

  async putMetadata(name: string, bytes: Uint8Array): Promise<void> {
    const opened = this.#writable();
    await this.#refuseFenced(opened);
    await this.#files.putMetadata(metadataName(name), bytes, opened.config);
  }

  async getMetadata(name: string): Promise<Uint8Array | null> {
    return this.#files.getMetadata(metadataName(name), this.#readable().config);
  }

  async close(): Promise<void> {
    this.#opened = null;
    this.#image = null;
    await this.#options.target.close();
  }

  /**
   * The lease first, then the newest HEAD, then a HEAD of our own epoch: a writer that renamed its HEAD before it could see our lease
   * did so before we read it; one that comes later looks at the lease after its rename and knows that it is fenced (decision 0020).
   */
  async #takeLease(config: RepositoryConfig, options: BackupOpen): Promise<Head> {
    const lease = await this.#files.lease(config);
    const before = await this.#files.head(config);
    const newest = Math.max(lease.epoch, before?.epoch ?? 0);
    if (newest > options.epoch || isOther(lease, options)) throw fenced(this.target, newest, options.epoch);
    if (before === null) await this.#files.refuseLostHead();
    else if (before.volumeBytes !== options.volumeBytes) throw otherSize(this.target, before.volumeBytes, options.volumeBytes);
    if (lease.epoch < options.epoch) await this.#files.putLease(leaseOf(options), config);
    const head = (await this.#files.head(config)) ?? emptyHead(config.arrayUuid, options);
    if (head.epoch > options.epoch) throw fenced(this.target, head.epoch, options.epoch);
    if (before !== null && head.epoch === options.epoch) return head;
    const ours = { ...head, epoch: options.epoch };
    await this.#files.putHead(ours, config);
    return ours;
  }

  async #refuseFenced(opened: Opened): Promise<void> {
    const { config, options } = opened;
    const lease = await this.#files.lease(config);
    if (lease.epoch > options.epoch || isOther(lease, options)) throw fenced(this.target, lease.epoch, options.epoch);
    // It was put there when the repository was opened: alone in an emptied directory, it would look like a damaged repository.
    if (lease.epoch === 0) throw changed(this.target, 'no lease', `that of epoch ${options.epoch}`);
    // A fenced writer may have put its older lease over ours at the same moment.
    if (lease.epoch < options.epoch) await this.#files.putLease(leaseOf(options), config);
  }

  /** A host that was put back to an earlier state between two publishes has lost the segments that this one continues. */
  async #refuseChanged({ config, head }: Opened): Promise<void> {
    const found = await this.#files.head(config);
    if (found !== null && found.epoch > head.epoch) throw fenced(this.target, found.epoch, head.epoch);
    if (found !== null && found.epoch === head.epoch && Buffer.compare(found.segmentHash, head.segmentHash) === 0) return;
    const at = ({ segment, headLsn }: Head): string => `segment ${segment} at LSN ${headLsn}`;
    throw changed(this.target, found === null ? 'no HEAD' : at(found), at(head));
  }

  async #write(opened: Opened, header: SegmentHeader, file: TargetWriter, pull: () => Promise<SegmentPiece | null>): Promise<Written> {
    const { config, head, options } = opened;
    const salt = config.key === null ? Buffer.alloc(SALT_BYTES) : randomBytes(SALT_BYTES);
    const cipher = config.key === null ? null : config.key.segmentCipher(salt);
    const writer = new SegmentWriter(
      file,
      {
        encrypted: cipher !== null,
        seed: header.seed,
        frameBlocksMax: FRAME_BLOCKS,
        segment: head.segment + 1,
        epoch: options.epoch,
        firstLsn: header.firstLsn,
        lastLsn: header.lastLsn,
        time: header.time,
        volumeBytes: head.volumeBytes,
        previousEpoch: head.segmentEpoch,
        previousLsn: head.headLsn,
        previousHash: head.segmentHash,
        salt,
        arrayUuid: config.arrayUuid,
      },
      { memory: this.#options.memory, checksums: this.#options.checksums, codec: this.#codec, cipher },
    );
    // The next piece is asked for while this one is written: its memory stays ours until the pull after the next.
    let next = pull();
    for (;;) {
      const piece = await next;
      if (piece === null) return { ...(await writer.finish()), cipher };
      next = pull();
      const settled = next.then(
        () => undefined,
        () => undefined,
      );
      try {
        await writer.append(piece);
      } catch (error) {
        // The caller must not find its pull still running when publish is over.
        await settled;
        throw error;
      }
    }
  }

  /** The segment gets its name, then HEAD names it; each rename is durable before the next step. */
  async #commit(opened: Opened, header: SegmentHeader, temporary: string, written: Written): Promise<Head> {
    const before = opened.head;
    const segment = before.segment + 1;
    const epoch = opened.options.epoch;
    const name = segmentName(segment, epoch);
    await this.#options.target.rename(temporary, name);
    await this.#options.target.syncDirectory();
    try {
      await this.#refuseFenced(opened);
      await this.#refuseChanged(opened);
    } catch (error) {
      if (error instanceof KeelsonError && (error.code === 'BACKUP_FENCED' || error.code === 'BACKUP_CHANGED'))
        await this.#options.target.remove(name).catch(() => undefined);
      throw error;
    }
    const head: Head = {
      ...before,
      epoch,
      segment,
      segmentEpoch: epoch,
      segmentHash: written.hash,
      headLsn: header.lastLsn,
      firstSegment: header.seed || before.firstSegment === 0 ? segment : before.firstSegment,
      storedBytes: (header.seed ? 0 : before.storedBytes) + written.fileBytes,
      time: header.time,
    };
    await this.#files.putHead(head, opened.config);
    await this.#refuseFenced(opened);
    return head;
  }

  #writable(): Opened {
    if (this.#opened === null) throw notOpen(this.target);
    assert(this.#opened.options.readOnly !== true, 'a repository opened for reading is not written to');
    return this.#opened;
  }

  #readable(): RepositoryImage {
    if (this.#image === null) throw notOpen(this.target);
    return this.#image;
  }

  #state(opened: Opened): BackupState {
    const { head, weakness } = opened;
    return {
      arrayUuid: head.arrayUuid,
      volumeBytes: head.volumeBytes,
      epoch: head.epoch,
      headLsn: head.headLsn,
      headTime: head.time,
      segmentEpoch: head.segmentEpoch,
      segments: head.segment === 0 ? 0 : head.segment - head.firstSegment + 1,
      storedBytes: head.storedBytes,
      weakness,
    };
  }

  #missing(): KeelsonError {
    return new KeelsonError('BACKUP_MISSING', `there is no repository at ${this.target}`, {
      found: 'no HEAD',
      action: 'mount the file system of the backup host, or correct backup.url',
    });
  }
}

function leaseOf({ epoch, writer = 0 }: BackupOpen): Lease {
  return { epoch, writer };
}

/** Two copies of an array come to the same epochs: then the one that holds the lease goes on. */
function isOther(lease: Lease, { epoch, writer = 0 }: BackupOpen): boolean {
  return lease.epoch === epoch && lease.writer !== 0 && writer !== 0 && lease.writer !== writer;
}

function emptyHead(arrayUuid: string, options: BackupOpen): Head {
  return {
    arrayUuid,
    volumeBytes: options.volumeBytes,
    epoch: options.epoch,
    segment: 0,
    segmentEpoch: 0,
    segmentHash: new Uint8Array(HASH_BYTES),
    headLsn: 0,
    firstSegment: 0,
    storedBytes: 0,
    time: 0,
  };
}

function otherSize(target: string, found: Bytes, ours: Bytes): KeelsonError {
  return new KeelsonError('BACKUP_FOREIGN', `the repository at ${target} holds a volume of another size`, {
    found: `${found} bytes`,
    expected: `${ours} bytes`,
    action: 'correct backup.url, or use an empty directory',
  });
}

function fenced(target: string, found: number, ours: number): KeelsonError {
  return new KeelsonError('BACKUP_FENCED', `another process has taken the array and its backup at ${target}`, {
    found: `a writer of epoch ${found}`,
    expected: `none of our epoch ${ours} or a newer one`,
    action: 'stop one of the two',
  });
}

function changed(target: string, found: string, expected: string): KeelsonError {
  return new KeelsonError('BACKUP_CHANGED', `the repository at ${target} is not what this process left there`, {
    found,
    expected,
    action: 'wait: it is opened again by itself, and drained again from there if the ring still has it',
  });
}

function notOpen(target: string): KeelsonError {
  return new KeelsonError('BACKUP_UNREACHABLE', `the repository at ${target} has to be opened again`, {
    found: 'not open, or an operation failed and its outcome is not known',
    action: 'the next drain opens it',
  });
}
