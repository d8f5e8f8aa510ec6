import { getSystemErrorName } from 'node:util';

/** Exit statuses of the command line (docs/operations.md). interrupted: as shells count a death by SIGINT. */
export const EXIT = { done: 0, failed: 1, usage: 2, refused: 3, degraded: 4, unavailable: 5, interrupted: 130 } as const;
export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

export interface ErrorDetails {
  /** What was found. */
  readonly found?: string;
  /** What was expected or is allowed. */
  readonly expected?: string;
  /** What to do about it. */
  readonly action?: string;
  /** Exit status of the command that ends with this error. Default 1. */
  readonly exit?: ExitStatus;
  readonly cause?: unknown;
}

/**
 * Base of every error the engine raises: a stable code, what was found, what was expected, what to do.
 * Codes are upper snake case and never reused for another meaning. An error crosses a thread as `toRecord()`.
 */
export class KeelsonError extends Error {
  readonly code: string;
  readonly found: string | undefined;
  readonly expected: string | undefined;
  readonly action: string | undefined;
  readonly exit: ExitStatus;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'KeelsonError';
    this.code = code;
    this.found = details.found;
    this.expected = details.expected;
    this.action = details.action;
    this.exit = details.exit ?? EXIT.failed;
  }

  /** One readable paragraph: message, found, expected, action. */
  describe(): string {
    const parts = [`${this.message} (${this.code})`];
    if (this.found !== undefined) parts.push(`found: ${this.found}`);
    if (this.expected !== undefined) parts.push(`expected: ${this.expected}`);
    if (this.action !== undefined) parts.push(`do: ${this.action}`);
    return parts.join('; ');
  }

  /** What is wrong and nothing else, for what has a code and an action of its own: message, found. */
  trouble(): string {
    return this.found === undefined ? this.message : `${this.message}: ${this.found}`;
  }

  toRecord(): ErrorRecord {
    return { code: this.code, message: this.message, found: this.found, expected: this.expected, action: this.action, exit: this.exit };
  }

  static fromRecord(record: ErrorRecord): KeelsonError {
    const details: { -readonly [K in keyof ErrorDetails]: ErrorDetails[K] } = { exit: record.exit };
    if (record.found !== undefined) details.found = record.found;
    if (record.expected !== undefined) details.expected = record.expected;
    if (record.action !== undefined) details.action = record.action;
    return new KeelsonError(record.code, record.message, details);
  }

  /** Wraps anything thrown; a KeelsonError passes through unchanged. */
  static from(error: unknown, code = 'INTERNAL'): KeelsonError {
    if (error instanceof KeelsonError) return error;
    const message = error instanceof Error ? error.message : String(error);
    const system = code === 'INTERNAL' ? systemDetails(error) : null;
    if (system !== null) return new KeelsonError('SYSTEM_CALL', `the system refused: ${message}`, { ...system, cause: error });
    return new KeelsonError(code, message, { cause: error });
  }
}

/** EIO, ENOSPC, ...: an error number of the kernel by its name, whichever its sign. */
export function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-Math.abs(errno));
  } catch {
    return `errno ${Math.abs(errno)}`;
  }
}

/** What to do where the system refuses something that no code of ours speaks of. */
const SYSTEM_ADVICE: Readonly<Record<string, string>> = {
  EMFILE: 'raise the limit of open files of this process (ulimit -n, LimitNOFILE=)',
  ENFILE: 'raise the limit of open files of this host (fs.file-max)',
  ENOSPC: 'make room in that file system, or use another one',
  EDQUOT: 'make room in the quota of this user, or use another file system',
  EFBIG: 'raise the limit of file sizes (ulimit -f), or use another file system',
  EROFS: 'mount that file system for writing, or use another one',
  EACCES: 'give this user the right to it, or run as another one',
  EPERM: 'give this user the right to it, or run as another one',
  ENOMEM: 'end other programs, or give this host more memory',
};

/** Of an error of a system call; null: it is none, so a defect of ours. */
function systemDetails(error: unknown): ErrorDetails | null {
  if (!(error instanceof Error && 'syscall' in error && 'code' in error)) return null;
  const code = String(error.code);
  const path = 'path' in error ? ` of ${String(error.path)}` : '';
  return {
    found: `${code} from ${String(error.syscall)}${path}`,
    expected: 'a system that permits it',
    action: SYSTEM_ADVICE[code] ?? 'look at the path that is named, and at the kernel log (dmesg)',
  };
}

/** A KeelsonError as plain data: Piscina and postMessage keep neither class nor code of an error. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly found: string | undefined;
  readonly expected: string | undefined;
  readonly action: string | undefined;
  readonly exit: ExitStatus;
}
