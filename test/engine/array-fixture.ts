import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { KIB, MIB, type Bytes } from '../../src/base/units.js';
import type { DrainSettings, Settings } from '../../src/config/settings.js';
import { faultyProvider, type FaultyProvider } from '../../src/device/fault-device.js';
import { createBlockingIo, createDeviceProvider } from '../../src/device/provider.js';
import { createBackupClient } from '../../src/drain/backup-client.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { assembleArray, memberPaths } from '../../src/engine/assemble.js';
import { attachBackup } from '../../src/engine/backup-attach.js';
import { createArray } from '../../src/engine/create.js';
import type { EngineLog } from '../../src/engine/log.js';
import { type RestoredArray, restoreArray } from '../../src/engine/restore-array.js';
import { planSlab, slabBytesMin } from '../../src/engine/slab-plan.js';
import { readNewestCheckpoint } from '../../src/member/checkpoint-io.js';
import { memberBytesFor } from '../../src/member/layout.js';
import type { Checkpoint, Member } from '../../src/member/member-api.js';
import { Slab } from '../../src/memory/slab.js';
import type { Backup } from '../../src/repository/backup.js';
import { inlineStripePool } from '../../src/stripe/inline-pool.js';
import type { StripePool, StripePoolOptions } from '../../src/stripe/stripe-pool.js';
import { scratchFolder } from '../device/scratch-files.js';

/** Pauses of an engine at work, such as that of a rebuild beside requests of clients. */
const PAUSE_MS_MAX = 10;

/**
 * A clock on which nothing begins by itself: pauses end at the next turn, longer timers never run out. What a loop of
 * the engine would do after a while (drain, connect again, rebuild again) a test asks for by hand. So it does not depend
 * on how fast the machine is. A test of those timers hands in systemClock, or a clock of its own.
 */
export const stillClock: Clock = {
  ...systemClock,
  after: (delay_ms, callback) => {
    if (delay_ms > PAUSE_MS_MAX) return { cancel: () => {} };
    const turn = setImmediate(callback);
    return { cancel: () => clearImmediate(turn) };
  },
};

export interface FixtureOptions {
  readonly dataMembers?: number;
  readonly parity?: number;
  /** 0: the ring lies on the data members. */
  readonly journalMembers?: number;
  readonly copies?: number;
  readonly chunkBytes?: Bytes;
  readonly stripes?: number;
  readonly segmentBytes?: Bytes;
  readonly segments?: number;
  /** Segments that the slab holds: destaged ones beyond it are read from the journal members. */
  readonly buffers?: number;
  /** false: no backup target. */
  readonly backup?: boolean;
  readonly drain?: Partial<DrainSettings>;
  /** Real stripe threads instead of the calling thread. */
  readonly threads?: boolean;
  readonly log?: EngineLog;
  /** Instead of the real one, for the running array. */
  readonly clock?: Clock;
  /** Called before stripes are written by the calling thread; what it throws stops that. */
  readonly onApply?: (stripes: Float64Array) => void;
}

export const SILENT: EngineLog = { debug() {}, info() {}, warn() {}, error() {} };

/** A drain that happens only when a test asks for it. */
const DRAIN_BY_HAND: DrainSettings = { maxAge_ms: 3_600_000, maxBytes: 1024 * MIB, maxFill: 1, schedule: [], onDegraded: false };

/** A small array of files with its backup in a directory, both real; its members can be killed. */
export class ArrayFixture {
  readonly folder: string;
  readonly settings: Settings;
  readonly paths: string[];
  engine!: ArrayEngine;
  provider!: FaultyProvider;
  readonly #options: FixtureOptions;
  #replacements = 0;

  private constructor(folder: string, options: FixtureOptions) {
    this.folder = folder;
    this.#options = options;
    this.settings = settingsOf(folder, options);
    this.paths = memberPaths(this.settings);
  }

  /** A new array in a folder of its own, running. Stopped and removed after the test, or by close(). */
  static async create(t: ExecutionContext, options: FixtureOptions = {}): Promise<ArrayFixture> {
    const fixture = new ArrayFixture(scratchFolder(t), options);
    const { settings } = fixture;
    await createArray({ settings, force: false, clock: systemClock, provider: (slab) => createDeviceProvider(slab) });
    await fixture.start();
    return fixture;
  }

