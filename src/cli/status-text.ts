import { styleText } from 'node:util';
import type { Alarm, ArrayState, ArrayStatus, DrainStatus, LostStatus, RebuildStatus } from '../control/status.js';
import { hintText } from './hint-text.js';
import { bytesText, counted, secondsText } from '../base/quantity-text.js';
import { textTable } from './text-table.js';
import { wrapText } from './text-wrap.js';

/** More ranges than this are for programs. */
const LOST_SHOWN_MAX = 20;

/** Colour of the words, and width of the terminal (infinite: no line is broken). */
export interface Look {
  readonly colour: boolean;
  readonly columns: number;
}

/** What an administrator reads first stands first: state, what may still be lost, troubles with what to do; then the figures. */
export function statusText(status: ArrayStatus, look: Look): string {
  const line = (text: string): string => wrapText(text, look.columns, '  ', '    ');
  const parts = [
    headline(status, look),
    line(`volume ${bytesText(status.volume.bytes)}, uuid ${status.uuid}`),
    // What a failed array would survive is no comfort.
    ...(status.state === 'failed' ? [] : [line(tolerance(status))]),
    ...status.alarms.map((alarm) => alarmText(alarm, look)),
    ...(status.hints ?? []).map((hint) => hintText(hint, look.columns)),
    '\nmembers\n',
    memberTable(status, look),
    '\njournal\n',
    journalText(status).map(line).join(''),
    '\nbackup\n',
    drainText(status).map(line).join(''),
  ];
  if (status.rebuild !== null) parts.push('\nrebuild\n', ...rebuildLines(status.rebuild).map(line));
  if (status.lost !== undefined && status.lost.ranges.length > 0) parts.push('\nlost for good\n', lostText(status.lost));
  if (status.scrub !== null) {
    const { state, doneBytes, totalBytes, errorsFound, errorsRepaired } = status.scrub;
    parts.push(
      '\nscrub\n',
      line(`${state}, ${percent(doneBytes, totalBytes)}, ${counted(errorsFound, 'error')} found, ${errorsRepaired} repaired`),
    );
  }
  return parts.join('');
}

const STATE_WORDS = {
  online: ['ONLINE', 'green'],
  degraded: ['DEGRADED, still serving', 'yellow'],
  'beyond-parity': ['BEYOND-PARITY, still serving', 'yellow'],
  failed: ['FAILED, data are unavailable', 'red'],
} as const satisfies Record<ArrayState, readonly [string, Shade]>;

/** State and protection are said apart: one of them never seems to qualify the other. */
function headline(status: ArrayStatus, { colour, columns }: Look): string {
  const [state, shade] = STATE_WORDS[status.state];
  const backup = backupWords(status);
  const plain = wrapText(`${state}; ${backup}`, columns, `${status.name}  `, '  ');
  return plain
    .replace(/[A-Z-]{2,}(?=[,;])/, (word) => paint(word, shade, colour))
    .replace(/UNPROTECTED|SEEDING|BACKUP UNREACHABLE|BACKUP NOT REACHED YET/, (word) => paint(word, 'yellow', colour));
}

function backupWords({ protection, drain }: ArrayStatus): string {
  if (protection === 'unprotected') return 'UNPROTECTED: no backup';
  if (protection === 'seeding') return 'SEEDING: the backup is not complete yet';
  const missing = bytesText(drain.undrainedBytes);
  // Of a host that was not heard of in this run, or not any more, nobody knows what it has.
  if (drain.state === 'connecting') return 'BACKUP NOT REACHED YET';
  if (drain.state === 'unreachable') return `BACKUP UNREACHABLE, ${drain.undrainedBytes === 0 ? 'nothing' : missing} waits to be drained`;
  return drain.undrainedBytes === 0 ? 'backed up' : `backed up but for ${missing}`;
}

function alarmText({ code, message, action }: Alarm, { colour, columns }: Look): string {
  const text = `${wrapText(`${message} (${code})`, columns, '  ! ', '    ')}${wrapText(`do: ${action}`, columns, '    ', '        ')}`;
  return colour ? text.replace('!', () => paint('!', 'red', true)) : text;
}

function tolerance({ tolerance: { devices, because } }: ArrayStatus): string {
  const losses =
    devices === 0 ? 'survives no further device loss' : `survives ${counted(devices, 'more device loss', 'more device losses')}`;
  return `${losses}: ${because}`;
}

