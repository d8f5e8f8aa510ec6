import type { Bytes } from '../base/units.js';

/** Where a configuration is looked for when none is named, in this order. KEELSON_CONFIG, when set, comes first. */
export const DEFAULT_PATHS = ['./keelson.toml', '/etc/keelson/keelson.toml'] as const;

/** A checked configuration: paths absolute, sizes in bytes, times in milliseconds, every default filled in. */
export interface Settings {
  /** Absolute path of the configuration file. */
  readonly file: string;
  /** Its directory: relative paths count from here. */
  readonly directory: string;
  readonly name: string;
  readonly stripe: StripeSettings;
  readonly journal: JournalSettings;
  /** null: no backup, the array is UNPROTECTED against losing the whole host. */
  readonly backup: BackupSettings | null;
  readonly drain: DrainSettings;
  readonly export: ExportSettings;
  readonly control: ControlSettings;
  readonly memory: MemorySettings;
}

export interface StripeSettings {
  /** k + m block devices or files, in stripe order. */
  readonly members: readonly string[];
  /** Size of the files that `create` makes; null: files must be there already. Also the size of new files given to `replace` and `add`. */
  readonly memberBytes: Bytes | null;
  readonly dataShards: number;
  readonly parity: number;
  readonly chunkBytes: Bytes;
  readonly spares: readonly string[];
}

export interface JournalSettings {
  /** Members of their own; empty: the ring lies on the stripe members. */
  readonly members: readonly string[];
  readonly copies: number;
  /** Ring bytes of one copy, a multiple of segmentBytes. null: `create` fits it to the members, and `serve` takes what the array has. */
  readonly ringBytes: Bytes | null;
  /** null: the same. */
  readonly segmentBytes: Bytes | null;
}

export type BackupTarget =
  | {
      readonly kind: 'sftp';
      readonly url: string;
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly path: string;
      readonly identity: string;
      readonly knownHosts: string;
    }
  | { readonly kind: 'file'; readonly url: string; readonly path: string }
  /** The demonstration's SFTP server inside this process; path is its directory, beside the configuration. */
  | { readonly kind: 'embedded'; readonly url: string; readonly path: string };

export interface BackupSettings {
  readonly target: BackupTarget;
  readonly compression: 'zstd' | 'none';
  /** null: not encrypted. */
  readonly passphraseFile: string | null;
  /** Writes are slowed, then stalled, as the ring fills. */
  readonly onUnreachable: 'stall';
  readonly keepPoints_ms: number;
}

export interface DrainSettings {
  readonly maxAge_ms: number;
  readonly maxBytes: Bytes;
  /** Fraction of the ring. */
  readonly maxFill: number;
  /** Cron expressions, syntax checked: parseCron (cron.ts) reads them. */
  readonly schedule: readonly string[];
  readonly onDegraded: boolean;
}

export type NbdAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export interface ExportSettings {
  readonly nbd: readonly NbdAddress[];
  readonly durability: 'write-back' | 'sync';
}

export interface ControlSettings {
  readonly socket: string;
  /** null: no HTTP besides the control socket. */
  readonly http: { readonly host: string; readonly port: number } | null;
  /** Names by which http may be asked, besides its address and localhost. */
  readonly hosts: readonly string[];
}

export interface MemorySettings {
  readonly slabBytes: Bytes;
}
