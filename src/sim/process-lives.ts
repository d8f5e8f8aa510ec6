import { seededRandom } from '../base/random.js';
import type { Scheduler } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';
import { SimulatedProcess } from './simulated-process.js';

/** The process died while something was awaited. */
export class Died extends Error {}

/** The server processes of a run, one after the other, and what is awaited of the one that runs. */
export class ProcessLives {
  readonly #seed: number;
  readonly #scheduler: Scheduler;
  readonly #disks: ReadonlyMap<string, SimulatedDisk>;
  /** Who has a disk exclusively. */
  readonly #held = new Map<SimulatedDisk, SimulatedProcess>();
  /** Second processes on this host that may live still. */
  readonly #neighbours = new Set<SimulatedProcess>();
  #count = 0;
  #current!: SimulatedProcess;
  #died: (reason: Died) => void = () => {};
  #death: Promise<never> = new Promise(() => {});

  constructor(seed: number, scheduler: Scheduler, disks: ReadonlyMap<string, SimulatedDisk>) {
    this.#seed = seed;
    this.#scheduler = scheduler;
    this.#disks = disks;
  }

  /** The one that runs, or ran last. */
  get current(): SimulatedProcess {
    return this.#current;
  }

  begin(): SimulatedProcess {
    for (const other of this.#neighbours) if (!other.alive) this.#neighbours.delete(other);
    this.#current = new SimulatedProcess(this.#scheduler, seededRandom(this.#seed + 0x9e37 * ++this.#count), this.#disks, this.#held);
    this.#death = new Promise((_, reject) => {
      this.#died = reject;
    });
    this.#death.catch(() => {});
    return this.#current;
  }

  /** A process on another host. */
  stranger(seed: number): SimulatedProcess {
    return new SimulatedProcess(this.#scheduler, seededRandom(seed), this.#disks, this.#held);
  }

  /** A second process on the host of the one that runs. */
  neighbour(seed: number): SimulatedProcess {
    const other = this.stranger(seed);
    this.#neighbours.add(other);
    return other;
  }

  /** When the present one began there was another on the host. */
  get hadNeighbours(): boolean {
    return this.#neighbours.size > 0;
  }

  powerFailure(): void {
    for (const other of this.#neighbours) other.alive = false;
  }

  /** Its locks are gone, though it may live, and nothing is awaited of it any more. */
  end(kind: string): void {
    for (const [disk, holder] of this.#held) if (holder === this.#current) this.#held.delete(disk);
    this.#died(new Died(kind));
  }

  /** Awaits something of the running process. */
  alive<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    return Promise.race([work, this.#death]);
  }
}