  /** Assembles the array from its members and starts it. Throws what assembly refuses. */
  async start(): Promise<void> {
    const { settings } = this;
    let provider: FaultyProvider | null = null;
    let slab: Slab | null = null;
    const engine = await assembleArray({
      settings,
      clock: this.#options.clock ?? stillClock,
      log: this.#options.log ?? SILENT,
      provider: (memory) => {
        slab = memory;
        provider = faultyProvider(createDeviceProvider(memory), memory);
        return provider;
      },
      ...(this.#options.threads ? {} : { pool: (options) => inlinePool(options, this.#options.onApply) }),
    });
    this.engine = engine;
    this.provider = provider as unknown as FaultyProvider;
    if (settings.backup !== null) {
      attachBackup(engine, this.#backup(slab as unknown as Slab));
      await engine.link?.connect();
    }
    engine.start();
  }

  #backup(slab: Slab): Backup {
    const url = this.settings.backup?.target.url ?? '';
    return createBackupClient({ slab, url, identity: '', knownHosts: '', compression: 'none', passphrase: '' });
  }

  /** Everything but the backup is lost, and all is restored from that. */
  async restore(onProgress: (doneBytes: number, totalBytes: number) => void = () => {}): Promise<RestoredArray> {
    const { settings } = this;
    await this.engine.stop();
    for (const path of this.paths) rmSync(path);
    const restored = await restoreArray({
      settings,
      lookAgain: true,
      force: true,
      clock: systemClock,
      log: SILENT,
      provider: createDeviceProvider,
      backup: (slab) => this.#backup(slab),
      onProgress,
    });
    await this.start();
    return restored;
  }

  /** Dies at once and without warning, for the main thread and for stripe threads. */
  kill(members: readonly number[]): void {
    for (const index of members) this.provider.faults(this.engine.state.paths[index] as string).kill();
  }

  drain(): Promise<void> {
    return this.engine.drainLoop?.drainNow() ?? Promise.reject(new Error('the array has no backup'));
  }

  /** Path of a file that does not exist yet. */
  newPath(): string {
    return join(this.folder, `replacement-${this.#replacements++}`);
  }

  /** What a power failure leaves: nothing more reaches the members, and the engine is gone. */
  async crash(): Promise<void> {
    this.kill(this.paths.map((_, index) => index));
    await this.engine.stop().catch(() => undefined);
  }

  /** Stops the engine and gives the disk space back. */
  async close(): Promise<void> {
    await this.engine.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function inlinePool(options: StripePoolOptions, onApply: FixtureOptions['onApply']): Promise<StripePool> {
  const { context, scratch } = options;
  const io = createBlockingIo(Slab.attach(context.slab).view, context.io);
  const pool = inlineStripePool(context, io, scratch[0] as (typeof scratch)[number]);
  const apply: StripePool['apply'] = async (task) => {
    onApply?.(task.stripes);
    return await pool.apply(task);
  };
  return { ...pool, apply, close: async () => io.close() };
}

export function settingsOf(folder: string, options: FixtureOptions): Settings {
  const { dataMembers = 6, parity = 2, journalMembers = 2, copies = 2, chunkBytes = 16 * KIB, stripes = 24 } = options;
  const { segmentBytes = 256 * KIB, segments = 32, buffers = 4 } = options;
  const ringBytes = segmentBytes * segments;
  const role = journalMembers === 0 ? 'both' : 'data';
  const memberBytes = memberBytesFor(role, chunkBytes, stripes, journalMembers === 0 ? ringBytes : 0);
  return {
    file: join(folder, 'keelson.toml'),
    directory: folder,
    name: 'fixture',
    stripe: {
      members: Array.from({ length: dataMembers }, (_, i) => join(folder, `data-${i}`)),
      memberBytes,
      dataShards: dataMembers - parity,
      parity,
      chunkBytes,
      spares: [],
    },
    journal: { members: Array.from({ length: journalMembers }, (_, i) => join(folder, `journal-${i}`)), copies, ringBytes, segmentBytes },
    backup:
      options.backup === false
        ? null
        : {
            target: { kind: 'file', url: `file://${join(folder, 'vault')}`, path: join(folder, 'vault') },
            compression: 'none',
            passphraseFile: null,
            onUnreachable: 'stall',
            keepPoints_ms: 604_800_000,
          },
    drain: { ...DRAIN_BY_HAND, ...options.drain },
    export: { nbd: [], durability: 'write-back' },
    control: { socket: join(folder, 'control'), http: null, hosts: [] },
    memory: { slabBytes: slabFor(segmentBytes, chunkBytes * dataMembers, buffers) },
  };
}

/** The smallest slab that holds so many segments. */
function slabFor(segmentBytes: Bytes, stripeBytes: Bytes, buffers: number): Bytes {
  const threads = Math.max(1, Math.min(4, availableParallelism()));
  let bytes = slabBytesMin(segmentBytes, stripeBytes, threads);
  // Dividing needs no memory.
  while (planSlab({ bytes } as Slab, segmentBytes, stripeBytes, threads).segmentBuffers < buffers) bytes += segmentBytes;
  return bytes;
}

/** The newest checkpoint on member 0. */
export function checkpointOn({ engine }: ArrayFixture): Promise<Checkpoint> {
  const { device, superblock } = engine.state.members[0] as Member;
  return readNewestCheckpoint({ device, layout: superblock.layout }, superblock.shape, engine.parts.plan.admission);
}
