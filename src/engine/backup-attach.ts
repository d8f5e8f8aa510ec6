import { KeelsonError } from '../base/errors.js';
import type { BackupState } from '../repository/backup.js';
import type { Backup } from '../repository/backup.js';
import type { ArrayEngine } from './array-engine.js';
import { BackupLink } from './backup-link.js';

/** Connects the array and its repository: who may write, and from where draining goes on. */
export function attachBackup(engine: ArrayEngine, backup: Backup): void {
  const { state, parts } = engine;
  const writer = 1 + parts.random.u32();
  const link = new BackupLink(
    backup,
    parts.clock,
    () => ({
      arrayUuid: state.shape.arrayUuid,
      // The one that every member knows: a later one, whose raise a crash cuts short, would be the next process's as well.
      epoch: engine.journal.epoch,
      writer,
      volumeBytes: engine.volumeBytes,
      // Not in place of one that is away (an unmounted file system): a new one gets what the ring has, and that is no longer everything.
      create: state.protection !== 'full' || engine.journal.tailSeq === 1,
      drainedLsn: drainedLsn(engine),
    }),
    (found) => accept(engine, found),
  );
  engine.attach(link);
}

/**
 * Holds the repository's head against the drained cursor. Equal: go on. Ahead, at a segment boundary of the ring: the publish was durable, the cursor was not yet:
 * it is moved. Behind, with everything since still in the ring: drained again from there. Anything else cannot be joined: BACKUP_AHEAD, or the array needs seeding.
 */
async function accept(engine: ArrayEngine, found: BackupState): Promise<void> {
  const { journal, state, checkpointer } = engine;
  const { table } = journal;
  const cursorLsn = drainedLsn(engine);
  // Nothing was ever written: a backup that is added now has everything from the start.
  if (state.protection === 'unprotected' && journal.nextLsn === 1 && found.headLsn === 0) {
    state.protection = 'full';
    await checkpointer.settle();
  }
  if (state.protection !== 'full') {
    state.raise(
      'NEEDS_SEEDING',
      'the backup does not hold what was written before it was attached',
      'make another array with this [backup] (keelson create) and copy the volume to it; take [backup] out of the configuration of this one',
    );
    throw new KeelsonError('BACKUP_NEEDS_SEEDING', 'the repository does not hold the whole volume', {
      found: `head LSN ${found.headLsn}`,
      expected: `LSN ${cursorLsn}`,
    });
  }
  // An LSN says nothing then: a copy of the array counts on from the same ones.
  if (state.publishEpoch > 0 && found.segmentEpoch > state.publishEpoch)
    throw mismatch(
      engine,
      `a segment up to LSN ${found.headLsn}, published under epoch ${found.segmentEpoch}`,
      `none from under a later epoch than ${state.publishEpoch}, the last that this array published under`,
      'put the files of the repository back as they were before another process (a copy of the array?) wrote there, then start the server again',
    );
  if (found.headLsn === cursorLsn) return;
  for (let seq = journal.tailSeq; seq < journal.headSeq; seq++) {
    const slot = table.slotOf(seq);
    if (table.lastLsn[slot] !== found.headLsn) continue;
    if (seq + 1 > journal.drainedSeq) await checkpointer.advance({ drainedSeq: seq + 1 });
    else await checkpointer.rewindDrained(seq + 1);
    return;
  }
  const tailSlot = table.slotOf(journal.tailSeq);
  const tailLsn = table.seq[tailSlot] === journal.tailSeq ? (table.firstLsn[tailSlot] as number) - 1 : cursorLsn;
  if (found.headLsn === tailLsn) {
    await checkpointer.rewindDrained(journal.tailSeq);
    return;
  }
  throw mismatch(
    engine,
    `repository head LSN ${found.headLsn}`,
    `LSN ${cursorLsn}, up to which the array is drained, or one that the ring can continue from`,
    'put the newer files of the repository back, then start the server again',
  );
}

function mismatch({ state }: ArrayEngine, found: string, expected: string, action: string): KeelsonError {
  state.raise('BACKUP_MISMATCH', `the repository and the array do not fit together: found ${found}; expected ${expected}`, action);
  return new KeelsonError('BACKUP_AHEAD', 'the repository and the array do not fit together', { found, expected, action });
}

/** Highest LSN that is drained by the cursor. */
export function drainedLsn(engine: ArrayEngine): number {
  const { journal } = engine;
  const { table } = journal;
  const next = table.slotOf(journal.drainedSeq);
  if (table.seq[next] === journal.drainedSeq) return (table.firstLsn[next] as number) - 1;
  const last = table.slotOf(journal.drainedSeq - 1);
  if (journal.drainedSeq > 1 && table.seq[last] === journal.drainedSeq - 1) return table.lastLsn[last] as number;
  return journal.nextLsn - 1;
}

/** Highest LSN that is in the stripes. */
export function destagedLsn(engine: ArrayEngine): number {
  const { journal } = engine;
  const slot = journal.table.slotOf(journal.destagedSeq);
  return journal.table.seq[slot] === journal.destagedSeq ? (journal.table.firstLsn[slot] as number) - 1 : journal.nextLsn - 1;
}
