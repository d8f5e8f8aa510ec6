import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import test from 'ava';
import { filesUnder, ROOT } from './source-files.js';

/** 400 is the aim; what lies between has until its next change to become two. */
const FILE_LINES_MAX = 450;
const FOLDERS = ['src', 'test', 'bench', 'native', 'scripts', 'examples'].filter((folder) => existsSync(join(ROOT, folder)));

const code = FOLDERS.flatMap((folder) => filesUnder(folder, '.ts', '.mjs', '.cc', '.h'));
const typescript = code.filter(({ path }) => path.endsWith('.ts'));
/** This file names what it looks for. */
const others = code.filter(({ path }) => path !== 'test/house/style.test.ts');

/** 'path:line' of each line that matches. */
function hits(files: readonly { path: string; text: string }[], form: RegExp): readonly string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (form.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

test('files and folders are named in kebab-case; C++ kernels <operation>_<isa>', (t) => {
  const wrong: string[] = [];
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (path.includes('node_modules') || entry.name.startsWith('.') || path.includes('bench/peers')) continue;
      const form = folder === 'native' ? /^[a-z0-9]+([-_][a-z0-9]+)*(\.[a-z0-9]+)*$/ : /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/;
      if (!form.test(entry.name)) wrong.push(path);
    }
  }
  t.deepEqual(wrong, []);
});

test('no file is named for being a drawer', (t) => {
  const drawer = /(^|[/-])(utils?|helpers?|common|misc|manager|shared)([-./]|$)/;
  t.deepEqual(
    code.map(({ path }) => path).filter((path) => drawer.test(path)),
    [],
  );
});

test(`a file is one idea: at most ${FILE_LINES_MAX} lines`, (t) => {
  const long = code.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(({ lines }) => lines > FILE_LINES_MAX);
  t.deepEqual(long, []);
});

test('no test is singled out, and none is skipped without a reason beside it', (t) => {
  t.deepEqual(hits(others, /\btest(\.serial)?\.only\b|\.only\(/), []);
  t.deepEqual(
    hits(others, /\.(skip|failing|todo)\(/).filter((line) => !/\/\/ \S.{9,}/.test(line)),
    [],
  );
});

test('nothing is left for later in comments', (t) => {
  t.deepEqual(hits(others, /\b(TODO|FIXME|XXX|HACK)\b/), []);
});

test('types are not switched off and lint is not silenced', (t) => {
  t.deepEqual(
    hits(
      others.filter(({ path }) => path.endsWith('.ts')),
      /@ts-(ignore|expect-error|nocheck)|biome-ignore|eslint-disable|(:|<|\bas) any\b(?=\s*([,;>)\]=|&{[]|$))/,
    ),
    [],
  );
});

test('only src/native/load.ts loads the addon', (t) => {
  const loading = typescript.filter(
    ({ path, text }) => path.startsWith('src/') && /\bcreateRequire\b|\.node['"`]|process\.dlopen/.test(text),
  );
  t.deepEqual(
    loading.map(({ path }) => path),
    ['src/native/load.ts'],
  );
});

test('clock and randomness are handed to everything that the simulator runs', (t) => {
  const below = typescript.filter(({ path }) => /^src\/(engine|destage|rebuild|journal|stripe|member)\//.test(path));
  t.deepEqual(hits(below, /\bMath\.random\(|\bDate\.now\(|\bnew Date\(\)|\bsetTimeout\(|\bsetInterval\(/), []);
});

test('every relative link of the documentation leads somewhere', (t) => {
  const pages = [{ path: 'README.md', text: readFileSync(join(ROOT, 'README.md'), 'utf8') }, ...filesUnder('docs', '.md')];
  const broken: string[] = [];
  for (const { path, text } of pages) {
    for (const match of text.replaceAll(/```[\s\S]*?```/g, '').matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)) {
      const target = (match[1] ?? '').split('#')[0] ?? '';
      if (target === '' || /^[a-z]+:/.test(target)) continue;
      if (!existsSync(join(ROOT, normalize(join(dirname(path), target))))) broken.push(`${path}: ${target}`);
    }
  }
  t.true(pages.length > 0);
  t.deepEqual(broken, []);
});

test('every decision has a number of its own', (t) => {
  const pages = filesUnder('docs/decisions', '.md');
  const numbers = pages.map(({ path }) => /\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1] ?? `unnumbered ${path}`);
  t.deepEqual(
    numbers.filter((number, index) => numbers.indexOf(number) !== index || number.startsWith('un')),
    [],
  );
});
