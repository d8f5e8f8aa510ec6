import { MUTATIONS, type Mutation } from '../../sim/mutations.js';

/** Deliberate bugs of the promises, for the tests of the real engine (break-rig.ts). */
export interface Break {
  readonly promise: string;
  readonly mutation: Mutation;
}

export const BREAKS: readonly Break[] = [
  { promise: 'P1', mutation: known('acknowledge before any copy is written') },
  {
    promise: 'P1',
    mutation: {
      name: 'acknowledge when the first copy is written',
      file: 'journal/group-commit.js',
      find: 'if (--this.#writesLeft > 0)',
      put: 'if (position >= 0 && result >= 0)\n            this.#committed.settle(this.#writing.lastLsn, null);\n        if (--this.#writesLeft > 0)',
    },
  },
  { promise: 'P1', mutation: known('write only one of the copies') },
  { promise: 'P1', mutation: known('a failed write counts as a copy') },
  { promise: 'P2', mutation: known('answer a flush without fdatasync') },
  { promise: 'P2', mutation: known('skip the fdatasync of the journal') },
  { promise: 'P2', mutation: known('a sync counts for writes that had not ended when it was asked for') },
  { promise: 'P3', mutation: known('free ring slots before the stripes are flushed') },
  { promise: 'P3', mutation: known('the cursor moves one segment too far') },
  { promise: 'P3', mutation: known('trim at one cursor: what is destaged leaves the ring although it is not drained') },
  { promise: 'P3', mutation: known('publish a segment without fsync') },
  { promise: 'P3', mutation: known('publish HEAD without fsync') },
  {
    promise: 'P7',
    mutation: {
      name: 'publish HEAD before the name of the segment is durable',
      file: 'repository/repository.js',
      find: 'await this.#options.target.syncDirectory();',
      put: '',
    },
  },
  { promise: 'P4', mutation: known('do not journal the lost blocks of a degraded row before it is written') },
  { promise: 'P5', mutation: known('give a read without verifying it') },
  { promise: 'P5', mutation: known('a merge of a part of a block misses the write in between') },
  { promise: 'P6', mutation: known('trust the parity of a dirty stripe') },
  { promise: 'P6', mutation: known('changed checksums are not flushed') },
  { promise: 'P6', mutation: known('do not sync data before their checksums are written') },
  { promise: 'P10', mutation: known('a member that was away takes part again') },
];

function known(name: string): Mutation {
  const found = MUTATIONS.find((mutation) => mutation.name === name);
  if (found === undefined) throw new Error(`no mutation ${name}`);
  return found;
}
