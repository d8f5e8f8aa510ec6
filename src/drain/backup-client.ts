import { Worker } from 'node:worker_threads';
import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { BlockIndex, Bytes, SlabOffset } from '../base/units.js';
import type { Slab } from '../memory/slab.js';
import type { Backup, BackupOpen, BackupState, PublishedSegment, SegmentHeader, SegmentPiece } from '../repository/backup.js';
import { printableUrl } from '../target/open-target.js';
import type { BackupCall, BackupResults, BackupWorkerData, FromBackupWorker, ToBackupWorker } from './backup-messages.js';

export interface BackupClientOptions {
  readonly slab: Slab;
  /** sftp://user@host:port/path or file:///path. */
  readonly url: string;
  /** Paths; unused for file://. */
  readonly identity: string;
  readonly knownHosts: string;
  readonly compression: 'zstd' | 'none';
  /** '' = not encrypted. */
  readonly passphrase: string;
}

/** Calls that have not been answered. A caller beyond it has lost count of its own bound. */
export const BACKUP_CALLS_MAX = 64;
/** A thread that does not end by itself, because its connection does not, is ended. */
const CLOSE_TIMEOUT_MS = 5_000;

interface Pending {
  resolve(value: BackupResults[keyof BackupResults]): void;
  reject(error: KeelsonError): void;
}

const WORKER_ENTRY = new URL('./backup-worker.js', import.meta.url);

/**
 * The repository as the main thread sees it: everything happens in one long-lived thread. Throws BACKUP_URL for a URL it does not know.
 * entry: another entry file of that thread (tests).
 */
export function createBackupClient(options: BackupClientOptions, entry: URL = WORKER_ENTRY): Backup {
  return new BackupClient(options, entry);
}

class BackupClient implements Backup {
  readonly target: string;
  readonly #data: BackupWorkerData;
  readonly #entry: URL;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #pull: (() => Promise<SegmentPiece | null>) | null = null;
  #pulled: Promise<void> = Promise.resolve();
  #nextId = 1;

  constructor(options: BackupClientOptions, entry: URL) {
    this.#entry = entry;
    const { slab, url, identity, knownHosts, compression, passphrase } = options;
    this.target = printableUrl(url);
    this.#data = { slab: slab.shared, url, identity, knownHosts, compression, passphrase };
  }

  async open(options: BackupOpen): Promise<BackupState> {
    this.#worker ??= this.#start();
    return this.#call('open', { verb: 'open', options });
  }

  async publish(header: SegmentHeader, pull: () => Promise<SegmentPiece | null>): Promise<PublishedSegment> {
    assert(this.#pull === null, 'one publish at a time');
    this.#pull = pull;
    try {
      return await this.#call('publish', { verb: 'publish', header });
    } finally {
      // Also after a failure: when publish settles, no call of pull is under way and no memory is looked at any more.
      await this.#pulled;
      this.#pull = null;
    }
  }

  async lookup(first: BlockIndex, count: number, out: Uint8Array): Promise<void> {
    out.set(await this.#call('lookup', { verb: 'lookup', first, count }));
  }

  async read(blocks: Float64Array, into: SlabOffset, crcs: Uint32Array): Promise<Bytes> {
    const result = await this.#call('read', { verb: 'read', blocks, into });
    crcs.set(result.crcs);
    return result.fetched;
  }

  allocated(from: BlockIndex, limit: number): Promise<Float64Array> {
    return this.#call('allocated', { verb: 'allocated', from, limit });
  }

  async confirm(): Promise<void> {
    await this.#call('confirm', { verb: 'confirm' });
  }

  async putMetadata(name: string, bytes: Uint8Array): Promise<void> {
    await this.#call('putMetadata', { verb: 'putMetadata', name, bytes });
  }

  getMetadata(name: string): Promise<Uint8Array | null> {
    return this.#call('getMetadata', { verb: 'getMetadata', name });
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === null) return;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const timer = setTimeout(() => void worker.terminate(), CLOSE_TIMEOUT_MS);
    await this.#call('close', { verb: 'close' }).catch(() => worker.terminate());
    await ended;
    clearTimeout(timer);
  }

  #call<V extends keyof BackupResults>(_verb: V, call: BackupCall & { readonly verb: V }): Promise<BackupResults[V]> {
    return new Promise<BackupResults[V]>((resolve, reject) => {
      if (this.#worker === null) {
        reject(threadGone(this.target, 'no backup thread is running'));
        return;
      }
      assert(this.#pending.size < BACKUP_CALLS_MAX, `at most ${BACKUP_CALLS_MAX} calls of the backup at a time`);
      const id = this.#nextId++;
      // The worker answers a verb with that verb's result: the one place where the type is taken on trust.
      this.#pending.set(id, { resolve: (value) => resolve(value as BackupResults[V]), reject });
      this.#post({ kind: 'call', id, call });
    });
  }

  #start(): Worker {
    const worker = new Worker(this.#entry, { workerData: this.#data, name: 'keelson backup' });
    let reason = 'the backup thread ended';
    worker.on('message', (message: FromBackupWorker) => this.#receive(message));
    worker.on('error', (error: unknown) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = null;
      const pending = [...this.#pending.values()];
      this.#pending.clear();
      for (const call of pending) call.reject(threadGone(this.target, reason));
    });
    return worker;
  }

  #receive(message: FromBackupWorker): void {
    if (message.kind === 'pull') {
      this.#answerPull();
      return;
    }
    const call = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.kind === 'result') call?.resolve(message.value);
    else call?.reject(KeelsonError.fromRecord(message.error));
  }

  #answerPull(): void {
    const pull = this.#pull;
    if (pull === null) return;
    this.#pulled = pull().then(
      (piece) => this.#post({ kind: 'piece', piece: piece === null ? null : compact(piece) }),
      (error: unknown) => this.#post({ kind: 'pieceFailed', error: KeelsonError.from(error).toRecord() }),
    );
  }

  #post(message: ToBackupWorker): void {
    this.#worker?.postMessage(message);
  }
}

/** Only what belongs to the piece: posting a view copies the whole buffer behind it, and posting shared memory would share it. */
function compact(piece: SegmentPiece): SegmentPiece {
  const { extents } = piece;
  return {
    extents,
    first: piece.first.slice(0, extents),
    count: piece.count.slice(0, extents),
    memory: piece.memory.slice(0, extents),
    crcs: piece.crcs.slice(),
  };
}

function threadGone(target: string, found: string): KeelsonError {
  return new KeelsonError('BACKUP_UNREACHABLE', `the backup thread for ${target} is not running`, {
    found,
    expected: 'a running thread',
    action: 'opening the backup starts it again',
  });
}
