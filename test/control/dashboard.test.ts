import test from 'ava';
import { dashboardPage } from '../../src/control/dashboard.js';
import type { ArrayStatus } from '../../src/control/status.js';
import { STATUS } from './fake-target.js';

const page = (change: Partial<ArrayStatus>): string => dashboardPage({ ...STATUS, ...change });
/** What is read aloud, or seen without colour. */
const words = (html: string): string =>
  html
    .replace(/<style>[\s\S]*?<\/style>|<title>[\s\S]*?<\/title>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');

test('each state of the array is told in words and by a sign, never by colour alone', (t) => {
  const seen = new Set<string>();
  for (const state of ['online', 'degraded', 'beyond-parity', 'failed'] as const) {
    const text = words(page({ state }));
    const [, told = ''] = / vault ([✓!✕] [a-z ,:]+?) [✓!✕]/.exec(text) ?? [];
    t.true(told.includes(state.replace('-', ' ')), `${state}: ${text.slice(0, 100)}`);
    seen.add(told);
    t.regex(page({ state }), new RegExp(`<title>[✓!✕] vault: ${state.replace('-', ' ')}`));
  }
  t.is(seen.size, 4);
});

test('each state of a member is told in words and by a sign', (t) => {
  for (const [state, sign] of [
    ['online', '✓'],
    ['failed', '✕'],
    ['missing', '✕'],
    ['rebuilding', '!'],
    ['spare', '–'],
  ] as const) {
    const [member] = STATUS.members;
    t.true(words(page({ members: member === undefined ? [] : [{ ...member, state }] })).includes(` ${sign} ${state} `), state);
  }
});

test('the backup is called safe only when it answers', (t) => {
  const of = (state: string, protection: ArrayStatus['protection'] = 'full'): string =>
    words(page({ protection, drain: { ...STATUS.drain, undrainedBytes: 0, state: state as ArrayStatus['drain']['state'] } }));
  t.regex(of('idle'), /✓ backed up /);
  t.regex(of('unreachable'), /✕ backup unreachable/);
  t.regex(of('connecting'), /! backup not reached yet/);
  t.regex(of('idle', 'seeding'), /! seeding/);
  t.regex(of('none', 'unprotected'), /! unprotected: no backup/);
  for (const state of ['unreachable', 'connecting'] as const) t.notRegex(of(state), /backed up/);
});

test('one device is not "1 more devices"', (t) => {
  const survives = (devices: number): string => words(page({ tolerance: { devices, because: 'of that' } }));
  t.regex(survives(0), /Survives no further device loss: of that/);
  t.regex(survives(1), /Survives 1 more device loss: of that/);
  t.regex(survives(2), /Survives 2 more device losses: of that/);
});

test('alarms and hints have their code and what to do, and nothing of a name becomes markup', (t) => {
  const html = page({
    name: `a<b>"c'`,
    alarms: [{ code: 'X_FAILED', message: '<script>1</script>', action: 'keelson & co' }],
    hints: [{ code: 'NBD_IN_CLEAR', message: 'open', action: 'bind it' }],
  });
  t.notRegex(html, /<script|<b>/);
  t.regex(words(html), /&#60;script&#62;1&#60;\/script&#62; X_FAILED Do: keelson &#38; co/);
  t.regex(words(html), /open NBD_IN_CLEAR Do: bind it/);
});

test('on a narrow screen a member is a card: each of its cells bears its own name', (t) => {
  const html = page({});
  const cells = html.match(/<td[^>]*>/g) ?? [];
  t.is(cells.length, STATUS.members.length * 7);
  for (const cell of cells) t.regex(cell, /role="cell" data-label="[A-Z]/);
  t.regex(html, /@media\(max-width:46em\)\{.*td::before\{content:attr\(data-label\)/s);
  t.regex(html, /name="viewport" content="width=device-width/);
  t.notRegex(html, /width:\d+px|min-width/, 'nothing is wider than the screen by its style');
});

/** WCAG 2, relative luminance. */
function luminance(colour: string): number {
  const hex = colour.length === 4 ? [...colour.slice(1)].map((sign) => sign + sign) : (colour.slice(1).match(/../g) ?? []);
  const [red = 0, green = 0, blue = 0] = hex.map((pair) => {
    const part = Number.parseInt(pair, 16) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test('every text can be read on its ground, light and dark: contrast of at least 4.5 (WCAG AA)', (t) => {
  const style = /<style>([\s\S]*?)<\/style>/.exec(page({}))?.[1] ?? '';
  const [light = '', dark = ''] = (style.match(/:root\{[^}]*\}/g) ?? []).map(String);
  for (const scheme of [light, dark]) {
    const colours = new Map([...scheme.matchAll(/--([a-z]+):(#[0-9a-f]{3,6})/g)].map(([, name = '', value = '']) => [name, value]));
    const pairs = ['good', 'warn', 'bad'].map((name) => [name, `${name}back`]);
    const texts = ['page', 'badback', 'warnback', 'plainback'].map((ground) => ['text', ground]);
    const quiet = ['page', 'badback', 'warnback'].map((ground) => ['quiet', ground]);
    for (const [text = '', ground = ''] of [...pairs, ...texts, ...quiet, ['link', 'page']]) {
      const [one, other] = [colours.get(text), colours.get(ground)].map((colour) => luminance(colour ?? ''));
      const [high, low] = [Math.max(one ?? 0, other ?? 0), Math.min(one ?? 0, other ?? 0)];
      const ratio = (high + 0.05) / (low + 0.05);
      t.true(ratio >= 4.5, `${text} on ${ground}: ${ratio.toFixed(2)}`);
    }
  }
});
