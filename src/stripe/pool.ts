import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { assert, known } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { scratchPages, stripesThatFit } from './scratch.js';
import type { RecoverOutcome, ScrubOutcome, StripeOutcome, StripePool, StripePoolOptions } from './stripe-pool.js';
import type { WorkerContext, WorkerOutcome, WorkerReply, WorkerTask } from './worker.js';
import type { Scratch } from './workspace.js';

/**
 * Starts one thread per scratch range and waits until each has loaded the addon and opened its I/O. A task runs with the scratch of its own; when all threads are busy
 * tasks wait in the order they came. Throws what a thread could not start for (NATIVE_*, ...); tasks reject with STRIPE_TASK,
 * or STRIPE_WORKER when a thread died.
 */
export async function createStripePool(options: StripePoolOptions): Promise<StripePool> {
  const { geometry, slab, dataOffset, integrity, io } = options.context;
  const threads = options.scratch.length;
  assert(threads > 0, 'scratch for at least one thread');
  const workerContext: WorkerContext = {
    k: geometry.k,
    m: geometry.m,
    chunkBytes: geometry.chunkBytes,
    stripes: geometry.stripes,
    slab,
    dataOffset,
    integrity,
    io,
  };
  const piscina = new Piscina({
    filename: fileURLToPath(new URL('./worker.js', import.meta.url)),
    minThreads: threads,
    maxThreads: threads,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: 1,
    // 'sync' would stop a waiting thread's event loop; 'async' polls. FACTS: a task is worth milliseconds, its start-up does not count.
    atomics: 'disabled',
    recordTiming: false,
    workerData: workerContext,
  });
  const scratch = new ScratchLoans(options.scratch.map((range) => scratchPages(geometry, range)));

  const send = async (task: WorkerTask): Promise<WorkerOutcome> => {
    let reply: WorkerReply;
    try {
      reply = (await piscina.run(task)) as WorkerReply;
    } catch (error) {
      throw new KeelsonError('STRIPE_WORKER', 'a stripe thread died in a task', {
        found: error instanceof Error ? error.message : String(error),
        action: 'the task is not done; its sources are still needed',
        cause: error,
      });
    }
    if ('error' in reply) throw KeelsonError.fromRecord(reply.error);
    return reply.outcome;
  };
  const withScratch = async (make: (scratch: Scratch) => WorkerTask): Promise<WorkerOutcome> => {
    const loan = await scratch.take();
    try {
      return await send(make(loan));
    } finally {
      scratch.giveBack(loan);
    }
  };

  try {
    await Promise.all(options.scratch.map(() => send({ kind: 'ready' })));
  } catch (error) {
    await piscina.destroy();
    throw error;
  }
  return {
    stripesPerTask: Math.min(...options.scratch.map((range) => stripesThatFit(geometry, range))),
    threads,
    apply: async (task) => (await withScratch((loan) => ({ kind: 'apply', task, scratch: loan }))) as StripeOutcome,
    recover: async (task) => (await withScratch((loan) => ({ kind: 'recover', task, scratch: loan }))) as RecoverOutcome,
    rebuild: async (task) => (await withScratch((loan) => ({ kind: 'rebuild', task, scratch: loan }))) as StripeOutcome,
    scrub: async (members, stripes, repair) =>
      (await withScratch((loan) => ({ kind: 'scrub', members, stripes, repair, scratch: loan }))) as ScrubOutcome,
    close: async () => {
      // Every task is done when every scratch range is back. Piscina's own close() keeps a timer, and with it the slab, for half a minute.
      await scratch.takeAll();
      await piscina.destroy();
    },
  };
}

/** Lends each scratch range to one task at a time, first come, first served. */
class ScratchLoans {
  readonly #free: Scratch[];
  readonly #count: number;
  readonly #waiting: ((loan: Scratch) => void)[] = [];

  constructor(all: readonly Scratch[]) {
    this.#free = [...all];
    this.#count = all.length;
  }

  /** Resolves when every range is back; there is none to take afterwards. */
  async takeAll(): Promise<void> {
    for (let i = 0; i < this.#count; i++) await this.take();
  }

  take(): Promise<Scratch> {
    if (this.#free.length > 0) return Promise.resolve(known(this.#free.pop(), 'a free scratch range'));
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  giveBack(loan: Scratch): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(loan);
    else next(loan);
  }
}
