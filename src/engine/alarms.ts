import type { ArrayEngine } from './array-engine.js';
import type { Alarm } from './array-state.js';
import { lostBlocksOf } from './lost-blocks.js';
import { absentMembers, lostMemberAdvice, lostMembersAdvice } from './lost-member-advice.js';
import { ringAlarms } from './ring-alarms.js';
import type { Tolerance } from './tolerance.js';

/** Every trouble of this moment, with what to do about it: those that a part of the engine raised, and those that follow from how things stand. */
export function alarmsOf(engine: ArrayEngine, tolerance: Tolerance): Alarm[] {
  const { state, link } = engine;
  const alarms = state.alarms.map((alarm) => {
    const lost = /^MEMBER_FAILED_(\d+)$/.exec(alarm.code)?.[1];
    return lost === undefined ? alarm : { ...alarm, action: lostMemberAdvice(engine, Number(lost)) };
  });
  const alarm = (code: string, message: string, action: string): void => void alarms.push({ code, message, action });
  if (link === null) alarm('UNPROTECTED', 'UNPROTECTED: no backup target is configured', protectAdvice(engine));
  else if (link.lastError?.code === 'BACKUP_FENCED')
    alarm(
      'BACKUP_FENCED',
      link.lastError.describe(),
      'the ring keeps everything meanwhile; stop the other process, then start this server again: docs/operations.md, "Another process has taken the backup"',
    );
  else if (!link.isOpen && link.lastError !== null)
    alarm('BACKUP_UNREACHABLE', link.lastError.describe(), 'the ring keeps everything meanwhile; check the backup host');
  else if (link.state !== null && link.state.weakness !== '')
    alarm(
      'BACKUP_WEAK',
      `the backup server is weaker than it should be: ${link.state.weakness}`,
      'use a server with fsync and atomic rename (OpenSSH)',
    );
  if (tolerance.devices === 0 && engine.isDegraded())
    alarm('TOLERANCE_ZERO', 'the next device that fails may lose data', lostMembersAdvice(engine));
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
      `${lostBlocksOf(lost.ranges)}${lost.more ? ' or more' : ''} blocks were lost beyond parity, journal and backup: reading them is an error`,
      'write them again: until then reading them is an error; keelson status --json lists them under lost',
    );
  return alarms;
}

/** A backup has to have everything from the start: an array that holds data cannot be given one. */
export function protectAdvice({ journal, parts }: ArrayEngine): string {
  const { file } = parts.settings;
  if (journal.nextLsn === 1) return `set backup.url in ${file} and start the server again`;
  return 'an array that holds data cannot be given a backup: make another array with [backup] in its configuration (keelson create) and copy the volume to it';
}
