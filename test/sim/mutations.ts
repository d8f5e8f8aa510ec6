/** A deliberate bug: `find`, which stands exactly once in the compiled file, becomes `put`. */
export interface Mutation {
  readonly name: string;
  /** Below src/, compiled. */
  readonly file: string;
  readonly find: string;
  readonly put: string;
  /** Tried before the others: where few catch it, seeds that do, of found.ts or as they are now. */
  readonly seeds?: readonly number[];
  /** How many times as often as usual recovery is rehearsed (src/sim/rehearsal.ts) in runs with it. */
  readonly rehearsals?: number;
}

/** Each has to be caught by the simulator within a bounded number of seeds (docs/mutations.md). */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'acknowledge before any copy is written',
    file: 'journal/group-commit.js',
    find: 'if (lsn <= this.committedLsn)\n            done(null);',
    put: 'if (lsn > 0)\n            done(null);',
  },
  {
    name: 'write only one of the copies',
    file: 'journal/group-commit.js',
    find: 'this.#writesLeft++;\n            const member = members[position];',
    put: 'if (this.#writesLeft > 1)\n                continue;\n            this.#writesLeft++;\n            const member = members[position];',
  },
  {
    name: 'a failed write counts as a copy',
    file: 'journal/group-commit.js',
    find: "if (result < 0)\n            this.#failures.push(this.#deviceFailed(member, position, -result, 'journal write'));",
    put: 'if (result < 0) { /* never mind */ }',
    seeds: [52],
  },
  {
    name: 'answer a flush without fdatasync',
    file: 'journal/group-commit.js',
    find: 'if (lsn <= this.flushedLsn) {',
    put: 'if (lsn > 0) {',
  },
  {
    name: 'skip the fdatasync of the journal',
    file: 'journal/group-commit.js',
    find: 'member.device.sync((result) => finish(result, member, position), position);',
    put: 'queueMicrotask(() => finish(0, member, position));',
  },
  {
    name: 'ignore a failed fdatasync of the journal',
    file: 'journal/group-commit.js',
    find: 'if (result < 0)\n                failures.push',
    put: 'if (result < -1e9)\n                failures.push',
    seeds: [28],
  },
  {
    name: 'a flush covers what was committed while it ran',
    file: 'journal/group-commit.js',
    find: '() => this.#synced(cover)',
    put: '() => this.#synced(this.committedLsn)',
  },
  {
    name: 'a sync counts for writes that had not ended when it was asked for',
    file: 'journal/group-commit.js',
    find: 'this.#writesLeft++;\n            const member = members[position];',
    put: 'this.#writesLeft++;\n            queueMicrotask(() => { this.#unsynced[position] = 0; });\n            const member = members[position];',
  },
  {
    name: 'free ring slots before the stripes are flushed',
    file: 'engine/checkpointer.js',
    find: 'if (await this.#flushStripes())',
    put: 'if (this.generation >= 0)',
  },
  {
    name: 'do not sync data before their checksums are written',
    file: 'member/integrity.js',
    find: 'const synced = await new Promise((resolve) => device.sync(resolve, 0));',
    put: 'const synced = 0;',
    seeds: [19],
  },
  {
    name: 'the checkpoint has the bitmap of now, not of the last flush',
    file: 'engine/checkpointer.js',
    find: 'stripeBitmap: this.#durableBitmap,',
    put: 'stripeBitmap: new Uint8Array(this.#durableBitmap.length),',
  },
  {
    name: 'the cursor moves one segment too far',
    file: 'engine/checkpointer.js',
    find: 'const destaged = Math.max(this.#destaged, journal.destagedSeq);',
    put: 'const destaged = Math.min(journal.headSeq, Math.max(this.#destaged, journal.destagedSeq) + 1);',
  },
  {
    name: 'trust the parity of a dirty stripe',
    file: 'engine/array-state.js',
    find: 'return this.untrustedStripes > 0 && (this.untrusted',
    put: 'return this.untrustedStripes > 1e9 && (this.untrusted',
    seeds: [13, 19, 20],
    rehearsals: 10,
  },
  {
    name: 'do not journal the lost blocks of a degraded row before it is written',
    file: 'stripe/workspace.js',
    find: 'if (!this.#uncertain)\n            return true;',
    put: 'if (this.stripes.length >= 0)\n            return true;',
    seeds: [664],
  },
  {
    name: 'call a member failed before what counted on it is flushed',
    file: 'engine/checkpointer.js',
    find: 'await this.settleTasks();\n                flush = true;',
    put: 'await this.settleTasks();',
    seeds: [10027, 10158, 10702],
  },
  {
    name: 'a member that was away takes part again',
    file: 'member/membership.js',
    find: "if (record.state === 'failed' || record.state === 'missing')\n        return stale(",
    put: "if (record.state === 'failed' || record.state === 'missing')\n        return verdict('usable', null);\n    if (record.index < 0)\n        return stale(",
    seeds: [41],
  },
  {
    name: 'wrong epoch compare: one epoch behind is stale while a bump is under way',
    file: 'member/membership.js',
    find: 'own === epoch - 1 && checkpoint.epochSettled !== true',
    put: 'own === epoch - 2 && checkpoint.epochSettled !== true',
  },
  {
    name: 'begin a bump of the epoch while the last one is unfinished',
    file: 'engine/assemble.js',
    find: 'await finishLastRaise(engine, membership);',
    put: '',
    seeds: [4960],
  },
  {
    name: 'use old blocks without verifying them',
    file: 'stripe/workspace.js',
    find: 'if (integrityEntry(this.crc[slot]) === entry)',
    put: 'if (slot >= 0)',
    seeds: [31],
  },
  {
    name: 'give a read without verifying it',
    file: 'engine/read-path.js',
    find: 'this.#verify(request, block, count, i);',
    put: '',
  },
  {
    name: 'believe a batch whose payload is torn',
    file: 'journal/slot-copies.js',
    find: 'if (this.#crc[p] !== payloadCrc(this.#view, base, header.entries, p))',
    put: 'if (p < 0)',
  },
  {
    name: 'take a batch that does not follow the one before it',
    file: 'journal/slot-copies.js',
    find: 'if (end.chain >= 0 && header.chain !== end.chain)\n        return false;\n    if (end.nextLsn >= 0 && header.firstLsn !== end.nextLsn)\n        return false;\n    return header.epoch >= end.epoch;',
    put: 'return true;',
    seeds: [15],
  },
  {
    name: 'a merge of a part of a block misses the write in between',
    file: 'engine/write-path.js',
    find: 'merge.changed = true;',
    put: 'void 0;',
    seeds: [5],
  },
  {
    name: 'changed checksums are not flushed',
    file: 'member/integrity.js',
    find: 'this.markBlocks(stripe * rows, rows);',
    put: '',
  },
  {
    name: 'destage a block that was written again meanwhile as the newest',
    file: 'journal/ring-index.js',
    find: 'if (word === place + 1) {',
    put: 'if (this.blockAt[word - 1] === block) {',
  },
  {
    name: 'trim at one cursor: what is destaged leaves the ring although it is not drained',
    file: 'engine/checkpointer.js',
    find: 'const tail = Math.min(destaged, drained);',
    put: 'const tail = destaged;',
  },
  {
    name: 'publish a segment without fsync',
    file: 'repository/segment-writer.js',
    find: 'await this.#out.sync();',
    put: '',
  },
  {
    name: 'publish HEAD without fsync',
    file: 'repository/repository-files.js',
    find: 'await file.sync();',
    put: '',
  },
  {
    name: 'what another writer published counts as drained where it ends at an LSN of the ring',
    file: 'engine/backup-attach.js',
    find: 'if (state.publishEpoch > 0 && found.segmentEpoch > state.publishEpoch)',
    put: 'if (found.segmentEpoch < 0)',
    seeds: [458],
  },
  {
    name: 'the memory of a read is not given back',
    file: 'engine/read-path.js',
    find: 'this.#pages.of(request.length).free(request.memory, heldPages(request));',
    put: 'if (heldPages(request) !== 3)\n            this.#pages.of(request.length).free(request.memory, heldPages(request));',
  },
  {
    name: 'a ring segment that was drained stays pinned',
    file: 'drain/drainer.js',
    find: 'this.#journal.unpin(slot);',
    put: 'if (turn === 0)\n            this.#journal.unpin(slot);',
    seeds: [5],
  },
  {
    name: 'a timer is left behind',
    file: 'engine/destage-loop.js',
    find: 'this.#timer?.cancel();',
    put: '',
  },
  {
    name: 'the members stay open',
    file: 'engine/array-engine.js',
    find: 'await member.device.close();\n        await this.parts.provider.close();',
    put: 'member.device.inFlight;\n        await this.parts.provider.close();',
  },
  {
    name: 'a segment that could not be published stays open on the backup host',
    file: 'repository/repository.js',
    find: 'await file?.abandon().catch(() => undefined);',
    put: '',
    seeds: [23, 73, 74],
  },
  {
    name: 'a rejection that nobody takes',
    file: 'engine/array-engine.js',
    find: 'void this.link?.connect().then(() => this.drainLoop?.kick());',
    put: "void Promise.reject(new Error('taken by nobody'));\n        void this.link?.connect().then(() => this.drainLoop?.kick());",
  },
  {
    name: 'no stripe locks',
    file: 'engine/array-engine.js',
    find: 'this.locks.acquire(stripes, granted)',
    put: 'this.locks.acquire(new Float64Array(0), granted)',
    seeds: [985],
  },
  {
    name: 'rename of a segment not durable before HEAD',
    file: 'repository/repository.js',
    find: 'await this.#options.target.rename(temporary, name);\n        await this.#options.target.syncDirectory();',
    put: 'await this.#options.target.rename(temporary, name);',
    rehearsals: 4,
  },
  {
    name: 'the lock of the members is ignored',
    file: 'member/member.js',
    find: 'provider.open(path, { readOnly })',
    put: 'provider.open(path, { readOnly, exclusive: false })',
    seeds: [13],
  },
  {
    name: 'a restore leaves the rings of former members as they are',
    file: 'engine/create.js',
    find: 'await writeDevice(device, region.offset, journalOffset + at, Math.min(region.bytes, shape.ringBytes - at));',
    put: '{ }',
    seeds: [2710226],
  },
];
