import test from 'ava';
import { lint, readExposition } from './exposition.js';

const family = (name: string, type: string, ...samples: string[]): string =>
  `# HELP ${name} What it is.\n# TYPE ${name} ${type}\n${samples.map((sample) => `${sample}\n`).join('')}`;

test('the reader of the text format takes what the format allows', (t) => {
  const text = `${family('keelson_a', 'gauge', 'keelson_a{path="/a \\"b\\" \\\\c\\n",x=""} 1.5e-3', 'keelson_a{path="/b",x=""} NaN')}\n# a remark\n`;
  const samples = readExposition(text).get('keelson_a')?.samples;
  t.deepEqual(samples?.[0], { name: 'keelson_a', labels: { path: '/a "b" \\c\n', x: '' }, value: 0.0015 });
  t.is(samples?.[1]?.value, Number.NaN);
  t.deepEqual(lint(readExposition(text)), []);
});

for (const [what, text] of [
  ['no end of line', '# TYPE a gauge\na 1'],
  ['a value that is no number', family('a', 'gauge', 'a 0x10')],
  ['a label without quotes', family('a', 'gauge', 'a{b=1} 1')],
  ['an unknown escape', family('a', 'gauge', 'a{b="\\t"} 1')],
  ['a label twice', family('a', 'gauge', 'a{b="1",b="2"} 1')],
  ['a series twice', family('a', 'gauge', 'a{b="1",c="2"} 1', 'a{c="2",b="1"} 1')],
  ['a sample of another family', family('a', 'gauge', 'b 1')],
  ['a family in two pieces', family('a', 'gauge', 'a{b="1"} 1') + family('c', 'gauge', 'c 1') + family('a', 'gauge', 'a{b="2"} 1')],
  ['an unknown type', family('a', 'level', 'a 1')],
  ['a name with a hyphen', family('a-b', 'gauge', 'a-b 1')],
] as const) {
  test(`the reader of the text format refuses ${what}`, (t) => {
    t.throws(() => readExposition(text));
  });
}

for (const [name, type] of [
  ['keelson_writes', 'counter'],
  ['keelson_level_total', 'gauge'],
  ['keelson_wait_milliseconds', 'gauge'],
  ['keelson_wait_ms', 'gauge'],
  ['keelson_size_kb', 'gauge'],
  ['keelson_gauge_of', 'gauge'],
  ['keelson_things_count', 'gauge'],
  ['keelson_inFlight', 'gauge'],
  ['writes_total', 'counter'],
] as const) {
  test(`lint objects to ${name} as a ${type}`, (t) => {
    t.is(lint(readExposition(family(name, type, `${name} 1`))).length, 1);
  });
}
