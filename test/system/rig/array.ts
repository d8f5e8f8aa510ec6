import { rmSync, writeFileSync } from 'node:fs';
import { ControlClient } from '../../../src/control/control-client.js';
import type { ArrayStatus } from '../../../src/control/status.js';
import { attempt, type CommandResult, run } from './command.js';
import { KeelsonProcess, verb } from './keelson-process.js';
import type { Scratch } from './scratch.js';

export interface ArrayOptions {
  readonly name?: string;
  readonly stripeMembers: readonly string[];
  readonly parity?: number;
  readonly chunk?: string;
  readonly spares?: readonly string[];
  /** Only when members are files: `create` makes them. */
  readonly memberSize?: string;
  /** Left out: the journal lies on the stripe members. */
  readonly journalMembers?: readonly string[];
  readonly journalCopies?: number;
  readonly journalSize?: string;
  readonly segment?: string;
  /** Left out: no backup. */
  readonly backup?: Readonly<Record<string, string>>;
  readonly drain?: Readonly<Record<string, string | number | boolean>>;
  readonly durability?: 'write-back' | 'sync';
  readonly slab?: string;
  /** Left out: the ring where it is permitted. */
  readonly io?: 'fs' | 'ring';
  /** Addresses to export on besides the unix socket. */
  readonly alsoOn?: readonly string[];
}

const STATUS_POLL_MS = 50;

/** One array under test: its configuration file and its verbs. */
export class ArrayRig {
  readonly scratch: Scratch;
  readonly config: string;
  readonly socket: string;
  readonly control: string;
  options: ArrayOptions;

  constructor(scratch: Scratch, options: ArrayOptions, file = 'keelson') {
    this.scratch = scratch;
    this.config = scratch.path(`${file}.toml`);
    this.socket = scratch.path(`${file}.sock`);
    this.control = scratch.path(`${file}.ctl`);
    this.options = options;
    this.configure(options);
  }

  /** NBD URI of the export, as libnbd, qemu and fio want it. */
  get uri(): string {
    return `nbd+unix:///?socket=${this.socket}`;
  }

  /** Writes the configuration file anew. */
  configure(options: ArrayOptions): void {
    this.options = options;
    writeFileSync(this.config, toml(options, this.socket, this.control));
  }

  async create(...flags: string[]): Promise<void> {
    const result = await this.verb('create', ...flags);
    if (result.status !== 0) throw new Error(`create ended with ${result.status}\n${result.stderr}${result.stdout}`);
  }

  /** Starts the server and waits for it. */
  serve(ready_ms?: number): Promise<KeelsonProcess> {
    return this.spawn().ready(ready_ms);
  }

  spawn(): KeelsonProcess {
    const { io } = this.options;
    return KeelsonProcess.spawn(this.scratch, this.config, this.socket, io === undefined ? {} : { KEELSON_IO: io });
  }

  verb(...args: string[]): Promise<CommandResult> {
    return verb(this.config, args);
  }

  /** A verb that must end with status 0 (or one of the given ones). */
  async must(args: readonly string[], allowed: readonly number[] = [0]): Promise<string> {
    const result = await this.verb(...args);
    if (!allowed.includes(result.status))
      throw new Error(
        `keelson ${args.join(' ')} ended with ${result.status}\n${result.stderr.slice(-4000)}\n${result.stdout.slice(-4000)}`,
      );
    return result.stdout;
  }

  async status(): Promise<ArrayStatus> {
    // 4 and 5 are answers too: the array is degraded, or data are unavailable.
    return JSON.parse(await this.must(['status', '--json'], [0, 4, 5])) as ArrayStatus;
  }

  /** The control socket, without starting a process: for where a hundred milliseconds of CPU would be measured. */
  get client(): ControlClient {
    return new ControlClient(this.control);
  }

  /** Polls status over the control socket (a process each time would take more time than what is waited for) until the condition holds; throws with the last status after limit_ms. */
  async until(what: string, condition: (status: ArrayStatus) => boolean, limit_ms = 60_000): Promise<ArrayStatus> {
    const deadline = performance.now() + limit_ms;
    for (;;) {
      const status = await this.client.status();
      if (condition(status)) return status;
      if (performance.now() > deadline) throw new Error(`not within ${limit_ms} ms: ${what}\n${JSON.stringify(status, null, 1)}`);
      await new Promise((wake) => setTimeout(wake, STATUS_POLL_MS));
    }
  }
}

/** Copies the whole volume into a file, through a real client. */
export async function takeImage(array: ArrayRig, file: string): Promise<void> {
  rmSync(file, { force: true });
  await run('nbdcopy', [array.uri, file]);
}

/** '' when the volume is byte for byte what the file holds, else where they first differ. Takes another image beside the file. */
export async function differs(array: ArrayRig, file: string): Promise<string> {
  const now = `${file}.now`;
  await takeImage(array, now);
  const comparison = await attempt('cmp', [file, now]);
  rmSync(now);
  return comparison.status === 0 ? '' : comparison.stdout + comparison.stderr;
}

function toml(options: ArrayOptions, socket: string, control: string): string {
  const list = (paths: readonly string[]): string => `[${paths.map((path) => JSON.stringify(path)).join(', ')}]`;
  const lines = [
    `name = "${options.name ?? 'rig'}"`,
    '',
    '[stripe]',
    `members = ${list(options.stripeMembers)}`,
    `parity = ${options.parity ?? 2}`,
    `chunk = "${options.chunk ?? '64KiB'}"`,
  ];
  if (options.memberSize !== undefined) lines.push(`memberSize = "${options.memberSize}"`);
  if (options.spares !== undefined) lines.push(`spares = ${list(options.spares)}`);
  lines.push('', '[journal]');
  if (options.journalMembers !== undefined) lines.push(`members = ${list(options.journalMembers)}`);
  lines.push(
    `copies = ${options.journalCopies ?? 2}`,
    `size = "${options.journalSize ?? '32MiB'}"`,
    `segment = "${options.segment ?? '1MiB'}"`,
  );
  if (options.backup !== undefined)
    lines.push('', '[backup]', ...Object.entries(options.backup).map(([key, value]) => `${key} = ${JSON.stringify(value)}`));
  if (options.drain !== undefined)
    lines.push('', '[drain]', ...Object.entries(options.drain).map(([key, value]) => `${key} = ${JSON.stringify(value)}`));
  lines.push(
    '',
    '[export]',
    `nbd = ${list([`unix:${socket}`, ...(options.alsoOn ?? [])])}`,
    `durability = "${options.durability ?? 'write-back'}"`,
  );
  lines.push('', '[control]', `socket = "${control}"`, '', '[memory]', `slab = "${options.slab ?? '160MiB'}"`, '');
  return lines.join('\n');
}
