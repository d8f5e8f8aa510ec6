import { MUTATIONS, type Mutation } from '../../sim/mutations.js';

/** Deliberate bugs of the promises, for the tests of the real engine (break-rig.ts). */
export interface Break {
  readonly promise: string;
  readonly mutation: Mutation;
  /** Tests that fail on it. */
  readonly by: readonly string[];
}

export const BREAKS: readonly Break[] = [
  { promise: 'P1', mutation: known('acknowledge before any copy is written'), by: ['crash', 'journal-copies', 'power-failure'] },
  {
    promise: 'P1',
    mutation: {
      name: 'acknowledge when the first copy is written',
      file: 'journal/group-commit.js',
      find: 'if (--this.#writesLeft > 0)',
      put: 'if (position >= 0 && result >= 0)\n            this.#committed.settle(this.#writing.lastLsn, null);\n        if (--this.#writesLeft > 0)',
    },
    by: ['journal-copies'],
  },
  { promise: 'P1', mutation: known('write only one of the copies'), by: ['journal-copies', 'power-failure'] },
  { promise: 'P2', mutation: known('answer a flush without fdatasync'), by: ['power-failure'] },
  { promise: 'P2', mutation: known('skip the fdatasync of the journal'), by: ['power-failure'] },
  { promise: 'P2', mutation: known('a sync counts for writes that had not ended when it was asked for'), by: ['power-failure'] },
  { promise: 'P3', mutation: known('free ring slots before the stripes are flushed'), by: ['power-failure'] },
  { promise: 'P3', mutation: known('the cursor moves one segment too far'), by: ['crash', 'power-failure'] },
  {
    promise: 'P3',
    mutation: known('trim at one cursor: what is destaged leaves the ring although it is not drained'),
    by: ['crash', 'power-failure'],
  },
  { promise: 'P3', mutation: known('publish a segment without fsync'), by: ['power-failure'] },
  { promise: 'P3', mutation: known('publish HEAD without fsync'), by: ['power-failure'] },
  {
    promise: 'P7',
    mutation: {
      name: 'publish HEAD before the name of the segment is durable',
      file: 'repository/repository.js',
      find: 'await this.#options.target.rename(temporary, name);\n        await this.#options.target.syncDirectory();',
      put: 'await this.#options.target.rename(temporary, name);',
    },
    by: ['power-failure'],
  },
  {
    promise: 'P4',
    mutation: known('do not journal the lost blocks of a degraded row before it is written'),
    by: ['yanked-members', 'power-failure'],
  },
  { promise: 'P5', mutation: known('give a read without verifying it'), by: ['bitrot'] },
  { promise: 'P5', mutation: known('a merge of a part of a block misses the write in between'), by: ['crash'] },
  { promise: 'P6', mutation: known('trust the parity of a dirty stripe'), by: ['power-failure'] },
  { promise: 'P6', mutation: known('changed checksums are not flushed'), by: ['power-failure', 'bitrot'] },
  { promise: 'P6', mutation: known('do not sync data before their checksums are written'), by: ['power-failure'] },
  { promise: 'P10', mutation: known('a member that was away takes part again'), by: ['bitrot', 'power-failure'] },
];

function known(name: string): Mutation {
  const found = MUTATIONS.find((mutation) => mutation.name === name);
  if (found === undefined) throw new Error(`no mutation ${name}`);
  return found;
}
