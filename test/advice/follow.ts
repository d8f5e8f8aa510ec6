import type { Operator, Outcome } from './operator.js';
import { commandsIn } from './sources.js';

/** What the hands do at words that are no command: the words, and the deed. */
export type Deeds = Readonly<Record<string, () => unknown>>;

export interface Followed {
  /** Of the commands, in order. */
  readonly outcomes: readonly Outcome[];
  readonly commands: readonly string[];
}

/** Words that ask for nothing: what is said about a step that stands beside it. */
export interface Reading {
  readonly deeds?: Deeds;
  /** Of steps joined with "or" only this one (0: the first) is taken. Default: the first. */
  readonly choice?: number;
  /** Put in place of NEW-DEVICE and DEVICE, one after the other. */
  readonly devices?: readonly string[];
  /** So many clauses are followed, where the others say what to do if these do not help. */
  readonly steps?: number;
  /** Leaves out so many at the start. */
  readonly from?: number;
  /** Clauses that explain and ask for nothing. */
  readonly remarks?: readonly (string | RegExp)[];
}

/**
 * Follows an advice word by word: commands are run as they are printed (`keelson serve` starts the server), a new file stands in for NEW-DEVICE; other words need a deed. A clause that
 * is neither a command, nor a deed, nor a remark that the test knows is an advice that nobody can follow: it throws.
 */
export async function follow(operator: Operator, advice: string, reading: Reading = {}): Promise<Followed> {
  const outcomes: Outcome[] = [];
  const commands: string[] = [];
  const devices = [...(reading.devices ?? [])];
  for (const clause of advice.split(/;\s+|: (?=keelson )|, (?=keelson )/).slice(reading.from ?? 0, reading.steps)) {
    const alternatives = clause.split(/ or (?=keelson )/);
    const step = alternatives[Math.min(reading.choice ?? 0, alternatives.length - 1)] as string;
    const deed = Object.entries(reading.deeds ?? {}).find(([words]) => step.includes(words));
    if (deed !== undefined) await deed[1]();
    const [words] = commandsIn(step);
    if (words !== undefined) {
      const args = words.map((word) => (/^(NEW-DEVICE|DEVICE|DEV)$/.test(word) ? (devices.shift() ?? operator.newPath()) : word));
      commands.push(args.join(' '));
      if (args[0] === 'serve') {
        const refused = await operator.serve();
        if (refused !== null) outcomes.push(refused);
      } else outcomes.push(await operator.run(...args));
    }
    if (deed !== undefined || words !== undefined) continue;
    const known = (reading.remarks ?? []).some((remark) => (typeof remark === 'string' ? step.includes(remark) : remark.test(step)));
    if (!known) throw new Error(`nobody can follow "${step}" of "${advice}"`);
  }
  return { outcomes, commands };
}
