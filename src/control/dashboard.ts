import { createHash } from 'node:crypto';
import { bytesText, counted, secondsText } from '../base/quantity-text.js';
import type { Alarm, ArrayState, ArrayStatus, MemberStatus } from './status.js';

type Shade = 'good' | 'warn' | 'bad' | 'plain';

/** A shade is never alone: the sign and the words say the same. */
const SIGN: Readonly<Record<Shade, string>> = { good: '✓', warn: '!', bad: '✕', plain: '–' };

const ARRAY: Readonly<Record<ArrayState, readonly [Shade, string]>> = {
  online: ['good', 'online'],
  degraded: ['warn', 'degraded, still serving'],
  'beyond-parity': ['bad', 'beyond parity, still serving'],
  failed: ['bad', 'failed: data are unavailable'],
};
const MEMBER: Readonly<Record<MemberStatus['state'], Shade>> = {
  online: 'good',
  rebuilding: 'warn',
  missing: 'bad',
  failed: 'bad',
  spare: 'plain',
};

const STYLE = `:root{color-scheme:light dark;--text:#1b1f24;--page:#fff;--line:#d0d7de;--quiet:#57606a;--good:#116329;--goodback:#e6f4ea;
--warn:#7a4b00;--warnback:#fff4d6;--bad:#a40e26;--badback:#fdeceb;--plainback:#eef1f4;--link:#0a5cad}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ec;--page:#15181c;--line:#363c43;--quiet:#a3acb5;--good:#7ee2a0;--goodback:#12301d;
--warn:#ffd479;--warnback:#3a2c08;--bad:#ffa198;--badback:#43191a;--plainback:#262b31;--link:#79b8ff}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0;color:var(--text);background:var(--page)}
main{max-width:66em;margin:0 auto;padding:1em}p,dd,.path{overflow-wrap:anywhere}h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.15em;margin:1.6em 0 .4em}
a{color:var(--link)}code{font-size:.92em}.badges{display:flex;flex-wrap:wrap;gap:.5em;margin:.4em 0 1em}
.badge{display:inline-block;padding:.1em .6em;border:1px solid;border-radius:1em;font-weight:600}
.good{color:var(--good);background:var(--goodback)}.warn{color:var(--warn);background:var(--warnback)}
.bad{color:var(--bad);background:var(--badback)}.plain{color:var(--text);background:var(--plainback)}
.alarm{border-left:4px solid var(--bad);padding:.4em .8em;margin:.6em 0;background:var(--badback)}.note{border-left:4px solid var(--warn);background:var(--warnback)}
.alarm p{margin:.2em 0}.alarm code{color:var(--quiet)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35em 1.2em;margin:0}dt{color:var(--quiet)}dd{margin:0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.4em .8em .4em 0;border-bottom:1px solid var(--line)}
td .badge{white-space:nowrap}th{color:var(--quiet);font-weight:600}.count{text-align:right}
@media(max-width:46em){dl{grid-template-columns:1fr;gap:0}dt{margin-top:.6em}table,tbody,tr,td{display:block;width:100%}thead{display:none}
tr{border:1px solid var(--line);border-radius:.4em;padding:.3em .7em;margin:.6em 0}td{border:0;padding:.15em 0;display:grid;grid-template-columns:9.5em 1fr;justify-items:start}
td::before{content:attr(data-label);color:var(--quiet)}.count{text-align:left}}`;

