import type { KeelsonError } from '../base/errors.js';
import type { ArrayEngine } from './array-engine.js';
import type { Alarm } from './array-state.js';
import { lostBlocksOf } from './lost-blocks.js';
import { absentMembers, lostMemberAdvice, lostMembersAdvice } from './lost-member-advice.js';
import { ringAlarms } from './ring-alarms.js';
import { computeTolerance } from './tolerance.js';

/** Every trouble of this moment, with what to do about it: those that a part of the engine raised, and those that follow from how things stand. */
export function alarmsOf(engine: ArrayEngine): Alarm[] {
  const { state } = engine;
  const tolerance = computeTolerance(engine);
  const alarms = state.alarms.map((raised) => {
    const lost = /^MEMBER_FAILED_(\d+)$/.exec(raised.code)?.[1];
    return lost === undefined ? raised : { ...raised, action: lostMemberAdvice(engine, Number(lost)) };
  });
  const alarm = (code: string, message: string, action: string): void => void alarms.push({ code, message, action });
  const ofBackup = backupAlarm(engine);
  if (ofBackup !== null) alarms.push(ofBackup);
  const doubts = memberDoubts(engine);
  alarms.push(...doubts);
  if (tolerance.devices === 0 && (engine.isDegraded() || doubts.length > 0))
    alarm(
      'TOLERANCE_ZERO',
      'the next device that fails may lose data',
      [...(engine.isDegraded() ? [lostMembersAdvice(engine)] : []), ...doubts.map(({ action }) => action)].join('; '),
    );
  alarms.push(...ringAlarms(engine));
  const { waitsFor } = engine.rebuild;
  if (waitsFor > 0)
    alarm(
      'REBUILD_WAITS',
      `the rebuild begins when ${waitsFor} more of the lost stripe members ${waitsFor === 1 ? 'has a device' : 'have devices'}: what it fetches now would be fetched again`,
      `${absentMembers(engine)
        .map((index) => `keelson replace ${index} NEW-DEVICE`)
        .join(' or ')}; or begin with what is there: keelson rebuild`,
    );
  const lost = state.lost.list;
  if (lost.ranges.length > 0 || lost.more)
    alarm(
      'BLOCKS_LOST',
      `${blocksText(lostBlocksOf(lost.ranges), lost.more)} lost beyond parity, journal and backup: reading them is an error`,
      'write them again: until then reading them is an error; keelson status --json lists them under lost',
    );
  return alarms;
}

/** A backup has to have everything from the start: an array that holds data cannot be given one. */
export function protectAdvice({ journal, parts }: ArrayEngine): string {
  const { file } = parts.settings;
  if (journal.nextLsn === 1) return `set backup.url in ${file} and start the server again, before anything is written`;
  return 'an array that holds data cannot be given a backup: make another array with [backup] in its configuration (keelson create) and copy the volume to it';
}

/** What is wrong with the backup, the worst alone. Nothing while the first answer is awaited: that is no trouble yet, and status says that it is awaited. */
function backupAlarm(engine: ArrayEngine): Alarm | null {
  const { link } = engine;
  if (link === null) return { code: 'UNPROTECTED', message: 'no backup target is configured', action: protectAdvice(engine) };
  if (link.lastError?.code === 'BACKUP_FENCED')
    return {
      code: 'BACKUP_FENCED',
      message: link.lastError.trouble(),
      action:
        'the ring keeps everything meanwhile; stop the other process, then start this server again, as often as this is shown: docs/operations.md, "Another process has taken the backup"',
    };
  if (link.reach === 'unreachable')
    return {
      code: 'BACKUP_UNREACHABLE',
      message: (link.lastError as KeelsonError).trouble(),
      action: `${link.lastError?.action ?? 'check the backup host'}; the ring keeps everything meanwhile`,
    };
  if (link.state !== null && link.state.weakness !== '')
    return {
      code: 'BACKUP_WEAK',
      message: `the backup server is weaker than it should be: ${link.state.weakness}`,
      action: 'use a server with fsync and atomic rename (OpenSSH)',
    };
  return null;
}

/** Members that are in use and not counted on. What of them is wrong is found by reading alone, and what ends it is another device. */
function memberDoubts({ state, errors, parts }: ArrayEngine): Alarm[] {
  return state.present().flatMap((member): Alarm[] => {
    const why = errors.whyDoubted(member);
    if (why === null) return [];
    const { index } = member;
    const stays = errors.stays(member) ? '. It would be failed, but the array could not stand the loss of another device without it' : '';
    return [
      {
        code: `MEMBER_ERRORS_${index}`,
        message: `member ${index} (${state.paths[index]}) gives wrong data and is not counted on: ${why}${stays}`,
        action: `keelson replace ${index} NEW-DEVICE; then write NEW-DEVICE at its place in ${parts.settings.file}`,
      },
    ];
  });
}

function blocksText(count: number, more: boolean): string {
  if (more) return `${count} or more blocks were`;
  return count === 1 ? '1 block was' : `${count} blocks were`;
}
