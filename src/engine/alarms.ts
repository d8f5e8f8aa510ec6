import type { KeelsonError } from '../base/errors.js';
import type { ArrayEngine } from './array-engine.js';
import type { Alarm } from './array-state.js';
import { lostBlocksOf } from './lost-blocks.js';
import { backupCover, computeTolerance } from './tolerance.js';

/** Every trouble of this moment, with what to do about it: those that a part of the engine raised, and those that follow from how things stand. */
export function alarmsOf(engine: ArrayEngine): Alarm[] {
  const { state, journal } = engine;
  const tolerance = computeTolerance(state, journal, backupCover(engine));
  const alarms = [...state.alarms];
  const alarm = (code: string, message: string, action: string): void => void alarms.push({ code, message, action });
  const ofBackup = backupAlarm(engine);
  if (ofBackup !== null) alarms.push(ofBackup);
  if (tolerance.devices === 0 && engine.isDegraded())
    alarm('TOLERANCE_ZERO', 'the next device that fails may lose data', 'replace the failed members now');
  if (journal.deadReason !== null)
    alarm('JOURNAL_GONE', 'no journal member is left: writes are refused', 'keelson replace a journal member');
  const uncopied = state.protection === 'full' ? journal.segmentsWithoutCopy(journal.tailSeq) : 0;
  if (uncopied > 0)
    alarm(
      'RING_WITHOUT_COPY',
      `${uncopied} ring segments that the backup does not have are on no journal member any more: what is in them is safe in the stripes and in this process, which must not end before they have copies again, or are drained`,
      journal.deadReason !== null
        ? 'keelson replace a journal member; do not stop the server before'
        : 'they are made again from the stripes; wait until this is gone, or keelson drain --wait, before you stop the server',
    );
  if (engine.destageLoop.blocked !== null && journal.destagedSeq < journal.headSeq)
    alarm('DESTAGE_BLOCKED', engine.destageLoop.blocked.describe(), 'replace the lost members; until then the ring keeps the writes');
  const { waitsFor } = engine.rebuild;
  if (waitsFor > 0)
    alarm(
      'REBUILD_WAITS',
      `the rebuild begins when ${waitsFor} more of the lost stripe members ${waitsFor === 1 ? 'has a device' : 'have devices'}: what it fetches now would be fetched again`,
      'keelson replace the other lost members, or begin now with keelson rebuild',
    );
  const lost = state.lost.list;
  if (lost.ranges.length > 0 || lost.more)
    alarm(
      'BLOCKS_LOST',
      `${lostBlocksOf(lost.ranges)}${lost.more ? ' or more' : ''} blocks were lost beyond parity, journal and backup: reading them is an error`,
      'write them again, or restore the array from its backup; status --json lists them under lost',
    );
  return alarms;
}

/** What is wrong with the backup, the worst alone. Nothing while the first answer is awaited: that is no trouble yet, and status says that it is awaited. */
function backupAlarm({ link }: ArrayEngine): Alarm | null {
  if (link === null) return { code: 'UNPROTECTED', message: 'UNPROTECTED: no backup target is configured', action: 'set backup.url' };
  if (link.lastError?.code === 'BACKUP_FENCED')
    return {
      code: 'BACKUP_FENCED',
      message: link.lastError.describe(),
      action:
        'the ring keeps everything meanwhile; stop the other process, then start this server again: docs/operations.md, "Another process has taken the backup"',
    };
  if (link.reach === 'unreachable')
    return {
      code: 'BACKUP_UNREACHABLE',
      message: (link.lastError as KeelsonError).describe(),
      action: 'the ring keeps everything meanwhile; check the backup host',
    };
  if (link.state !== null && link.state.weakness !== '')
    return {
      code: 'BACKUP_WEAK',
      message: `the backup server is weaker than it should be: ${link.state.weakness}`,
      action: 'use a server with fsync and atomic rename (OpenSSH)',
    };
  return null;
}
