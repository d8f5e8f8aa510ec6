import test from 'ava';
import { FLOORS, objection, roomOf } from './floors.js';
import { filesUnder, importsOf, type SourceFile } from './source-files.js';

const sources = filesUnder('src', '.ts').filter(({ path }) => !path.endsWith('.d.ts'));
const byPath = new Map(sources.map((file) => [file.path, file]));

test('every room of src/ has its floor', (t) => {
  const known = new Set(FLOORS.flat());
  const strangers = [...new Set(sources.map(({ path }) => roomOf(path)))].filter((folder) => folder !== '' && !known.has(folder));
  t.deepEqual(strangers, []);
  t.true(sources.length > 50, 'the sources were found');
});

test('imports go only to floors below, never up, never to the room next door', (t) => {
  const wrong: string[] = [];
  for (const file of sources) {
    for (const { line, target } of importsOf(file)) {
      if (target === null || !target.startsWith('src/')) continue;
      const from = roomOf(file.path);
      const to = roomOf(target);
      if (from === '') continue;
      const why = to === '' ? 'src/index.ts is for users of the library' : objection(from, to);
      if (why !== '') wrong.push(`${file.path}:${line} imports ${target}: ${why}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('src/ imports nothing of test/ or bench/, and everything that it imports exists', (t) => {
  const wrong: string[] = [];
  for (const file of sources) {
    for (const { line, specifier, target } of importsOf(file)) {
      if (target === null || byPath.has(target)) continue;
      // The benchmarks are programs of their own, which `keelson bench` starts.
      if (file.path === 'src/cli/bench.ts' && target.startsWith('bench/')) continue;
      wrong.push(`${file.path}:${line} imports ${specifier}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('no file imports itself, however long the way', (t) => {
  t.deepEqual(cycles(sources), []);
});

test('the check sees what it must refuse', (t) => {
  t.regex(objection('base', 'engine'), /above/);
  t.regex(objection('journal', 'stripe'), /one floor/);
  t.regex(objection('nbd', 'control'), /one floor/);
  t.regex(objection('newroom', 'base'), /no floor/);
  t.is(objection('cli', 'base'), '');
  t.is(objection('member', 'member'), '');
  t.regex(objection('repository/format', 'repository'), /above/);
  t.regex(objection('target/sftp', 'target'), /above/);
  t.is(objection('target/sftp', 'target/target'), '');
  t.is(roomOf('src/target/target.ts'), 'target/target');
  t.is(roomOf('src/repository/format/head.ts'), 'repository/format');
  const file = {
    path: 'src/a/b.ts',
    text: `import type { X } from './x.js';\nimport {\n  Y,\n} from "../c/y.js";\nexport * from './z.js';\nimport './side.js';\n/* import '../no.js' */\nconst u = await import('../d/dyn.js');\nconst w = new URL('./worker.js', import.meta.url);\nimport fs from 'node:fs';\n// import './never.js';\n`,
  };
  const found = importsOf(file);
  t.deepEqual(
    found.map(({ target }) => target).sort(),
    [null, 'src/a/side.ts', 'src/a/worker.ts', 'src/a/x.ts', 'src/a/z.ts', 'src/c/y.ts', 'src/d/dyn.ts'].sort(),
  );
  t.is(found.find(({ target }) => target === 'src/c/y.ts')?.line, 4);
  const ring: SourceFile[] = [
    { path: 'src/a/1.ts', text: "import './2.js';" },
    { path: 'src/a/2.ts', text: "import './3.js';" },
    { path: 'src/a/3.ts', text: "import './1.js';" },
  ];
  t.is(cycles(ring).length, 1);
  t.is(cycles(ring.map(({ path, text }) => ({ path, text: text.replace('import ', 'import type { T } from ') }))).length, 0);
  t.is(cycles(ring.map(({ path, text }) => ({ path, text: text.replace('import ', 'import { type T, value } from ') }))).length, 1);
});

/** Each import cycle once, as 'a -> b -> a'. Types are gone at run time and close none. Worker entries are started, not imported: they close no cycle. */
function cycles(files: readonly SourceFile[]): readonly string[] {
  const known = new Set(files.map(({ path }) => path));
  const edges = new Map(
    files.map((file) => [
      file.path,
      importsOf(file).flatMap(({ target, typeOnly }) =>
        target !== null && !typeOnly && known.has(target) && !target.endsWith('worker.ts') && !target.endsWith('entry.ts') ? [target] : [],
      ),
    ]),
  );
  const found = new Map<string, string>();
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      const cycle = trail.slice(at);
      found.set([...cycle].sort().join(), [...cycle, path].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    trail.push(path);
    for (const next of edges.get(path) ?? []) visit(next);
    trail.pop();
    done.add(path);
  };
  for (const path of edges.keys()) visit(path);
  return [...found.values()];
}
