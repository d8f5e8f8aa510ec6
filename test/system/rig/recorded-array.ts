import { systemClock } from '../../../src/base/clock.js';
import type { Settings } from '../../../src/config/settings.js';
import { type FaultyProvider, faultyProvider } from '../../../src/device/fault-device.js';
import { createBlockingIo, createDeviceProvider } from '../../../src/device/provider.js';
import type { ArrayEngine } from '../../../src/engine/array-engine.js';
import { assembleArray } from '../../../src/engine/assemble.js';
import { attachBackup } from '../../../src/engine/backup-attach.js';
import { Slab } from '../../../src/memory/slab.js';
import { loadAddon } from '../../../src/native/load.js';
import { FileTarget } from '../../../src/target/file-target.js';
import { Repository } from '../../../src/repository/repository.js';
import type { Target } from '../../../src/target/target.js';
import { inlineStripePool } from '../../../src/stripe/inline-pool.js';
import { SILENT } from '../../engine/array-fixture.js';
import { logOfDirectory } from './target-failure.js';
import { RecordedTarget, type TargetLog } from './target-recorder.js';
import { WriteRecorder } from './write-recorder.js';

export interface RecordedArray {
  readonly engine: ArrayEngine;
  readonly recorder: WriteRecorder;
  /** Faults lie above the recorder: what they keep from a member is not in its log. */
  readonly provider: FaultyProvider;
  /** What the backup directory was asked for; null without one. */
  readonly target: TargetLog | null;
  close(): Promise<void>;
}

/**
 * Assembles the real engine over the files that settings name, with everything recorded that it writes from the first request of assembly on; stripe work runs on this thread, so that
 * there is one order of events, and so does the backup. Without io_uring: registering memory is most of the time that a small assembly takes.
 */
export async function assembleRecorded(settings: Settings, recorder = new WriteRecorder()): Promise<RecordedArray> {
  let provider: FaultyProvider | null = null;
  let memory: Uint8Array = Buffer.alloc(0);
  const engine = await assembleArray({
    settings,
    clock: systemClock,
    log: SILENT,
    provider: (slab) => {
      memory = slab.view;
      provider = faultyProvider(recorder.provider(createDeviceProvider(slab, 'fs'), slab), slab);
      return provider;
    },
    pool: async ({ context, scratch }) => {
      const { view } = Slab.attach(context.slab);
      const io = recorder.blockingIo(createBlockingIo(view, 'fs'), view);
      const pool = inlineStripePool(context, io, scratch[0] as (typeof scratch)[number]);
      return { ...pool, close: async () => io.close() };
    },
  });
  const target = settings.backup === null ? null : logOfDirectory(vaultOf(settings));
  if (target !== null) {
    attachBackup(engine, fileRepository(new RecordedTarget(new FileTarget(vaultOf(settings)), recorder, target), memory));
    await engine.link?.connect();
  }
  engine.start();
  return { engine, recorder, provider: provider as unknown as FaultyProvider, target, close: () => engine.stop() };
}

/** The directory that is the backup target. */
export function vaultOf(settings: Settings): string {
  const target = settings.backup?.target;
  if (target?.kind !== 'file') throw new Error('the backup is a directory here');
  return target.path;
}

export function fileRepository(target: Target, memory: Uint8Array): Repository {
  return new Repository({ target, memory, checksums: loadAddon(), compression: 'none', passphrase: '' });
}
