/** A state of the engine, by a piece of its compiled code that runs in that state and in no other; it stands exactly once in the file. */
export interface CodeState {
  readonly name: string;
  /** Below src/, compiled. */
  readonly file: string;
  /** What counts is its last character. Any white space stands for any other. */
  readonly code: string;
}

const state = (name: string, file: string, code: string): CodeState => ({ name, file: `${file}.js`, code });

/** What long runs of the simulator are to reach. A state that is reached no more is a gap of the simulator, or code that nothing needs. */
export const CODE_STATES: readonly CodeState[] = [
  state('assembly: a member that was away is stale', 'member/membership', 'return stale(`state $'),
  state('assembly: a raise of the epoch was cut short', 'member/membership', "epochSettled !== true) return verdict('usable'"),
  state('assembly: a superblock copy is torn or damaged', 'member/superblock', "'the superblock has a wrong checksum'"),
  state('assembly: a checkpoint slot is torn or damaged in its header', 'member/checkpoint', "throw corrupt('the header')"),
  state('assembly: a checkpoint slot is torn or damaged in its body', 'member/checkpoint', "throw corrupt('the whole')"),
  state('assembly: the older checkpoint slot is taken', 'member/checkpoint-io', 'refusal ??= KeelsonError.from(failure)'),
  state('assembly: an integrity page has one copy', 'member/integrity', 'equals(entriesOf(b))) this.#single.add(page)'),
  state('assembly: an integrity page is lost', 'member/integrity', 'this.entries.fill(ENTRY_OF_LOST_PAGE'),
  state('recovery: the ring ends in a torn batch', 'journal/recovery', 'await this.#erase(position, slot, used)'),
  state('recovery: segments beyond the end are erased', 'journal/recovery', 'this.#journal.table.slotOf(seq), 0)'),
  state('recovery: a segment is not whole on all its copies', 'journal/recovery', 'this.#incomplete.push(seq)'),
  state('recovery: a segment is pieced together from several copies', 'journal/slot-copies', 'if (from !== undefined'),
  state('recovery: rows that a crash may have torn', 'engine/torn-rows', 'if (block >= 0) state.distrust(block'),
  state('ring: a write to a copy fails', 'journal/group-commit', "position, -result, 'journal write'"),
  state('ring: a failed member leaves it', 'journal/journal', '~(1 << position)) >>> 0'),
  state('ring: full, writers wait', 'journal/writer-room', 'if (free <= RESERVED_SLOTS) return false'),
  state('ring: room kept for degraded rows, writers wait', 'journal/writer-room', 'this.#parity * undestaged) return false'),
  state('ring: a segment spills', 'journal/buffers', 'this.release(slot); return true'),
  state('ring: removal waits for a reader', 'journal/journal', 'queueMicrotask(() => this.removeBefore('),
  state('ring: a segment gets another copy', 'journal/replicator', 'table.copies[slot] = (table.copies[slot] | (1 << target))'),
  state('ring: a copy is made of one that has left memory', 'journal/replicator', 'memory = this.#scratch'),
  state(
    'ring: a segment is made again from the stripes',
    'journal/segment-remake',
    'return { crcs: compose(journal, seq, newest, memory, reachSeq), reachSeq }',
  ),
  state('ring: a copy cannot be read, another one is', 'journal/ring-reader', 'bytes)) < 0) { member.readErrors++'),
  state('ring: a new member takes a place', 'engine/membership-change', 'journal.members[position] = member'),
  state('checkpoint: a member fails in the round', 'engine/checkpointer', 'this.#onFailed(targets[i], error)'),
  state(
    'checkpoint: a member fails in the flush of the stripes',
    'engine/checkpointer',
    'all who are left. this.#wantFlush = true; return false',
  ),
  state('checkpoint: tasks counted on a member that failed', 'engine/checkpointer', 'state.tasksCountOnFailed = false'),
  state('writes: part of a block is merged', 'engine/write-path', 'whole.set(merge.bytes, merge.from)'),
  state('writes: a merge meets another write and is made again', 'engine/write-path', 'this.#startMerge(op.merge)'),
  state('writes: a trim of whole blocks', 'engine/write-path', 'block: first, count: end - first, payload: null'),
  state('reads: from a journal member', 'engine/slow-read', '(await reader.read(place, 1, into))) { result.from[i] = HAD_RING'),
  state('reads: by reconstruction', 'engine/slow-read', 'this.counters.fromStripes++'),
  state('reads: from the backup', 'engine/slow-read', 'this.counters.fromBackup++'),
  state('destage: lost blocks of a degraded row are journaled first', 'destage/destager', 'this.stats.lostJournaled++'),
  state('destage: a degraded row finds no room in the ring', 'destage/destager', "'the ring has no room for the blocks of a degraded row'"),
  state('destage: a member fails a write', 'stripe/workspace', 'this.#syncWritten(written)'),
  state('destage: a row is updated by its change', 'stripe/apply', 'this.#queueDelta(task, first, i, row)'),
  state('destage: damage met and mended', 'stripe/apply', 'const kept = task.sources'),
  state('destage: a row is damaged beyond its parity', 'stripe/apply', 'return this.#abandon(i, STRIPE_BEYOND)'),
  state('destage: blocked by lost members', 'engine/destage-loop', "new KeelsonError('DESTAGE_BLOCKED'"),
  state('scrub: a damaged block is derived again', 'stripe/scrub', 'ws.state[slot] = SLOT_DERIVED; for (let r'),
  state('rebuild: begins', 'engine/rebuild-runner', 'const rebuilder = new Rebuilder('),
  state('rebuild: a member is whole again', 'engine/rebuild-runner', "'member rebuilt'"),
  state('rebuild: goes on at its mark after a crash', 'engine/assemble', 'table.forgetFrom('),
  state('rebuild: makes way for clients', 'engine/rebuild-runner', 'parts.clock.after(BUSY_PAUSE_MS'),
  state('rebuild: a stripe from its blueprint', 'rebuild/stripe-sources', 'const torn = untrusted'),
  state('rebuild: blocks from the ring', 'rebuild/stripe-blueprint', 'this.#counters.fromJournal +='),
  state('rebuild: blocks from the backup', 'rebuild/stripe-blueprint', 'this.#counters.fromBackup +='),
  state('rebuild: stops, and goes on by itself', 'engine/rebuild-runner', "'rebuild stopped; it goes on by itself'"),
  state('drain: a segment is published', 'drain/drainer', 'this.publishes++'),
  state('drain: fails, the ring keeps everything', 'engine/drain-loop', "'drain failed; the ring keeps everything'"),
  state('drain: a segment without journal copies, from the stripes', 'drain/drainer', 'return this.#fromStripes(seq, memory)'),
  state('ring: no journal member is left, writes are refused', 'journal/group-commit', "gone('the write reached no journal member')"),
  state('ring: another process has the array', 'journal/group-commit', 'this.#refusal = error'),
  state('drain: holes are published', 'drain/drainer', 'if (holes.extents > 0) return holes'),
  state('restore: a batch of the image is written', 'rebuild/restore', 'const outcome = await host.pool.apply('),
  state('drain: what the last process published counts', 'engine/backup-attach', 'advance({ drainedSeq: seq + 1 }'),
  state('drain: a leftover of a broken upload is removed', 'repository/repository-files', 'if (orphan) await this.#target.remove('),
];
