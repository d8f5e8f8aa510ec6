import { styleText } from 'node:util';
import type { ArrayStatus, LostStatus } from '../control/status.js';
import { bytesText, secondsText } from './quantity-text.js';
import { textTable } from './text-table.js';

/** More ranges than this are for programs. */
const LOST_SHOWN_MAX = 20;

/** What an administrator reads first stands first: state, what may still be lost, troubles with what to do; then the figures. */
export function statusText(status: ArrayStatus, colour: boolean): string {
  const state = status.state.toUpperCase();
  const parts = [
    `${status.name}  ${paint(state, status.state === 'online' ? 'green' : status.state === 'failed' ? 'red' : 'yellow', colour)}  ${protection(status, colour)}\n`,
    `  volume ${bytesText(status.volume.bytes)}, uuid ${status.uuid}\n`,
    `  ${tolerance(status)}\n`,
  ];
  for (const alarm of status.alarms)
    parts.push(`  ${paint('!', 'red', colour)} ${alarm.message} (${alarm.code})\n    do: ${alarm.action}\n`);
  parts.push('\nmembers\n', memberTable(status, colour), '\njournal\n', journalText(status), '\nbackup\n', drainText(status));
  if (status.rebuild !== null) {
    const { rebuild } = status;
    const left = rebuild.secondsLeft === null ? '' : `, ${secondsText(rebuild.secondsLeft)} left`;
    parts.push(
      `\nrebuild\n  ${bytesText(rebuild.doneBytes)} of ${bytesText(rebuild.totalBytes)} (${percent(rebuild.doneBytes, rebuild.totalBytes)})${left}\n`,
      `  from survivors ${bytesText(rebuild.fromSurvivors)}, parity ${bytesText(rebuild.fromParity)}, journal ${bytesText(rebuild.fromJournal)}, backup ${bytesText(rebuild.fromBackup)}\n`,
    );
  }
  if (status.lost !== undefined && status.lost.ranges.length > 0) parts.push('\nlost for good\n', lostText(status.lost));
  if (status.scrub !== null) {
    const { scrub } = status;
    parts.push(
      `\nscrub\n  ${scrub.state}, ${percent(scrub.doneBytes, scrub.totalBytes)}, ${scrub.errorsFound} errors found, ${scrub.errorsRepaired} repaired\n`,
    );
  }
  return parts.join('');
}

function protection(status: ArrayStatus, colour: boolean): string {
  if (status.protection === 'full') return 'protected';
  return paint(status.protection.toUpperCase(), 'yellow', colour);
}

function tolerance({ tolerance: { devices, because } }: ArrayStatus): string {
  const losses = devices === 0 ? 'survives no further device loss' : `survives ${devices} more device ${devices === 1 ? 'loss' : 'losses'}`;
  return `${losses}: ${because}`;
}

function memberTable(status: ArrayStatus, colour: boolean): string {
  const rows = status.members.map((member) => [
    String(member.index),
    member.role,
    member.state,
    String(member.readErrors),
    String(member.writeErrors),
    String(member.checksumErrors),
    devicePlace(member),
  ]);
  const table = textTable(['#', 'role', 'state', 'read err', 'write err', 'checksum err', 'device'], rows);
  if (!colour) return table;
  // Painted last: escape signs would count as width.
  return table
    .replace(/ (failed|missing)(?= )/g, (word) => paint(word, 'red', true))
    .replace(/ rebuilding(?= )/g, (word) => paint(word, 'yellow', true));
}

/** Of a member that is not there the path says little: the UUID is what its device bears, wherever it turns up. */
function devicePlace({ path, state, uuid }: ArrayStatus['members'][number]): string {
  return (state === 'missing' || state === 'failed') && uuid !== undefined ? `${path} (UUID ${uuid})` : path;
}

function journalText({ journal }: ArrayStatus): string {
  const copies = `${journal.copies} ${journal.copies === 1 ? 'copy' : 'copies'}`;
  return `  ${copies}, ${bytesText(journal.usedBytes)} of ${bytesText(journal.bytes)} used (${Math.round(journal.fillRatio * 100)} %)\n  newest LSN ${journal.headLsn}, in the stripes up to ${journal.destagedLsn}\n`;
}

function drainText({ drain }: ArrayStatus): string {
  if (drain.target === null) return '  none: losing this host loses the volume\n';
  const waiting =
    drain.undrainedBytes === 0
      ? 'everything is on the backup'
      : `${bytesText(drain.undrainedBytes)} not yet on the backup, the oldest for ${secondsText(drain.oldestUndrainedSeconds)}`;
  return `  ${drain.target}: ${drain.state}, up to LSN ${drain.drainedLsn}\n  ${waiting}\n${drain.lastError === null ? '' : `  last error: ${drain.lastError}\n`}`;
}

function lostText({ ranges, bytes, more }: LostStatus): string {
  const rows = ranges.slice(0, LOST_SHOWN_MAX).map(({ offset, length }) => [String(offset), bytesText(length)]);
  const rest = ranges.length > LOST_SHOWN_MAX || more ? `  and more (--json lists ${ranges.length} ranges)\n` : '';
  return `${textTable(['offset', 'length'], rows)}${rest}  ${bytesText(bytes)} in all: errors until they are written again\n`;
}

function percent(done: number, total: number): string {
  return total === 0 ? '100 %' : `${Math.floor((done / total) * 100)} %`;
}

function paint(text: string, shade: 'red' | 'yellow' | 'green', colour: boolean): string {
  // https://no-color.org
  return colour && !process.env.NO_COLOR ? styleText(shade, text) : text;
}
