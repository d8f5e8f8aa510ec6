import type { Clock } from '../base/clock.js';
import { errnoName, KeelsonError } from '../base/errors.js';
import type { Journal } from '../journal/journal.js';
import type { Member } from '../member/member-api.js';
import type { ArrayState } from './array-state.js';
import type { EngineLog } from './log.js';

/** An error weighs half as much after this: md halves its count of corrected reads by the hour, too. */
const HALF_LIFE_MS = 3_600_000;
/** So many within the half-life, repaired or not, and nobody counts on the member any more: zed's figure, from which on ZFS calls a device degraded. */
const TRUSTED_ERRORS_MAX = 10;
/**
 * From this weight on a member is failed. Latent damage comes in a handful of neighbouring blocks; a mebibyte of wrong blocks within the hour is a device that was written
 * over, that writes to the wrong places, or that dies (decision 0111).
 */
const FAIL_WEIGHT = 256;
/** What was repaired in place cost nothing but the time: four of them weigh as much as one that was not. */
const REPAIRED_WEIGHT = 0.25;

/** What one stripe task met, by data member. */
export interface TaskErrors {
  readonly readErrors: Uint32Array;
  readonly writeErrors: Uint32Array;
  readonly writeErrno: Int32Array;
  readonly checksumErrors: Uint32Array;
  readonly repairs: Uint32Array;
}

interface ErrorsHost {
  fail(member: Member, error: KeelsonError): Promise<void>;
  /** The array keeps all it has, and a reserve, without this member. */
  maySpare(member: Member): boolean;
}

/** What is known of one member's errors since it is a member of the running array. */
interface Known {
  errors: number;
  open: number;
  weight: number;
  recent: number;
  at_ms: number;
  trusted: boolean;
}

/**
 * What errors mean for the members that gave them. Counters rise where blocks are read; here they are taken in, by the injected clock: a line in the log, a member that is not
 * counted on any more, and in the end one that is failed, where the array can do without.
 */
export class MemberErrors {
  readonly #state: ArrayState;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: EngineLog;
  readonly #known = new WeakMap<Member, Known>();
  readonly #host: ErrorsHost;

  constructor(state: ArrayState, journal: Journal, clock: Clock, log: EngineLog, host: ErrorsHost) {
    this.#state = state;
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
    this.#host = host;
  }

  /** What a stripe task met; torn: of rows that a crash may have torn. A member whose writes failed is failed: what the promises resolve to is that everybody knows. */
  account(outcome: TaskErrors, torn: boolean): Promise<void>[] {
    const fences: Promise<void>[] = [];
    for (let i = 0; i < this.#state.shape.dataMembers; i++) {
      const member = this.#state.members[i];
      if (!member) continue;
      const read = outcome.readErrors[i] as number;
      // A crash leaves blocks that are newer than their checksums. They are no errors of a member, and the ring has them all.
      const checksum = torn ? 0 : (outcome.checksumErrors[i] as number);
      member.readErrors += read;
      member.checksumErrors += checksum;
      member.openErrors += Math.max(0, read + checksum - (outcome.repairs[i] as number));
      const failures = outcome.writeErrors[i] as number;
      if (failures === 0) continue;
      member.writeErrors += failures;
      fences.push(
        this.#host.fail(
          member,
          new KeelsonError('DEVICE_WRITE', `writes to ${member.device.path} failed`, { found: errnoName(outcome.writeErrno[i] as number) }),
        ),
      );
    }
    return fences;
  }

  /** Takes in what the counters have risen by. */
  look(): void {
    for (const member of this.#state.present()) {
      if (this.#takeIn(member).weight < FAIL_WEIGHT || !this.#host.maySpare(member)) continue;
      void this.#host.fail(member, new KeelsonError('MEMBER_ERRORS', describeErrors(member)));
    }
  }

  /** Bad enough to be failed: the array cannot do without it. */
  stays(member: Member): boolean {
    return (this.#known.get(member)?.weight ?? 0) >= FAIL_WEIGHT;
  }

  #takeIn(member: Member): Known {
    const now = this.#clock.now();
    const known = this.#known.get(member) ?? { errors: 0, open: 0, weight: 0, recent: 0, at_ms: now, trusted: true };
    this.#known.set(member, known);
    const errors = member.readErrors + member.checksumErrors;
    const rise = errors - known.errors;
    const openRise = Math.min(rise, Math.max(0, member.openErrors - known.open));
    const faded = 0.5 ** (Math.max(0, now - known.at_ms) / HALF_LIFE_MS);
    known.weight = known.weight * faded + openRise + (rise - openRise) * REPAIRED_WEIGHT;
    known.recent = known.recent * faded + rise;
    if (known.recent >= TRUSTED_ERRORS_MAX || member.openErrors > 0 || this.#lostPages(member)) known.trusted = false;
    // The first, and then at each power of ten: a device that dies must not fill the log.
    if (rise > 0 && digits(errors) > digits(known.errors))
      this.#log.warn({ member: member.index, path: member.device.path, errors }, `a member gives wrong data: ${describeErrors(member)}`);
    known.errors = errors;
    known.open = member.openErrors;
    known.at_ms = now;
    return known;
  }

  /** Pages of its checksums were lost, so that each of their blocks is an erasure until it is read or written again. */
  #lostPages({ index, state }: Member): boolean {
    return state === 'online' && (this.#state.integrity[index]?.lost.count ?? 0) > 0;
  }

  /** Members that are there, and that no tolerance counts as whole: nobody knows what else of them is wrong. For good, until they are replaced. */
  doubted(): Set<number> {
    return new Set(
      this.#state
        .present()
        .filter((member) => this.whyDoubted(member) !== null)
        .map(({ index }) => index),
    );
  }

  /** null: the member counts as whole. */
  whyDoubted(member: Member): string | null {
    if (this.#known.get(member)?.trusted === false || member.openErrors > 0) return describeErrors(member);
    if (member.ringDamageSeq >= this.#journal.tailSeq) return `its copy of the ring has damage: ${describeErrors(member)}`;
    return null;
  }
}

/** "12 checksum errors and 3 read errors, 4 of them not repaired". */
export function describeErrors({ checksumErrors, readErrors, openErrors }: Member): string {
  const count = (n: number, what: string): string => `${n} ${what} error${n === 1 ? '' : 's'}`;
  return `${count(checksumErrors, 'checksum')} and ${count(readErrors, 'read')}${openErrors > 0 ? `, ${openErrors} of them not repaired` : ''}`;
}

function digits(n: number): number {
  return n <= 0 ? 0 : Math.floor(Math.log10(n)) + 1;
}
