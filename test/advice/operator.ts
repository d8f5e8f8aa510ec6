import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { CliContext } from '../../src/cli/context.js';
import { loadEngine } from '../../src/cli/engine.js';
import { runCli } from '../../src/cli/run-cli.js';
import { loadSettings } from '../../src/config/load-settings.js';
import { ControlClient } from '../../src/control/control-client.js';
import type { Alarm, ArrayStatus } from '../../src/control/status.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { type FaultyProvider, faultyProvider } from '../../src/device/fault-device.js';
import { scratchFolder } from '../device/scratch-files.js';
import { NbdClient } from '../nbd/nbd-client.js';

export interface OperatorOptions {
  readonly data?: number;
  readonly parity?: number;
  /** 0: the ring lies on the stripe members. */
  readonly journal?: number;
  readonly copies?: number;
  readonly backup?: boolean;
  /** More lines of the configuration, sections and all. */
  readonly more?: string;
  readonly memberSize?: string;
}

export interface Outcome {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

/** Says nothing on stderr: what a server logs is not what a test reads. */
process.env.KEELSON_LOG ??= 'silent';

/**
 * An administrator at the real command line: the real engine over real files, in this process, with a folder and a configuration of its own. Devices can be made to fail.
 */
export class Operator {
  readonly folder: string;
  readonly config: string;
  provider: FaultyProvider | null = null;
  /** What the volume has to hold: block -> the byte that fills it. */
  readonly model = new Map<number, number>();
  #fill = 0;
  #made = 0;
  #server: { readonly ended: Promise<Outcome>; readonly signal: () => void } | null = null;

  private constructor(folder: string) {
    this.folder = folder;
    this.config = join(folder, 'keelson.toml');
  }

  /** A configuration of files that are not there yet. */
  static at(t: ExecutionContext, options: OperatorOptions = {}): Operator {
    const { data = 3, parity = 1, journal = 2, copies = Math.min(2, journal === 0 ? data : journal), backup = false } = options;
    const operator = new Operator(scratchFolder(t));
    const list = (kind: string, count: number): string => JSON.stringify(Array.from({ length: count }, (_, i) => `${kind}-${i}`));
    writeFileSync(
      operator.config,
      [
        'name = "vault"',
        '[stripe]',
        `members = ${list('data', data)}`,
        `memberSize = "${options.memberSize ?? '32MiB'}"`,
        `parity = ${parity}`,
        '[journal]',
        ...(journal === 0 ? [] : [`members = ${list('journal', journal)}`]),
        `copies = ${copies}`,
        'size = "8MiB"',
        'segment = "1MiB"',
        ...(backup ? ['[backup]', `url = "file://${join(operator.folder, 'vault')}"`, 'compression = "none"'] : []),
        '[drain]',
        'maxAge = "1h"',
        'maxFill = 0.95',
        'onDegraded = false',
        '[memory]',
        'slab = "160MiB"',
        ...(options.more === undefined ? [] : [options.more]),
        '',
      ].join('\n'),
    );
    t.teardown(() => operator.end());
    return operator;
  }

  /** An array that is made and served, and holds some blocks in the stripes. */
  static async serving(t: ExecutionContext, options: OperatorOptions = {}): Promise<Operator> {
    const operator = Operator.at(t, options);
    const made = await operator.run('create');
    if (made.exit !== 0) throw new Error(made.err);
    await operator.serve();
    await operator.write(0, 64);
    return operator;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A file that does not exist yet. */
  newPath(): string {
    return this.path(`new-${this.#made++}`);
  }

  edit(from: string | RegExp, to: string): void {
    const text = readFileSync(this.config, 'utf8');
    const edited = text.replace(from, to);
    if (edited === text) throw new Error(`${String(from)} is not in the configuration`);
    writeFileSync(this.config, edited);
  }

  /** One command line, to its end. */
  async run(...args: readonly string[]): Promise<Outcome> {
    return await this.#run(args, { out: () => undefined, onSignal: () => () => undefined });
  }

  async #run(
    args: readonly string[],
    hooks: { readonly out: (text: string) => void; readonly onSignal: CliContext['onSignal'] },
  ): Promise<Outcome> {
    const text = { out: '', err: '' };
    const context: CliContext = {
      stdout: {
        isTTY: false,
        columns: 200,
        write: (more) => {
          text.out += more;
          hooks.out(more);
        },
      },
      stderr: {
        isTTY: false,
        columns: 200,
        write: (more) => {
          text.err += more;
        },
      },
      ask: async () => null,
      engine: () =>
        loadEngine((slab) => {
          this.provider = faultyProvider(createDeviceProvider(slab), slab);
          return this.provider;
        }),
      settings: loadSettings,
      client: (settings) => new ControlClient(settings.control.socket),
      pause: () => new Promise((resolve) => setImmediate(resolve)),
      onSignal: hooks.onSignal,
      exit: () => undefined,
      status: 0,
    };
    const exit = await runCli([...args, '-c', this.config], context);
    return { exit, ...text };
  }

