import test from 'ava';
import { keyLines } from '../../src/config/key-lines.js';

test('every key has its line, whatever the way TOML writes it', (t) => {
  const lines = keyLines(`# a = 1
top = "x # no comment"   # comment = 2
'quoted key' = 'raw \\'
a.b . c = 5
[section]  # [other]
list = [ # first
  "one", [ 'n', { deep = true } ],

  """
multi = 1
""", 4.5,
]
inline = { x = 1, y = { z = "}" } }
text = '''
[not.a.table]
k = "v"'''
date = 2026-11-22 10:00:00
[[many]]
v = 1
[[many]]
v = 2
[section.sub]
last = "\\"]"`);
  const expected: Record<string, number> = {
    top: 2,
    'quoted key': 3,
    'a.b.c': 4,
    section: 5,
    'section.list': 6,
    'section.list.0': 7,
    'section.list.1.0': 7,
    'section.list.1.1.deep': 7,
    'section.list.2': 9,
    'section.list.3': 11,
    'section.inline.y.z': 13,
    'section.text': 14,
    'section.date': 17,
    'many.0.v': 19,
    'many.1.v': 21,
    'section.sub': 22,
    'section.sub.last': 23,
  };
  for (const [key, line] of Object.entries(expected)) t.is(lines.get(key), line, key);
  t.false([...lines.keys()].some((key) => key.includes('not') || key.includes('multi') || key.endsWith('.k')));
});

test('a text that does not parse ends the scan all the same', (t) => {
  for (const text of ['[', 'a', 'a = [', 'a = {', 'a = "', 'a = """', '= 1', ']]]', '"']) t.notThrows(() => keyLines(text), text);
});
