import type { Random } from '../base/random.js';
import type { HostFile, SimulatedHost } from './simulated-target.js';

/** States that a host can be put back to. */
const STATES_MAX = 24;
/** Restores are of what was not long ago, mostly. */
const RECENT = 8;
/** A host that was asked nothing for so long is in nobody's publish. */
const QUIET_US = 300_000;

interface HostState {
  readonly files: ReadonlyMap<string, HostFile>;
  /** What was said to be drained then. */
  readonly floor: number;
}

/** Earlier states of the backup host's directory, for hosts that are restored from them. */
export class TargetPast {
  readonly #host: SimulatedHost;
  readonly #states: HostState[] = [];
  /** What the host held when it was last put back. */
  #future: HostState | null = null;

  constructor(host: SimulatedHost, floor: () => number) {
    this.#host = host;
    host.onSynced = () => {
      this.#states.push({ files: copied(host.files), floor: floor() });
      if (this.#states.length > STATES_MAX) this.#states.shift();
    };
  }

  /** Puts the host back; resolves to what was said to be drained in the state that it is in then. null: it has no past. */
  goBack(random: Random, floor: number, now_us: number): number | null {
    const { length } = this.#states;
    const past = this.#states[length - 2 - random.below(Math.max(1, Math.min(length - 1, RECENT)))];
    if (past === undefined) return null;
    this.#future ??= { files: copied(this.#host.files), floor };
    this.#host.putBack(past.files);
    // Nobody notices when nothing was under way.
    if (this.#host.idle_us(now_us) < QUIET_US || random.below(2) === 0) this.#host.connection++;
    return past.floor;
  }

  /** The host is behind what it once held, and nobody has gone on from there. */
  get isBehind(): boolean {
    return this.#future !== null;
  }

  /** What was taken back is there again: what was said to be drained then. */
  undo(): number {
    const future = this.#future as HostState;
    this.#future = null;
    this.#host.connection++;
    this.#host.putBack(future.files);
    return future.floor;
  }

  /** The array has gone on from the state that the host was put back to. */
  accept(): void {
    this.#future = null;
  }

  forget(): void {
    this.#states.length = 0;
    this.#future = null;
  }
}

function copied(files: ReadonlyMap<string, HostFile>): ReadonlyMap<string, HostFile> {
  return new Map([...files].map(([name, file]) => [name, { ...file }]));
}