  /** Starts the server; resolves to null when it serves, or to how it ended. */
  async serve(): Promise<Outcome | null> {
    let signal: () => void = () => undefined;
    let serving: () => void = () => undefined;
    const served = new Promise<null>((resolve) => {
      serving = () => resolve(null);
    });
    const ended = this.#run(['serve'], {
      out: (text) => {
        if (text.includes('serving ')) serving();
      },
      onSignal: (callback) => {
        signal = () => callback('SIGTERM');
        return () => undefined;
      },
    });
    const refused = await Promise.race([served, ended]);
    this.#server = refused === null ? { ended, signal: () => signal() } : null;
    return refused;
  }

  async stop(): Promise<Outcome | null> {
    const server = this.#server;
    this.#server = null;
    server?.signal();
    return (await server?.ended) ?? null;
  }

  /** How the server ends by itself. */
  async ended(): Promise<Outcome | null> {
    const server = this.#server;
    const outcome = (await server?.ended) ?? null;
    this.#server = null;
    return outcome;
  }

  async restart(): Promise<Outcome | null> {
    await this.stop();
    return await this.serve();
  }

  /** The device is gone, for every thread. */
  kill(...names: readonly string[]): void {
    for (const name of names) this.provider?.faults(this.path(name)).kill();
  }

  /** What a power failure leaves. */
  async crash(): Promise<void> {
    const { stripe, journal } = loadSettings(this.config);
    for (const path of [...stripe.members, ...journal.members]) this.provider?.faults(path).kill();
    await this.stop();
  }

  async status(): Promise<{ readonly exit: number; readonly status: ArrayStatus }> {
    const { exit, out, err } = await this.run('status', '--json');
    if (out === '') throw new Error(err);
    return { exit, status: JSON.parse(out) as ArrayStatus };
  }

  /** The alarm of this code, or of a code that begins so; null: it is not raised. */
  async alarm(code: string): Promise<Alarm | null> {
    const { alarms } = (await this.status()).status;
    return alarms.find((alarm) => alarm.code === code || (code.endsWith('_') && alarm.code.startsWith(code))) ?? null;
  }

  /** Asks again, each time after some turns of the event loop, until it is so: what the engine does by itself ends. */
  async until(what: string, isSo: (status: ArrayStatus) => boolean): Promise<ArrayStatus> {
    for (let i = 0; i < 3000; i++) {
      const { status } = await this.status();
      if (isSo(status)) return status;
    }
    throw new Error(`never: ${what}: ${JSON.stringify((({ alarms, drain }) => ({ alarms, drain }))((await this.status()).status))}`);
  }

  async client(): Promise<NbdClient> {
    const address = loadSettings(this.config).export.nbd[0];
    return await NbdClient.open(`unix:${address?.kind === 'unix' ? address.path : ''}`, { name: 'vault' });
  }

  /** Writes and flushes blocks, each write with a byte of its own. Throws what the server answers; the model knows what was acknowledged. */
  async write(first: number, count: number): Promise<void> {
    const client = await this.client();
    try {
      this.#fill = (this.#fill % 250) + 1;
      const fill = this.#fill;
      await client.write(first * BLOCK_BYTES, Buffer.alloc(count * BLOCK_BYTES, fill));
      await client.flush();
      for (let block = first; block < first + count; block++) this.model.set(block, fill);
    } finally {
      client.destroy();
    }
  }

  /** Blocks that are errors, and blocks that are wrong. Wrong ones there must never be. */
  async lost(): Promise<{ readonly errors: number; readonly wrong: number }> {
    const client = await this.client();
    let errors = 0;
    let wrong = 0;
    try {
      for (const [block, fill] of this.model) {
        const bytes = await client.read(block * BLOCK_BYTES, BLOCK_BYTES).catch(() => null);
        if (bytes === null) errors++;
        else if (!bytes.equals(Buffer.alloc(BLOCK_BYTES, fill))) wrong++;
      }
    } finally {
      client.destroy();
    }
    return { errors, wrong };
  }

  async end(): Promise<void> {
    await this.stop();
  }
}
