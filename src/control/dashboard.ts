import { createHash } from 'node:crypto';
import type { ArrayStatus } from './status.js';

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em .3em 0;border-bottom:1px solid #d8dee4}
.alarm{border-left:4px solid #b42318;padding:.3em .8em;margin:.5em 0;background:#fdf1f0}.state{font-weight:600}
@media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#15181c}td,th{border-color:#363c43}.alarm{background:#3a1d1a}}`;

/** The page has its own style and nothing else: no script, no picture, no frame around it, no form, no other origin. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A page without scripts that renews itself: what `status` says, for a browser. */
export function dashboardPage(status: ArrayStatus): string {
  const rows = status.members
    .map(
      (member) =>
        `<tr><td>${member.index}<td>${escaped(member.path)}<td>${member.role}<td class="state">${member.state}<td>${member.readErrors}<td>${member.writeErrors}<td>${member.checksumErrors}`,
    )
    .join('\n');
  const alarms = status.alarms.map((alarm) => `<div class="alarm">${escaped(alarm.message)}<br>${escaped(alarm.action)}</div>`).join('\n');
  const { journal, drain, rebuild } = status;
  const facts: [string, string][] = [
    ['State', `${status.state}, ${status.protection === 'full' ? 'protected' : status.protection.toUpperCase()}`],
    ['Tolerance', `${status.tolerance.devices} more devices: ${status.tolerance.because}`],
    ['Volume', mebibytes(status.volume.bytes)],
    [
      'Journal',
      `${journal.copies} copies, ${mebibytes(journal.usedBytes)} of ${mebibytes(journal.bytes)} (${Math.round(journal.fillRatio * 100)} %)`,
    ],
    ['Not yet on the backup', `${mebibytes(drain.undrainedBytes)}, the oldest for ${Math.round(drain.oldestUndrainedSeconds)} s`],
    ['Backup', drain.target === null ? 'none' : `${drain.target}, ${drain.state}${drain.lastError === null ? '' : `: ${drain.lastError}`}`],
  ];
  if (rebuild !== null) facts.push(['Rebuild', `${mebibytes(rebuild.doneBytes)} of ${mebibytes(rebuild.totalBytes)}`]);
  const list = facts.map(([name, value]) => `<tr><th>${name}<td>${escaped(value)}`).join('\n');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5"><meta name="viewport" content="width=device-width">
<title>${escaped(status.name)}: ${status.state}</title><style>${STYLE}</style>
<h1>${escaped(status.name)}</h1>
${alarms}
<table>${list}</table>
<h2>Members</h2>
<table><tr><th>Index<th>Device<th>Role<th>State<th>Read errors<th>Write errors<th>Checksum errors
${rows}</table>
<p><a href="/status">status as JSON</a> · <a href="/metrics">metrics</a></p></html>
`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
