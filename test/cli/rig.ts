import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import type { CliContext } from '../../src/cli/context.js';
import type {
  CreateReport,
  DeviceReport,
  EnginePort,
  RestoreOptions,
  RestoreReport,
  RunningArray,
  WipeReport,
} from '../../src/cli/engine-port.js';
import { runCli } from '../../src/cli/run-cli.js';
import { loadSettings } from '../../src/config/load-settings.js';
import type { Settings } from '../../src/config/settings.js';
import { type ArrayPlan, planArray } from '../../src/engine/array-plan.js';
import { ControlClient } from '../../src/control/control-client.js';
import { type ControlServer, startControlServer } from '../../src/control/control-server.js';
import type { BackupTrial } from '../../src/repository/trial.js';
import { FakeTarget } from '../control/fake-target.js';

/** An engine that does nothing but remember. */
export class FakeEngine implements EnginePort {
  readonly calls: string[] = [];
  readonly target = new FakeTarget();
  /** Rejects the next create. */
  refusal: KeelsonError | null = null;
  /** Called in the midst of a restore. */
  restoring: () => void = () => undefined;
  /** What a restore reports otherwise. */
  restored: Partial<RestoreReport> = {};
  endWith: (error: KeelsonError) => void = () => undefined;

  async createArray(settings: Settings, options: { force: boolean }): Promise<CreateReport> {
    this.calls.push(`create ${options.force}`);
    if (this.refusal !== null) throw this.refusal;
    return { uuid: 'u-u-i-d', name: settings.name, volumeBytes: 2 ** 30, members: 8, plan: await this.planArray(settings) };
  }

  /** What the backup says before an array is made. */
  trial: BackupTrial | null = null;

  async tryBackup(): Promise<BackupTrial | null> {
    return this.trial;
  }

  async planArray(settings: Settings): Promise<ArrayPlan> {
    return planArray(settings, { stripe: settings.stripe.members.map(() => 2 ** 30), journal: [] }, 1);
  }

  async openArray(): Promise<RunningArray> {
    this.calls.push('open');
    const fatal = new Promise<KeelsonError>((resolve) => {
      this.endWith = resolve;
    });
    return {
      control: this.target,
      uris: ['nbd+unix:///vault?socket=/x', 'nbd://127.0.0.1:10809/vault'],
      backup: null,
      fatal,
      close: async () => {
        this.calls.push('close');
      },
    };
  }

  async restoreArray(_settings: Settings, { force, signal, onProgress }: RestoreOptions): Promise<RestoreReport> {
    this.calls.push(`restore ${force}`);
    await Promise.resolve();
    this.restoring();
    signal.throwIfAborted();
    onProgress({ task: 'restore', doneBytes: 1024, totalBytes: 2048 });
    return { lsn: 7, newestLsn: 7, time: 1_764_000_000_000, volumeBytes: 2 ** 30, restoredBytes: 1536, ...this.restored };
  }

  /** What of ours is on the device that is wiped; null: it is blank. */
  found: WipeReport | null = {
    holds: 'member 2 (data) of array vault, uuid u-u-i-d, failed, last in epoch 7',
    array: 'vault',
    uuid: 'u-u-i-d',
    member: 2,
    role: 'data',
    state: 'failed',
    epoch: 7,
  };

  async wipeDevice(path: string, approve: (found: WipeReport) => Promise<boolean>): Promise<WipeReport | null> {
    this.calls.push(`wipe ${path}`);
    if (this.found === null || (await approve(this.found))) return this.found;
    throw new KeelsonError('WIPE_NOT_APPROVED', 'left as it is', { action: 'insist with --force', exit: 3 });
  }

  async inspectDevice(path: string): Promise<DeviceReport> {
    return { path, superblock: { epoch: 3, zones: { data: [0, 4096] } }, members: [{ index: 0, state: 'online' }] };
  }
}

/** One command line after the other against a fake engine, in this process. */
export class CliRig {
  readonly folder = mkdtempSync(join(tmpdir(), 'keelson-cli-'));
  readonly config = join(this.folder, 'keelson.toml');
  readonly engine = new FakeEngine();
  stdout = '';
  stderr = '';
  /** Of the terminal; null: there is none. */
  columns: number | null = null;
  /** What is typed when a verb asks; null: there is no terminal. */
  answer: string | null = null;
  exits: number[] = [];
  readonly #listeners = new Set<(signal: string) => void>();
  onWrite: (text: string) => void = () => undefined;
  /** Called at each write to stderr. */
  onComplaint: (text: string) => void = () => undefined;

  constructor(t: ExecutionContext, toml = 'name = "vault"\n[stripe]\nmembers = ["a", "b", "c"]\n') {
    writeFileSync(this.config, toml);
    t.teardown(() => rmSync(this.folder, { recursive: true }));
  }

  signal(name: string): void {
    for (const listener of this.#listeners) listener(name);
  }

  async run(...args: string[]): Promise<number> {
    this.stdout = '';
    this.stderr = '';
    const context: CliContext = {
      stdout: {
        isTTY: this.columns !== null,
        columns: this.columns ?? Number.POSITIVE_INFINITY,
        write: (text) => {
          this.stdout += text;
          this.onWrite(text);
        },
      },
      stderr: {
        isTTY: this.columns !== null,
        columns: this.columns ?? Number.POSITIVE_INFINITY,
        write: (text) => {
          this.stderr += text;
          this.onComplaint(text);
        },
      },
      engine: async () => this.engine,
      settings: loadSettings,
      client: (settings) => new ControlClient(settings.control.socket),
      ask: async (question) => {
        this.stderr += question;
        return this.answer;
      },
      pause: () => new Promise((resolve) => setImmediate(resolve)),
      onSignal: (callback) => {
        this.#listeners.add(callback);
        return () => void this.#listeners.delete(callback);
      },
      exit: (status) => void this.exits.push(status),
      status: 0,
    };
    return await runCli(args, context);
  }
}

/** A rig whose server is running. */
export async function served(t: ExecutionContext): Promise<CliRig> {
  const rig = new CliRig(t);
  await startServer(t, rig);
  return rig;
}

export async function startServer(t: ExecutionContext, rig: CliRig): Promise<ControlServer> {
  const server = await startControlServer({
    target: rig.engine.target,
    socket: join(rig.folder, 'keelson.ctl'),
    http: null,
    onStop: () => void server.close(),
  });
  t.teardown(() => server.close());
  return server;
}
