import { type Figure, counter, gauge, gauges } from '../base/figure.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { ArrayEngine } from './array-engine.js';

/** What the metrics endpoint has beyond status: totals since assembly, and the fill of every bounded memory. */
export function arrayFigures(engine: ArrayEngine): Figure[] {
  return [...clientFigures(engine), ...moverFigures(engine), ...slabFigures(engine)];
}

function clientFigures({ reads, writes, recovery }: ArrayEngine): Figure[] {
  return [
    counter('backpressure_seconds_total', 'Time during which some write waited for room.', writes.counters.stalled_ms / 1000),
    counter('writes_total', 'Write requests.', writes.counters.writes),
    counter('written_bytes_total', 'Bytes written by clients.', writes.counters.bytes),
    counter('zeroes_total', 'Requests that write zeroes or trim.', writes.counters.zeroes),
    counter('flushes_total', 'Flush requests.', writes.counters.flushes),
    counter('reads_total', 'Read requests.', reads.counters.reads),
    counter('read_bytes_total', 'Bytes read by clients.', reads.counters.bytes),
    counter('blocks_from_memory_total', 'Blocks that reads had from ring segments in memory.', reads.counters.fromRing),
    counter('blocks_slow_total', 'Blocks that reads could not have directly.', reads.counters.slowBlocks),
    counter('blocks_from_journal_total', 'Blocks that reads had from journal members.', recovery.counters.fromJournal),
    counter(
      'blocks_from_stripes_total',
      'Blocks that slow reads had from the stripes, mostly by reconstruction.',
      recovery.counters.fromStripes,
    ),
    counter('blocks_from_backup_total', 'Blocks that reads had from the backup.', recovery.counters.fromBackup),
    counter('blocks_repaired_total', 'Blocks written again after a wrong checksum.', recovery.counters.repaired),
    counter('blocks_unavailable_total', 'Blocks that reads could not have at all.', recovery.counters.unavailable),
    counter('read_backup_stored_bytes_total', 'Stored bytes that reads fetched from the backup.', recovery.counters.backupBytes),
  ];
}

function moverFigures({ journal, destager, destageLoop, drainer, link, state }: ArrayEngine): Figure[] {
  return [
    gauge('epoch', 'Epoch of this process: each start raises it.', state.epoch),
    gauge('journal_segments', 'Segments of the ring.', journal.slots),
    gauge('journal_undestaged_segments', 'Segments that are not in the stripes yet.', journal.headSeq - journal.destagedSeq),
    gauge('journal_undrained_segments', 'Segments that are not on the backup yet.', journal.headSeq - journal.drainedSeq),
    gauge('journal_segments_without_copy', 'Segments in use that are on no journal member.', journal.segmentsWithoutCopy(journal.tailSeq)),
    counter('destage_passes_total', 'Passes of the destager.', destager.stats.passes),
    counter('destaged_blocks_total', 'Blocks applied to the stripes.', destager.stats.blocks),
    counter('destaged_stripes_total', 'Stripes that destaging wrote.', destager.stats.stripes),
    counter('stripe_read_bytes_total', 'Bytes read by destaging.', destager.stats.bytesRead),
    counter('stripe_written_bytes_total', 'Bytes written by destaging.', destager.stats.bytesWritten),
    counter('destage_journaled_blocks_total', 'Blocks of lost members that destaging journaled first.', destager.stats.lostJournaled),
    gauge('destage_blocked', '1 while destaging waits for lost members.', destageLoop.blocked === null ? 0 : 1),
    counter('drained_bytes_total', 'Volume bytes published to the backup.', drainer?.publishedBytes ?? 0),
    counter('drain_stored_bytes_total', 'Bytes stored on the backup by this process.', drainer?.storedBytes ?? 0),
    gauge('backup_connected', '1 while the backup is open.', link?.isOpen === true ? 1 : 0),
  ];
}

/** The areas of the slab that are given out in parts: how much there is, how much is in use, who waits. */
function slabFigures({ parts, journal, readPages, fetchPages }: ArrayEngine): Figure[] {
  const { plan, slab } = parts;
  const segmentBytes = journal.segmentBlocks * BLOCK_BYTES;
  const free = journal.buffers.available(journal.tailSeq, journal.destagedSeq);
  return [
    gauge('slab_bytes', 'The slab: all payload memory.', slab.bytes),
    ...gauges('slab_area_bytes', 'Size of an area of the slab.', 'area', {
      segments: plan.segmentBuffers * segmentBytes,
      reads: plan.reads.bytes,
      fetch: plan.fetch.bytes,
    }),
    ...gauges('slab_area_used_bytes', 'Part of an area of the slab that cannot be had at once.', 'area', {
      segments: (journal.buffers.count - free) * segmentBytes,
      reads: readPages.usedPages * BLOCK_BYTES,
      fetch: fetchPages.usedPages * BLOCK_BYTES,
    }),
    ...gauges('slab_waiters', 'Requests that wait for an area of the slab.', 'area', {
      reads: readPages.waiting,
      fetch: fetchPages.waiting,
    }),
  ];
}
