import { assert } from '../base/assert.js';
import type { Clock, Timer } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { TraceHash } from './trace-hash.js';

/** Who an event belongs to: the events of a process that died never happen. */
export interface Owner {
  readonly alive: boolean;
  /** It stands still: its events happen later. */
  readonly frozen?: boolean;
}

/** The world outlives every process: disks, networks, clients. */
export const WORLD: Owner = { alive: true };

interface Event {
  /** Microseconds since the start of the run. */
  due: number;
  /** Among events of the same moment any order can happen: the seed decides. */
  readonly lot: number;
  readonly serial: number;
  readonly owner: Owner;
  readonly kind: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** What a process that stands still would do is looked at again after this. */
const FROZEN_US = 5000;
/** Turns of the microtask queue between two looks at the real event loop, so that the host process stays responsive. */
const STEPS_A_TURN = 512;

/**
 * Simulated time and everything that happens in it, one event after the other. Between two events all promises settle, so that each event
 * finds the engine waiting; which event is next follows from due times and lots that the seed draws. Nothing here waits for real time.
 */
export class Scheduler {
  readonly trace = new TraceHash();
  readonly #random: Random;
  readonly #heap: Event[] = [];
  #now_us = 0;
  #serial = 0;
  /** Events that have happened. */
  steps = 0;
  /** Wall clock minus monotonic clock, milliseconds. Clock jumps change it. */
  wallOffset_ms = 1_700_000_000_000;

  constructor(random: Random) {
    this.#random = random;
  }

  get now_us(): number {
    return this.#now_us;
  }

  /** Events of these kinds that are to come for this owner. */
  pendingOf(owner: Owner, kinds: readonly number[]): number {
    return this.#heap.filter((event) => event.owner === owner && !event.cancelled && kinds.includes(event.kind)).length;
  }

  /** Runs once, delay_us from now; never within this call. */
  after(delay_us: number, owner: Owner, kind: number, run: () => void): Event {
    assert(delay_us >= 0, 'time does not run backwards');
    const event = {
      due: this.#now_us + Math.round(delay_us),
      lot: this.#random.u32(),
      serial: this.#serial++,
      owner,
      kind,
      run,
      cancelled: false,
    };
    this.#push(event);
    return event;
  }

  /** Time during which nothing happens: a suspended machine. */
  suspend(delay_us: number): void {
    this.#now_us += Math.round(delay_us);
  }

  /** The clock that a process sees. Its timers die with it. */
  clock(owner: Owner): Clock {
    return {
      now: () => this.#now_us / 1000,
      wall: () => Math.floor(this.#now_us / 1000) + this.wallOffset_ms,
      after: (delay_ms, callback): Timer => {
        const event = this.after(delay_ms * 1000, owner, EVENT.timer, callback);
        return {
          cancel: () => {
            event.cancelled = true;
          },
        };
      },
    };
  }

  /** The next event happens. False when nothing can happen any more. */
  step(): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return false;
      if (event.cancelled || !event.owner.alive) continue;
      if (event.owner.frozen === true) {
        event.due += FROZEN_US;
        this.#push(event);
        continue;
      }
      this.#now_us = Math.max(this.#now_us, event.due);
      this.steps++;
      this.trace.add(event.kind, event.due, event.serial);
      event.run();
      return true;
    }
  }

  /** Everything that promises have to do is done when this resolves. */
  turn(): Promise<void> {
    if (this.steps % STEPS_A_TURN === 0) return new Promise((resolve) => setImmediate(resolve));
    return new Promise((resolve) => process.nextTick(resolve));
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  if (a.due !== b.due) return a.due < b.due;
  if (a.lot !== b.lot) return a.lot < b.lot;
  return a.serial < b.serial;
}

/** Kinds of events, for the trace. */
export const EVENT = { timer: 1, read: 2, write: 3, sync: 4, task: 5, client: 6, target: 7, fault: 8, driver: 9 } as const;
