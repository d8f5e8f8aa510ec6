import type { BlockingIo } from '../device/device.js';
import { ApplyOperation } from './apply.js';
import { RebuildOperation } from './rebuild.js';
import { RecoverOperation } from './recover.js';
import { ScrubOperation } from './scrub.js';
import type {
  ApplyTask,
  MemberView,
  RebuildTask,
  RecoverOutcome,
  RecoverTask,
  ScrubOutcome,
  StripeContext,
  StripeOutcome,
} from './stripe-pool.js';
import { type Scratch, type StripeKernels, Workspace } from './workspace.js';

/** The four operations over one workspace: what a thread keeps. Synchronous. */
export class StripeOperations {
  readonly #workspace: Workspace;
  readonly #apply: ApplyOperation;
  readonly #recover: RecoverOperation;
  readonly #rebuild: RebuildOperation;
  readonly #scrub: ScrubOperation;

  constructor(context: StripeContext, memory: Uint8Array, io: BlockingIo, kernels: StripeKernels) {
    const { geometry, dataOffset } = context;
    const integrity = context.integrity.map((shared) => new Uint32Array(shared));
    this.#workspace = new Workspace({ geometry, memory, dataOffset, integrity, io, kernels });
    this.#apply = new ApplyOperation(this.#workspace);
    this.#recover = new RecoverOperation(this.#workspace);
    this.#rebuild = new RebuildOperation(this.#workspace);
    this.#scrub = new ScrubOperation(this.#workspace);
  }

  apply(task: ApplyTask, scratch: Scratch): StripeOutcome {
    return this.#run(() => this.#apply.run(task, scratch));
  }

  recover(task: RecoverTask, scratch: Scratch): RecoverOutcome {
    return this.#run(() => this.#recover.run(task, scratch));
  }

  rebuild(task: RebuildTask, scratch: Scratch): StripeOutcome {
    return this.#run(() => this.#rebuild.run(task, scratch));
  }

  scrub(members: MemberView, stripes: Float64Array, repair: boolean, scratch: Scratch): ScrubOutcome {
    return this.#run(() => this.#scrub.run(members, stripes, repair, scratch));
  }

  /** A task that throws must not leave half-queued work to the next one. */
  #run<T>(operation: () => T): T {
    try {
      return operation();
    } catch (error) {
      this.#workspace.math.discard();
      throw error;
    }
  }
}
