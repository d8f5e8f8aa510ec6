import { systemClock } from '../../../src/base/clock.js';
import type { Settings } from '../../../src/config/settings.js';
import { type FaultyProvider, faultyProvider } from '../../../src/device/fault-device.js';
import { createBlockingIo, createDeviceProvider } from '../../../src/device/provider.js';
import type { ArrayEngine } from '../../../src/engine/array-engine.js';
import { assembleArray } from '../../../src/engine/assemble.js';
import { Slab } from '../../../src/memory/slab.js';
import { inlineStripePool } from '../../../src/stripe/inline-pool.js';
import { SILENT } from '../../engine/array-fixture.js';
import { WriteRecorder } from './write-recorder.js';

export interface RecordedArray {
  readonly engine: ArrayEngine;
  readonly recorder: WriteRecorder;
  /** Faults lie above the recorder: what they keep from a member is not in its log. */
  readonly provider: FaultyProvider;
  close(): Promise<void>;
}

/**
 * Assembles the real engine over the files that settings name, with everything recorded that it writes from the first request of assembly on; stripe work runs on this thread, so that
 * there is one order of events. Without io_uring: registering memory is most of the time that a small assembly takes.
 */
export async function assembleRecorded(settings: Settings, recorder = new WriteRecorder()): Promise<RecordedArray> {
  let provider: FaultyProvider | null = null;
  const engine = await assembleArray({
    settings,
    clock: systemClock,
    log: SILENT,
    provider: (slab) => {
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
  engine.start();
  return { engine, recorder, provider: provider as unknown as FaultyProvider, close: () => engine.stop() };
}
