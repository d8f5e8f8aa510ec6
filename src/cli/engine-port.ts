import type { ErrorRecord, KeelsonError } from '../base/errors.js';
import type { Bytes, Lsn } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { ArrayPlan } from '../engine/array-plan.js';
import type { ControlTarget, OnProgress } from '../control/control-target.js';
import type { BackupTrial } from '../repository/trial.js';

/** The one place where the command line meets the engine; every verb that needs an array of its own goes through it. Errors are KeelsonError. */
export interface EnginePort {
  /** Writes superblocks. Refuses (exit 3) members that hold anything unless force. */
  createArray(settings: Settings, options: CreateOptions): Promise<CreateReport>;
  /** What createArray would make of the configuration and of the members that there are. Touches nothing. */
  planArray(settings: Settings): Promise<ArrayPlan>;
  /**
   * Asks the backup of an array that is going to be made; null: none is configured. write: tries a file there. Throws (exit 2 or 3) when
   * it refuses us or holds something; that it is out of reach is in the result.
   */
  tryBackup(settings: Settings, options: { readonly write: boolean; readonly signal: AbortSignal }): Promise<BackupTrial | null>;
  /** Assembles, recovers and exports. Resolves when every address of settings.export takes clients. */
  openArray(settings: Settings, options: { readonly log: EventLog }): Promise<RunningArray>;
  /** Makes all members anew and fills them from the backup. Refuses (exit 3) members that hold anything unless force. */
  restoreArray(settings: Settings, options: RestoreOptions): Promise<RestoreReport>;
  /** Reads one device offline, without holding it. */
  inspectDevice(path: string): Promise<DeviceReport>;
  /**
   * Takes our signature off a device that nobody holds, when approve says so. null: it is blank. Refuses (exit 3) what is not ours, what is in use,
   * and what is not approved.
   */
  wipeDevice(path: string, approve: (found: WipeReport) => Promise<boolean>): Promise<WipeReport | null>;
}

export interface CreateOptions {
  readonly force: boolean;
  /** Aborted: ends early, and takes back what was made. */
  readonly signal: AbortSignal;
}

export interface CreateReport {
  readonly uuid: string;
  readonly name: string;
  readonly volumeBytes: Bytes;
  readonly members: number;
  readonly plan: ArrayPlan;
}

export interface RunningArray {
  readonly control: ControlTarget;
  /** NBD URI of every export, in the order of the configuration, with the port really bound. */
  readonly uris: readonly string[];
  /** What came of the first attempt to reach the backup, when it has ended; null: there is none. */
  readonly backup: Promise<BackupContact> | null;
  /** Resolves only when the array cannot go on (fenced, no journal copy left to write to): the server then ends with this error. */
  readonly fatal: Promise<KeelsonError>;
  /** Refuses new clients, flushes, writes a clean checkpoint and releases the members. */
  close(): Promise<void>;
}

/** The backup at the start of a server. */
export interface BackupContact {
  readonly target: string;
  readonly reached: boolean;
  /** The backup holds everything up to this one; null: not known. */
  readonly lsn: Lsn | null;
  /** The newest that was written to the volume. */
  readonly headLsn: Lsn;
  readonly error: ErrorRecord | null;
}

export interface RestoreOptions extends CreateOptions {
  readonly log: EventLog;
  readonly onProgress: OnProgress;
}

export interface RestoreReport {
  /** The volume is exactly what it was at this LSN. */
  readonly lsn: Lsn;
  readonly volumeBytes: Bytes;
  readonly restoredBytes: Bytes;
  /** Blocks that the image itself calls lost: reading them is an error. */
  readonly lostBlocks?: number;
  /** When the image was published, milliseconds. */
  readonly time: number;
  /** The newest image that the backup had at the end: beyond lsn when another server published meanwhile. null: it did not say. */
  readonly newestLsn: Lsn | null;
}

/** What of ours is on a device; null: not known. */
export interface WipeReport {
  /** In words. */
  readonly holds: string;
  readonly array: string | null;
  readonly uuid: string | null;
  readonly member: number | null;
  readonly role: string | null;
  readonly state: string | null;
  readonly epoch: number | null;
}

/** What one device says of itself: printed as indented lines, or as it is with --json. */
export interface DeviceReport {
  readonly path: string;
  readonly [section: string]: ReportValue;
}
export type ReportValue = string | number | boolean | null | undefined | readonly ReportValue[] | { readonly [key: string]: ReportValue };

/** Structured log, as pino has it: figures first, then the sentence. */
export interface EventLog {
  debug(figures: object, message: string): void;
  info(figures: object, message: string): void;
  warn(figures: object, message: string): void;
  error(figures: object, message: string): void;
}