/** The page has its own style and nothing else: no script, no picture, no frame around it, no form, no other origin. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A page without scripts that renews itself: what `status` says, for a browser, on a screen of any width. */
export function dashboardPage(status: ArrayStatus): string {
  const [shade, words] = ARRAY[status.state];
  const name = escaped(status.name);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${SIGN[shade]} ${name}: ${words}</title><style>${STYLE}</style></head>
<body><main><h1>${name}</h1>
<p class="badges">${badge(shade, words)} ${badge(...protection(status))}</p>
${[...status.alarms.map((alarm) => trouble(alarm, '')), ...(status.hints ?? []).map((hint) => trouble(hint, ' note'))].join('\n')}
<dl>${facts(status)
    .map(([term, value]) => `<dt>${term}</dt><dd>${escaped(value)}</dd>`)
    .join('\n')}</dl>
<h2 id="members">Members</h2>
${memberTable(status)}
<p><a href="/status">status as JSON</a> · <a href="/metrics">metrics</a></p></main></body></html>
`;
}

function badge(shade: Shade, words: string): string {
  return `<span class="badge ${shade}"><span aria-hidden="true">${SIGN[shade]}</span> ${escaped(words)}</span>`;
}

/** As `status` says it: of a host that was not heard of nobody knows what it has. */
function protection({ protection: covered, drain }: ArrayStatus): readonly [Shade, string] {
  const state: string = drain.state;
  if (covered === 'unprotected') return ['warn', 'unprotected: no backup'];
  if (covered === 'seeding') return ['warn', 'seeding: the backup is not complete yet'];
  if (state === 'unreachable') return ['bad', 'backup unreachable'];
  if (state === 'connecting') return ['warn', 'backup not reached yet'];
  return ['good', drain.undrainedBytes === 0 ? 'backed up' : `backed up but for ${bytesText(drain.undrainedBytes)}`];
}

function trouble({ code, message, action }: Alarm, kind: string): string {
  return `<div class="alarm${kind}"><p>${escaped(message)} <code>${escaped(code)}</code></p><p>Do: ${escaped(action)}</p></div>`;
}

function facts(status: ArrayStatus): readonly (readonly [string, string])[] {
  const { journal, drain, rebuild, lost, tolerance } = status;
  const survives =
    tolerance.devices === 0 ? 'no further device loss' : counted(tolerance.devices, 'more device loss', 'more device losses');
  const fill = `${Math.round(journal.fillRatio * 100)} %`;
  const waiting =
    drain.undrainedBytes === 0
      ? 'nothing'
      : `${bytesText(drain.undrainedBytes)}, the oldest for ${secondsText(drain.oldestUndrainedSeconds)}`;
  return [
    // What a failed array would survive is no comfort.
    ...(status.state === 'failed' ? [] : [['Survives', `${survives}: ${tolerance.because}`] as const]),
    ['Volume', bytesText(status.volume.bytes)],
    [
      'Journal',
      `${counted(journal.copies, 'copy', 'copies')}, ${bytesText(journal.usedBytes)} of ${bytesText(journal.bytes)} used (${fill})`,
    ],
    ['Backup', drain.target === null ? 'none: losing this host loses the volume' : `${drain.target}, ${drain.state}`],
    ...(drain.lastError === null ? [] : [['Last error of the backup', drain.lastError] as const]),
    ...(drain.target === null ? [] : [['Not yet on the backup', waiting] as const]),
    ...(rebuild === null ? [] : [['Rebuild', `${bytesText(rebuild.doneBytes)} of ${bytesText(rebuild.totalBytes)}`] as const]),
    ...(lost === undefined || lost.bytes === 0
      ? []
      : [['Lost for good', `${lost.more ? 'more than ' : ''}${bytesText(lost.bytes)}`] as const]),
  ];
}

/** On a narrow screen each row is a card. The roles stay: a browser drops them from a table that is shown otherwise. */
function memberTable({ members }: ArrayStatus): string {
  const columns = ['Member', 'Device', 'Role', 'State', 'Read errors', 'Write errors', 'Checksum errors'];
  const rows = members.map((member) => {
    const cells = [
      String(member.index),
      `<span class="path">${escaped(member.path)}</span>`,
      member.role,
      badge(MEMBER[member.state], member.state),
      ...[member.readErrors, member.writeErrors, member.checksumErrors].map(String),
    ];
    const cell = (text: string, at: number): string =>
      `<td role="cell" data-label="${columns[at]}"${at > 3 ? ' class="count"' : ''}>${text}</td>`;
    return `<tr role="row">${cells.map(cell).join('')}</tr>`;
  });
  const head = columns.map((column, at) => `<th role="columnheader" scope="col"${at > 3 ? ' class="count"' : ''}>${column}</th>`);
  return `<table role="table" aria-labelledby="members"><thead role="rowgroup"><tr role="row">${head.join('')}</tr></thead>
<tbody role="rowgroup">${rows.join('\n')}</tbody></table>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
