import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { loadAddon } from '../../src/native/load.js';
import { scratchFolder } from './ring-fixture.js';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

/** Loads the addon in a fresh process and prints what became of it. */
function load(folder: string, env: Record<string, string> = {}): string {
  const script = `import(${JSON.stringify(join(folder, 'native', 'load.js'))}).then(({ loadAddon }) => {
    try { process.stdout.write(loadAddon().cpu().isa); } catch (error) { process.stdout.write(error.code + '|' + error.action); }
  });`;
  return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', env: { ...process.env, ...env } }).stdout;
}

test('the addon is loaded once in each thread', (t) => {
  t.is(loadAddon(), loadAddon());
});

test('KEELSON_ISA forces each kernel that this processor can run, and refuses any other', (t) => {
  for (const isa of loadAddon().cpu().available) t.is(load(source, { KEELSON_ISA: isa }), isa);
  t.regex(load(source, { KEELSON_ISA: 'abacus' }), /^NATIVE_ISA\|/);
  t.regex(load(source, { KEELSON_CRC: 'abacus' }), /^NATIVE_ISA\|/);
});

test('the local build comes before the platform package, which comes before the error', (t) => {
  const folder = scratchFolder();
  t.teardown(folder.remove);
  for (const part of ['native', 'base']) cpSync(join(source, part), join(folder.path, 'src', part), { recursive: true });
  writeFileSync(join(folder.path, 'package.json'), JSON.stringify({ name: 'keelson', type: 'module' }));
  // Stands for the addon: what is asked of it at load, and its name for an instruction set.
  const stand = (file: string, isa: string): void => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `module.exports = { selfTest: () => '', cpu: () => ({ isa: '${isa}' }) };`);
  };
  stand(join(folder.path, 'node_modules', `keelson-linux-${process.arch}-gnu`, 'index.js'), 'packaged');
  t.is(load(join(folder.path, 'src')), 'packaged');
  // A local build that cannot be loaded, here a file that is no library, is passed over.
  mkdirSync(join(folder.path, 'build', 'Release'), { recursive: true });
  writeFileSync(join(folder.path, 'build', 'Release', 'keelson.node'), 'no library');
  t.is(load(join(folder.path, 'src')), 'packaged');
  cpSync(
    fileURLToPath(new URL('../../../build/Release/keelson.node', import.meta.url)),
    join(folder.path, 'build', 'Release', 'keelson.node'),
  );
  t.true(
    loadAddon()
      .cpu()
      .available.includes(load(join(folder.path, 'src'))),
  );
});

test('without a built addon the error says how to get one', (t) => {
  const folder = scratchFolder();
  t.teardown(folder.remove);
  for (const part of ['native', 'base']) {
    mkdirSync(join(folder.path, 'src', part), { recursive: true });
    cpSync(join(source, part), join(folder.path, 'src', part), { recursive: true });
  }
  writeFileSync(join(folder.path, 'package.json'), JSON.stringify({ name: 'keelson', type: 'module' }));
  const advice = load(join(folder.path, 'src'));
  t.regex(advice, /^NATIVE_MISSING\|.*node-gyp rebuild/);
  t.true(advice.includes(`npm install keelson-linux-${process.arch}-gnu`));
  t.true(advice.includes(folder.path));
});
