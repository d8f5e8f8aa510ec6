import type {
  ApplyTask,
  MemberView,
  RebuildTask,
  RecoverOutcome,
  RecoverTask,
  ScrubOutcome,
  StripeOutcome,
  StripePool,
} from '../stripe/stripe-pool.js';

/** A stripe pool that can say when the tasks made so far have ended: a device may be closed only when no thread can still be using it. */
export class TrackedPool implements StripePool {
  readonly #pool: StripePool;
  readonly #tasks = new Set<Promise<unknown>>();
  /** What a task that may write has to wait for first (Fence.pass). */
  fence: () => Promise<void> | null = () => null;

  constructor(pool: StripePool) {
    this.#pool = pool;
  }

  get stripesPerTask(): number {
    return this.#pool.stripesPerTask;
  }

  get threads(): number {
    return this.#pool.threads;
  }

  #track<T>(task: Promise<T>): Promise<T> {
    this.#tasks.add(task);
    const forget = (): void => {
      this.#tasks.delete(task);
    };
    task.then(forget, forget);
    return task;
  }

  #fenced<T>(run: () => Promise<T>): Promise<T> {
    const wait = this.fence();
    return this.#track(wait === null ? run() : wait.then(run));
  }

  apply(task: ApplyTask): Promise<StripeOutcome> {
    return this.#fenced(() => this.#pool.apply(task));
  }

  recover(task: RecoverTask): Promise<RecoverOutcome> {
    return task.repair ? this.#fenced(() => this.#pool.recover(task)) : this.#track(this.#pool.recover(task));
  }

  rebuild(task: RebuildTask): Promise<StripeOutcome> {
    return this.#fenced(() => this.#pool.rebuild(task));
  }

  scrub(members: MemberView, stripes: Float64Array, repair: boolean): Promise<ScrubOutcome> {
    return this.#fenced(() => this.#pool.scrub(members, stripes, repair));
  }

  async settled(): Promise<void> {
    await Promise.allSettled([...this.#tasks]);
  }

  async close(): Promise<void> {
    await this.settled();
    await this.#pool.close();
  }
}