function memberTable(status: ArrayStatus, { colour, columns }: Look): string {
  const rows = status.members.map((member) => [
    String(member.index),
    member.role,
    member.state,
    String(member.readErrors),
    String(member.writeErrors),
    String(member.checksumErrors),
    devicePlace(member),
  ]);
  const wide = textTable(['#', 'role', 'state', 'read err', 'write err', 'checksum err', 'device'], rows);
  const table = wide.split('\n').every((line) => line.length <= columns) ? wide : memberList(status.members);
  if (!colour) return table;
  // Painted last: escape signs would count as width.
  return table
    .replace(/ (failed|missing)(?=\s)/g, (word) => paint(word, 'red', true))
    .replace(/ rebuilding(?=\s)/g, (word) => paint(word, 'yellow', true));
}

/** Of a member that is not there the path says little: the UUID is what its device bears, wherever it turns up. */
function devicePlace({ path, state, uuid }: ArrayStatus['members'][number]): string {
  return (state === 'missing' || state === 'failed') && uuid !== undefined ? `${path} (UUID ${uuid})` : path;
}

/** Where the table is too wide: errors only of members that have any. */
function memberList(members: ArrayStatus['members']): string {
  return members
    .map((member) => {
      const { index, role, state, readErrors, writeErrors, checksumErrors } = member;
      const errors = [counted(readErrors, 'read error'), counted(writeErrors, 'write error'), counted(checksumErrors, 'checksum error')];
      const some = readErrors + writeErrors + checksumErrors > 0;
      return `  ${index}  ${role}  ${state}\n     ${devicePlace(member).replace(' (UUID', '\n     (UUID')}\n${some ? errors.map((text) => `     ${text}\n`).join('') : ''}`;
    })
    .join('');
}

function rebuildLines(rebuild: RebuildStatus): string[] {
  const left = rebuild.secondsLeft === null ? '' : `, ${secondsText(rebuild.secondsLeft)} left`;
  return [
    `${bytesText(rebuild.doneBytes)} of ${bytesText(rebuild.totalBytes)} (${percent(rebuild.doneBytes, rebuild.totalBytes)})${left}`,
    `from survivors ${bytesText(rebuild.fromSurvivors)}, parity ${bytesText(rebuild.fromParity)}, journal ${bytesText(rebuild.fromJournal)}, backup ${bytesText(rebuild.fromBackup)}`,
  ];
}

function journalText({ journal }: ArrayStatus): string[] {
  const copies = counted(journal.copies, 'copy', 'copies');
  return [
    `${copies}, ${bytesText(journal.usedBytes)} of ${bytesText(journal.bytes)} used (${Math.round(journal.fillRatio * 100)} %)`,
    `newest LSN ${journal.headLsn}, in the stripes up to ${journal.destagedLsn}`,
  ];
}

function drainText({ drain, alarms }: ArrayStatus): string[] {
  if (drain.target === null) return ['none: losing this host loses the volume'];
  const state = drain.state === 'connecting' ? 'not reached yet since the server started' : drain.state;
  return [
    `${drain.target}: ${state}, up to LSN ${drain.drainedLsn}`,
    drain.undrainedBytes === 0 ? drainedText(drain) : undrainedText(drain),
    // An alarm of the backup has said it.
    ...(drain.lastError === null || alarms.some(({ code }) => code.startsWith('BACKUP_')) ? [] : [`last error: ${drain.lastError}`]),
  ];
}

function undrainedText({ undrainedBytes, oldestUndrainedSeconds }: DrainStatus): string {
  return `${bytesText(undrainedBytes)} not yet on the backup, the oldest for ${secondsText(oldestUndrainedSeconds)}`;
}

/** What may be said when nothing waits to be drained. */
function drainedText({ state, drainedLsn, answeredSecondsAgo }: DrainStatus): string {
  if (state !== 'connecting' && state !== 'unreachable') return 'everything is on the backup';
  if (drainedLsn === 0) return 'nothing was written yet that it would have to hold';
  return typeof answeredSecondsAgo === 'number'
    ? `nothing waits to be drained; the backup answered last ${secondsText(answeredSecondsAgo)} ago`
    : 'nothing waits to be drained, by the record of the array; the backup has not confirmed it since the server started';
}

function lostText({ ranges, bytes, more }: LostStatus): string {
  const rows = ranges.slice(0, LOST_SHOWN_MAX).map(({ offset, length }) => [String(offset), bytesText(length)]);
  const rest = ranges.length > LOST_SHOWN_MAX || more ? `  and more (--json lists ${counted(ranges.length, 'range')})\n` : '';
  return `${textTable(['offset', 'length'], rows)}${rest}  ${bytesText(bytes)} in all: errors until they are written again\n`;
}

function percent(done: number, total: number): string {
  return total === 0 ? '100 %' : `${Math.floor((done / total) * 100)} %`;
}

type Shade = 'red' | 'yellow' | 'green';

function paint(text: string, shade: Shade, colour: boolean): string {
  // https://no-color.org
  return colour && !process.env.NO_COLOR ? styleText(shade, text) : text;
}
