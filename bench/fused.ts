// npm run bench:fused: whether checksums are cheaper in one pass with what makes the bytes. Compiles bench/native/fused.cc with the kernels of the addon.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const native = join(root, 'native');
const sources = ['gf256', 'crc32c'].flatMap((folder) =>
  readdirSync(join(native, folder))
    .filter((name) => /^(?!exports|bound_call).*\.cc$/.test(name))
    .map((name) => join(native, folder, name)),
);
const folder = mkdtempSync(join(tmpdir(), 'keelson-fused-'));
try {
  const program = join(folder, 'fused');
  const flags = ['-std=c++17', '-O2', '-fno-tree-ter', '-pthread', `-I${native}`];
  const compiled = spawnSync('g++', [...flags, join(root, 'bench/native/fused.cc'), join(native, 'cpu.cc'), ...sources, '-o', program], {
    stdio: 'inherit',
  });
  process.exitCode = compiled.status === 0 ? (spawnSync(program, { stdio: 'inherit' }).status ?? 1) : 1;
} finally {
  rmSync(folder, { recursive: true });
}
