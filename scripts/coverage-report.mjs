// What V8 counted, as a table and as coverage/lcov.info, and the sums of the folders of the data path.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './set-up.mjs';

const FOLDERS = ['journal', 'stripe', 'engine', 'rebuild', 'drain', 'repository'];

/** Sources of types alone: nothing of them is left to run. */
function typesOnly(out) {
  const folder = join(root, out, 'src');
  const compiled = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js'));
  const isEmpty = (name) =>
    readFileSync(join(folder, name), 'utf8')
      .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
      .trim() === 'export {};';
  return compiled.filter(isEmpty).map((name) => `src/${name.replace(/\.js$/, '.ts')}`);
}

/** raw: NODE_V8_COVERAGE. Returns how many folders have less than min percent of their lines. */
export function reportCoverage(raw, out, min) {
  const c8 = join(root, 'node_modules', 'c8', 'bin', 'c8.js');
  const without = typesOnly(out).flatMap((file) => ['-x', file]);
  const reporters = ['text', 'lcov', 'json-summary'].flatMap((name) => ['-r', name]);
  const args = [
    'report',
    '--temp-directory',
    raw,
    '--all',
    '--src',
    'src',
    '--include',
    'src/**',
    ...without,
    '--exclude-after-remap',
    ...reporters,
  ];
  const { status } = spawnSync(process.execPath, [c8, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) return FOLDERS.length;
  const files = Object.entries(JSON.parse(readFileSync(join(root, 'coverage', 'coverage-summary.json'), 'utf8')));
  let low = 0;
  const line = (name, accept) => {
    const lines = files.filter(([path]) => accept(path)).map(([, summary]) => summary.lines);
    const total = lines.reduce((sum, one) => sum + one.total, 0);
    const covered = lines.reduce((sum, one) => sum + one.covered, 0);
    const percent = (100 * covered) / total;
    process.stdout.write(`${name.padEnd(12)} ${covered} of ${total} lines, ${percent.toFixed(1)} %\n`);
    return percent;
  };
  for (const folder of FOLDERS) if (line(folder, (path) => path.includes(`/src/${folder}/`)) < min) low++;
  line('all six', (path) => FOLDERS.some((folder) => path.includes(`/src/${folder}/`)));
  return low;
}
