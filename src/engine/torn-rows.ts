import type { StripeIndex } from '../base/units.js';
import type { Checkpoint } from '../member/member-api.js';
import type { ArrayEngine } from './array-engine.js';
import type { ArrayState } from './array-state.js';

/** The stripe from which on every data member that is lost now was called so before the crash (ArrayState.lostBeforeCrashFrom). checkpoint: the last one before it. */
export function lostBeforeCrashFrom(state: ArrayState, checkpoint: Checkpoint): StripeIndex {
  const lost = state.lostDataMembers();
  // Another crash before this one had torn rows that counted on members which were lost then, and may be called so by now.
  const earlier = lost.length > 0 ? (checkpoint.tornAsWholeBelow ?? 0) : 0;
  return Math.max(earlier, ...lost.map((index) => touchedAsWholeBefore(state, checkpoint, index)));
}

/** The stripe from which on the rows that the crash tore had been touched with this member counted as lost. */
function touchedAsWholeBefore(state: ArrayState, checkpoint: Checkpoint, index: number): StripeIndex {
  const before = checkpoint.members.find((row) => row.index === index);
  if (before?.state === 'failed' || before?.state === 'missing') return 0;
  if (before?.state !== 'rebuilding') return Number.POSITIVE_INFINITY;
  // Below its mark it counted as whole, and is whole still, unless it is gone itself.
  return state.members[index]?.state === 'rebuilding' ? 0 : before.rebuiltStripes;
}

/** Every row that an undestaged entry touches may be half written. */
export function distrustTouchedRows(engine: ArrayEngine): void {
  const { state, journal } = engine;
  const { geometry } = state;
  const { table, index } = journal;
  for (let seq = journal.destagedSeq; seq < journal.headSeq; seq++) {
    const slot = table.slotOf(seq);
    const first = slot * table.segmentBlocks;
    for (let place = first; place < first + (table.used[slot] as number); place++) {
      const block = index.blockAt[place] as number;
      if (block >= 0) state.distrust(block);
    }
    const zeroes = table.zeroes[slot];
    for (let i = 0; zeroes && i < zeroes.first.length; i++) {
      const start = zeroes.first[i] as number;
      const end = start + (zeroes.count[i] as number);
      for (let stripe = geometry.stripeOf(start); stripe <= geometry.stripeOf(end - 1); stripe++) {
        if (!state.isWritten(stripe)) continue;
        const base = stripe * geometry.stripeBlocks;
        // The first shard's blocks stand for all rows of a stripe that is trimmed as a whole.
        const whole = start <= base && end >= base + geometry.stripeBlocks;
        for (let block = Math.max(start, base); block < Math.min(end, base + (whole ? geometry.rows : geometry.stripeBlocks)); block++)
          state.distrust(block);
      }
    }
  }
}
