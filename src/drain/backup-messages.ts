import type { ErrorRecord } from '../base/errors.js';
import type { BackupOpen, BackupState, PublishedSegment, SegmentHeader, SegmentPiece } from '../repository/backup.js';

/** Everything the backup thread needs to know once. */
export interface BackupWorkerData {
  readonly slab: SharedArrayBuffer;
  readonly url: string;
  readonly identity: string;
  readonly knownHosts: string;
  readonly compression: 'zstd' | 'none';
  readonly passphrase: string;
}

/** What the main thread asks for. Results come back under the same id; typed arrays are copied, slab memory is shared. */
export type BackupCall =
  | { readonly verb: 'open'; readonly options: BackupOpen }
  | { readonly verb: 'publish'; readonly header: SegmentHeader }
  | { readonly verb: 'lookup'; readonly first: number; readonly count: number }
  | { readonly verb: 'read'; readonly blocks: Float64Array; readonly into: number }
  | { readonly verb: 'allocated'; readonly from: number; readonly limit: number }
  | { readonly verb: 'confirm' }
  | { readonly verb: 'putMetadata'; readonly name: string; readonly bytes: Uint8Array }
  | { readonly verb: 'getMetadata'; readonly name: string }
  | { readonly verb: 'close' };

export interface BackupResults {
  open: BackupState;
  publish: PublishedSegment;
  lookup: Uint8Array;
  read: { readonly fetched: number; readonly crcs: Uint32Array };
  allocated: Float64Array;
  confirm: null;
  putMetadata: null;
  getMetadata: Uint8Array | null;
  close: null;
}

export type ToBackupWorker =
  | { readonly kind: 'call'; readonly id: number; readonly call: BackupCall }
  | { readonly kind: 'piece'; readonly piece: SegmentPiece | null }
  | { readonly kind: 'pieceFailed'; readonly error: ErrorRecord };

export type FromBackupWorker =
  | { readonly kind: 'result'; readonly id: number; readonly value: BackupResults[keyof BackupResults] }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorRecord }
  /** publish wants its next piece. */
  | { readonly kind: 'pull' };
