import { EXIT, KeelsonError } from '../base/errors.js';
import type { Bytes, Lsn } from '../base/units.js';
import { eachLostBlock, restoreImage } from '../rebuild/restore.js';
import { COUNTERS_MAX, EPOCHS_MAX } from '../member/layout.js';
import { isUuid } from '../member/uuid.js';
import type { Backup, BackupOpen, BackupState } from '../repository/backup.js';
import { slabRegion } from '../memory/slab-region.js';
import { Slab } from '../memory/slab.js';
import { type AssembleOptions, assembleArray } from './assemble.js';
import { makeArray, RESTORE_EPOCHS, takeAllBack } from './create.js';

export interface RestoreArrayOptions extends Omit<AssembleOptions, 'restoring'> {
  readonly force: boolean;
  readonly backup: (slab: Slab) => Backup;
  readonly onProgress: (doneBytes: Bytes, totalBytes: Bytes) => void;
  /** At the end the repository is asked whether it has a newer image by then. */
  readonly lookAgain?: boolean;
  /** Aborted: nothing more is begun, and what was made is taken back. */
  readonly signal?: AbortSignal;
}

export interface RestoredArray {
  readonly lsn: Lsn;
  readonly volumeBytes: Bytes;
  readonly restoredBytes: Bytes;
  /** Blocks that the image itself calls lost: errors, as they were in the array it is of. */
  readonly lostBlocks: number;
  /** When the image was published, by the clock of the host that did, milliseconds. */
  readonly time: number;
  /** LSN of the newest image that the repository had when the restore had ended: beyond lsn when somebody published meanwhile. null: it was not asked, or did not say. */
  readonly newestLsn: Lsn | null;
}

/** A repository is opened over a small slab first, to learn what array it holds. */
const PROBE_SLAB_BYTES = 8 * 1024 * 1024;

/**
 * Everything but the backup is gone: makes the members anew with the array's identity, fills the stripes with the newest image, and leaves a clean array whose log goes on
 * after the image's LSN. What was made for it is taken back when it fails. Throws as createArray and Backup.open do.
 */
export async function restoreArray(options: RestoreArrayOptions): Promise<RestoredArray> {
  const probe = options.backup(Slab.allocate(PROBE_SLAB_BYTES));
  const found = await probe.open({ arrayUuid: '', epoch: 0, volumeBytes: 0, create: false, readOnly: true }).finally(() => probe.close());
  if (found.headLsn === 0) {
    throw new KeelsonError('BACKUP_EMPTY', 'the repository holds no image yet', {
      found: probe.target,
      action: 'name an empty directory in backup.url to create a new array: keelson create',
      exit: EXIT.unavailable,
    });
  }
  refuseImpossible(probe.target, found);
  const { devices } = await makeArray({
    ...options,
    identity: { uuid: found.arrayUuid, epoch: found.epoch, lsn: found.headLsn, volumeBytes: found.volumeBytes },
  });
  try {
    return await fill(options, found);
  } catch (error) {
    // It would begin anew anyway: nothing of it stays that the next one would have to overwrite.
    await takeAllBack(devices, options.provider);
    throw error;
  }
}

/** Writes the newest image into the stripes of the array that was made for it. */
async function fill(options: RestoreArrayOptions, found: BackupState): Promise<RestoredArray> {
  const engine = await assembleArray({ ...options, restoring: true });
  const backup = options.backup(engine.parts.slab);
  try {
    const { arrayUuid, epoch, volumeBytes } = found;
    const reading = { arrayUuid, epoch, volumeBytes, create: false, readOnly: true };
    // The members were made for this one: a newer one that was published since is not it.
    const again = await backup.open({ ...reading, at: found.headLsn });
    if (again.volumeBytes !== found.volumeBytes || again.headLsn !== found.headLsn)
      throw impossible(backup.target, 'another image than a moment ago');
    const { state, parts } = engine;
    const restoredBytes = await restoreImage(
      {
        geometry: state.geometry,
        pool: parts.pool,
        members: () => state.memberView(),
        changed: (stripe) => state.markChanged(stripe),
        account: (outcome) => engine.account(outcome),
      },
      backup,
      // Nothing is journaled meanwhile: the segments' memory is free.
      slabRegion(parts.slab, parts.plan.segmentBuffersAt, parts.plan.segmentBuffers * state.shape.segmentBytes),
      (done, total) => {
        options.signal?.throwIfAborted();
        options.onProgress(done, total);
      },
    );
    let lostBlocks = 0;
    await eachLostBlock(backup, state.geometry.volumeBlocks, (block) => {
      state.lose(block);
      lostBlocks++;
    });
    await engine.checkpointer.settle();
    const newestLsn = options.lookAgain === true ? await newestNow(backup, reading) : null;
    state.protection = 'full';
    await engine.checkpointer.settle();
    return { lsn: found.headLsn, time: found.headTime, newestLsn, volumeBytes, restoredBytes, lostBlocks };
  } finally {
    await backup.close();
    await engine.stop();
  }
}

/** The whole image is here: that the host does not answer any more is no reason to take it back. */
async function newestNow(backup: Backup, reading: BackupOpen): Promise<Lsn | null> {
  return backup.open(reading).then(
    ({ headLsn }) => headLsn,
    () => null,
  );
}

/** What the members get from the repository is held against what they can say. */
function refuseImpossible(target: string, found: BackupState): void {
  if (!isUuid(found.arrayUuid)) throw impossible(target, `array ${JSON.stringify(found.arrayUuid)}`);
  // One is added at each assembly.
  if (found.epoch + RESTORE_EPOCHS + 1 >= EPOCHS_MAX || found.headLsn >= COUNTERS_MAX)
    throw impossible(target, `epoch ${found.epoch}, LSN ${found.headLsn}`);
}

function impossible(target: string, found: string): KeelsonError {
  return new KeelsonError('BACKUP_CORRUPT', `the HEAD of the repository at ${target} cannot be that of an array`, {
    found,
    expected: 'the identity of an array that Keelson made',
    action: 'check the disks of the backup host',
  });
}
