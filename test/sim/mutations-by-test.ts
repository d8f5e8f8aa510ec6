import type { Mutation } from './mutations.js';

/** A test below test/, which fails on a deliberate bug in the same way each time. */
export interface NamedTest {
  readonly file: string;
  readonly title: string;
}

export interface TestedMutation extends Mutation {
  readonly by: NamedTest;
}

/** Deliberate bugs of which the simulator seldom comes by the moments that matter: each has a test that fails on it (docs/mutations.md). */
export const TESTED_MUTATIONS: readonly TestedMutation[] = [
  {
    name: 'the rebuild mark runs ahead of the flush',
    file: 'engine/checkpointer.js',
    find: 'return Math.min(member.rebuiltStripes, this.#durableRebuilt.get(member) ?? 0);',
    put: 'return member.rebuiltStripes;',
    by: {
      file: 'engine/durable-order',
      title: 'a checkpoint between the rebuild of a stripe and the flush of the member does not call the stripe rebuilt',
    },
  },
  {
    name: 'build on superblocks that are in a cache alone',
    file: 'member/member.js',
    find: 'await syncDevice(device);',
    put: '',
    by: {
      file: 'member/member',
      title: 'P10: what is on a member is made durable before it is read: what the next epoch is built on must not fall back behind it',
    },
  },
  {
    name: 'do not record the failure of a member before writes are acknowledged without it',
    file: 'journal/group-commit.js',
    find: 'void Promise.allSettled(failures).then(then);',
    put: 'then();',
    by: { file: 'journal/group-commit', title: 'P10: nothing is acknowledged round a failed member before the others know of it' },
  },
  {
    name: 'leave segments beyond the end of the ring recognisable',
    file: 'journal/recovery.js',
    find: 'await this.#forgetBeyond(seq);',
    put: '',
    by: { file: 'journal/recovery', title: 'batches after a gap are forgotten: a later life of as many writes does not run into them' },
  },
  {
    name: 'recovery does not sync what it found',
    file: 'journal/recovery.js',
    find: 'await this.#sync();',
    put: '',
    by: {
      file: 'journal/recovery',
      title: 'P8: what a crash left on one member alone is on the others, flushed, before anybody is told that this one failed',
    },
  },
  {
    name: 'a segment is read on although the next one was begun by a later run',
    file: 'journal/recovery.js',
    find: 'const successor = at > 0 ? await this.#successor(seq + 1) : null;',
    put: 'const successor = null;',
    by: { file: 'journal/recovery', title: 'a member that was away does not bring back batches that the others never had' },
  },
  {
    name: 'take the buffer of a segment that is being read',
    file: 'journal/buffers.js',
    find: ' && this.#table.pins[slot] === 0;',
    put: ';',
    by: { file: 'journal/ring', title: 'the memory of a segment that somebody uses is not taken, although it is destaged' },
  },
  {
    name: 'a rebuild beyond parity does not ask the backup again when segments have left the ring meanwhile',
    file: 'rebuild/stripe-blueprint.js',
    find: 'for (let tail = -1; tail !== journal.tailSeq;) {\n                tail = journal.tailSeq;',
    put: '{',
    by: {
      file: 'rebuild/stripe-blueprint',
      title: 'P5: what leaves the ring while the backup is asked what it has is in neither: the backup is asked again',
    },
  },
  {
    name: 'a read beyond parity goes from the ring to the backup once only',
    file: 'engine/slow-read.js',
    find: 'round < ROUNDS_MAX &&',
    put: 'round < 1 &&',
    by: {
      file: 'engine/asked-again',
      title: 'P5: a block that comes into the ring while the backup is asked is not looked for there, but in the ring once more',
    },
  },
  {
    name: 'blocks that left the ring are asked of the stripes in any order',
    file: 'engine/slow-read.js',
    find: 'return left.sort((a, b) => a - b);',
    put: 'return left;',
    by: {
      file: 'engine/asked-again',
      title: 'P5: blocks of which one is not in the ring any more when that is asked again are looked for in the stripes in their order',
    },
  },
  {
    name: 'a member that was lost with a crash counts as lost before it after the next one',
    file: 'engine/torn-rows.js',
    find: 'lost.length > 0 ? (checkpoint.tornAsWholeBelow ?? 0) : 0',
    put: '0',
    by: {
      file: 'engine/torn-rows',
      title: 'P5: a second crash does not make a member that was lost with the first one a member that was lost before it',
    },
  },
  {
    name: 'batches say an epoch that is not on every member yet',
    file: 'engine/checkpointer.js',
    find: 'state.epoch++;',
    put: 'state.epoch++;\n            journal.epoch = state.epoch;',
    by: {
      file: 'engine/failure-record',
      title: 'no batch says an epoch that some member does not know yet: a crash could leave it beside members that never heard of it',
    },
  },
  {
    name: 'a HEAD is believed that is not durable',
    file: 'repository/repository.js',
    find: 'open(options.create && !readOnly);\n        // A publish that was cut short may have given HEAD its name without making that durable. It is read here and built upon, so it must not be gone after a power failure.\n        await this.#options.target.syncDirectory();',
    put: 'open(options.create && !readOnly);',
    by: {
      file: 'repository/interrupted-publish',
      title: 'P3: what an open finds after a publish that was cut is there after a power failure of the host',
    },
  },
  {
    name: 'a writer that was taken over publishes on',
    file: 'repository/repository.js',
    find: 'if (lease.epoch > options.epoch || isOther(lease, options))',
    put: 'if (lease.epoch < 0)',
    by: { file: 'repository/fencing', title: 'P10: a writer that was taken over can neither publish nor put metadata' },
  },
  {
    name: 'publish over a HEAD that is not the one that was left there',
    file: 'repository/repository.js',
    find: 'await this.#refuseChanged(opened);',
    put: '',
    by: {
      file: 'repository/put-back',
      title: 'P3, P7: a publish over a host that was put back to an earlier state is refused, and its image stays whole',
    },
  },
  {
    name: 'the drained cursor is set back in memory alone',
    file: 'engine/checkpointer.js',
    find: 'this.#journal.drainedSeq = seq;\n        return this.#request();',
    put: 'this.#journal.drainedSeq = seq;\n        return Promise.resolve();',
    by: {
      file: 'engine/durable-order',
      title:
        'P3: what a repository that was put back to an earlier state lacks is drained again, and no checkpoint says otherwise meanwhile',
    },
  },
  {
    name: 'segments beyond a HEAD that was put back are cleared away',
    file: 'repository/repository.js',
    find: 'if (!readOnly && head.headLsn >= (options.drainedLsn ?? 0))',
    put: 'if (!readOnly)',
    by: {
      file: 'repository/put-back',
      title: 'P3: segments beyond an old HEAD stay on the host while the array knows that they were published',
    },
  },
  {
    name: 'CRC without the address seed',
    file: 'native/load.js',
    find: 'loaded = addon;',
    put: 'loaded = { ...addon, crcBlocks: (m, at, a, n, out, o) => addon.crcBlocks(m, at, new Float64Array(n), n, out, o) };\n    return loaded;',
    by: { file: 'native/crc32c', title: 'blocks are seeded with their own address' },
  },
  {
    name: 'two processes with one epoch both go on with the repository',
    file: 'repository/repository.js',
    find: 'return lease.epoch === epoch && lease.writer !== 0 && writer !== 0 && lease.writer !== writer;',
    put: 'return false;',
    by: {
      file: 'repository/fencing',
      title: 'P10: of two writers with one epoch the one that holds the lease goes on, also over a connection that it makes anew',
    },
  },
  {
    name: 'trust the rows that a crash may have torn, for reconstruction',
    file: 'engine/array-state.js',
    find: 'return this.geometry.stripeOf(block) >= this.lostBeforeCrashFrom || !this.isUntrustedRow(block);',
    put: 'return block >= 0;',
    by: {
      file: 'engine/failure-record',
      title: 'P8: parity of rows that a crash may have torn is doubted when a stripe member fails, not when a journal member does',
    },
  },
  {
    name: 'a segment is made again before what was written again behind it is on stable media',
    file: 'journal/segment-remake.js',
    find: '!(await flushed(journal))',
    put: 'false',
    by: {
      file: 'journal/segment-remake',
      title:
        'a segment is made again only when what was written again behind it is on stable media: no crash makes an older write the newest',
    },
  },
  {
    name: 'what the stripes have is put into the ring without a look at its checksum',
    file: 'journal/segment-remake.js',
    find: 'wrong.length === 0',
    put: 'wrong.length >= 0',
    by: {
      file: 'journal/segment-remake',
      title: 'what the stripes have wrong is not put into the ring: the segment goes on without a copy',
    },
  },
  {
    name: 'a drain ends before the reach of a segment that was made again',
    file: 'drain/drainer.js',
    find: 'to = reachOf(journal, from, to);',
    put: '',
    by: {
      file: 'engine/lost-journal',
      title:
        'P4, P8: when all journal members were replaced, segments that are in no memory get their copies from the stripes: a crash and a start without any drain, then a drain that reaches far enough',
    },
  },
  {
    name: 'the copy of an online member forgets stripes that changed since they were copied',
    file: 'engine/array-state.js',
    find: 'told(stripe);',
    put: ';',
    by: { file: 'engine/online-replacement', title: 'what clients write while a member is copied is on its successor' },
  },
];
