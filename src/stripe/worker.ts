import { workerData } from 'piscina';
import { type ErrorRecord, KeelsonError } from '../base/errors.js';
import type { Bytes } from '../base/units.js';
import { FsBlockingIo } from '../device/fs-blocking.js';
import { RingBlockingIo } from '../device/ring-blocking.js';
import { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { StripeGeometry } from './geometry.js';
import { StripeOperations } from './operations.js';
import type { ApplyTask, MemberView, RebuildTask, RecoverOutcome, RecoverTask, ScrubOutcome, StripeOutcome } from './stripe-pool.js';
import type { Scratch } from './workspace.js';

/** StripeContext as plain data: a class does not cross to another thread. */
export interface WorkerContext {
  readonly k: number;
  readonly m: number;
  readonly chunkBytes: Bytes;
  readonly stripes: number;
  readonly slab: SharedArrayBuffer;
  readonly dataOffset: Float64Array;
  readonly integrity: readonly SharedArrayBuffer[];
  readonly io: 'ring' | 'fs';
}

export type WorkerTask =
  | { readonly kind: 'ready' }
  | { readonly kind: 'apply'; readonly task: ApplyTask; readonly scratch: Scratch }
  | { readonly kind: 'recover'; readonly task: RecoverTask; readonly scratch: Scratch }
  | { readonly kind: 'rebuild'; readonly task: RebuildTask; readonly scratch: Scratch }
  | {
      readonly kind: 'scrub';
      readonly members: MemberView;
      readonly stripes: Float64Array;
      readonly repair: boolean;
      readonly scratch: Scratch;
    };

export type WorkerOutcome = StripeOutcome | RecoverOutcome | ScrubOutcome | null;

/** Piscina keeps neither class nor code of a thrown error, so errors are returned. */
export type WorkerReply = { readonly outcome: WorkerOutcome } | { readonly error: ErrorRecord };

let operations: StripeOperations | undefined;

/** The thread's entry: one task at a time. */
export default function runTask(task: WorkerTask): WorkerReply {
  try {
    operations ??= start(workerData as WorkerContext);
    return { outcome: run(operations, task) };
  } catch (error) {
    return { error: KeelsonError.from(error, 'STRIPE_TASK').toRecord() };
  }
}

function start(context: WorkerContext): StripeOperations {
  const { k, m, chunkBytes, stripes, slab, dataOffset, integrity, io } = context;
  const geometry = new StripeGeometry(k, m, chunkBytes, stripes);
  const { view } = Slab.attach(slab);
  const blocking = io === 'ring' ? new RingBlockingIo(view) : new FsBlockingIo(view);
  return new StripeOperations({ geometry, slab, dataOffset, integrity, io }, view, blocking, loadAddon());
}

function run(on: StripeOperations, task: WorkerTask): WorkerOutcome {
  switch (task.kind) {
    case 'ready':
      return null;
    case 'apply':
      return on.apply(task.task, task.scratch);
    case 'recover':
      return on.recover(task.task, task.scratch);
    case 'rebuild':
      return on.rebuild(task.task, task.scratch);
    case 'scrub':
      return on.scrub(task.members, task.stripes, task.repair, task.scratch);
  }
}
