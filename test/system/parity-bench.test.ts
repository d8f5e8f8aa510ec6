import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { Figure } from '../../bench/parity/figure.js';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const KEYS = ['op', 'k', 'm', 'lost', 'shardBytes', 'set', 'isa', 'threads', 'via', 'gbPerSecond', 'memcpyRatio', 'peer'];

test('bench parity gives every figure that it promises, as JSON and as a chart', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-bench-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const chart = join(folder, 'charts', 'parity.svg');
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'bench', 'parity', '--quick', '--json', '--chart', chart], {
    encoding: 'utf8',
    maxBuffer: 16 << 20,
  });
  t.is(status, 0, stderr);
  const { cpu, isa, results } = JSON.parse(stdout) as { cpu: string; isa: string; results: Figure[] };
  t.true(cpu.length > 0 && isa.length > 0);
  for (const figure of results) {
    const together = figure.via === 'pool' && figure.op === 'encode' && figure.threads > 1;
    t.deepEqual(Object.keys(figure).sort(), [...KEYS, ...(together ? ['speedup'] : [])].sort());
    t.true(figure.gbPerSecond > 0 && figure.memcpyRatio > 0, JSON.stringify(figure));
  }
  const own = results.filter(({ peer }) => peer === null);
  for (const [k, m] of [
    [4, 1],
    [4, 2],
    [8, 2],
    [8, 3],
    [10, 4],
    [17, 3],
  ] as const) {
    for (const set of ['hot', 'cold']) {
      for (const via of ['native', 'codec']) {
        for (const [op, lost] of [
          ['encode', 0],
          ['update', 0],
          ['reconstruct', 1],
          ['reconstruct', m],
        ] as const) {
          const found = own.filter((f) => f.k === k && f.m === m && f.set === set && f.via === via && f.op === op && f.lost === lost);
          t.is(found.length, 1, `${op} ${lost} of ${k}+${m}, ${set}, ${via}`);
        }
      }
      t.true(own.some((f) => f.k === k && f.m === m && f.set === set && f.via === 'pool' && f.threads === 1));
    }
  }
  t.true(own.some(({ op }) => op === 'crc32c'));
  t.regex(readFileSync(chart, 'utf8'), /^<svg [\s\S]*<\/svg>\n$/);
});
