import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COLD_BYTES, type MemorySet, type Scope } from './figure.js';
import type { Measured } from './own.js';
import { medianRate } from './timing.js';

/** bench/peers of the sources: this file runs from dist/bench/parity. */
const PEERS = join(sourceRoot(), 'bench', 'peers');

export interface PeerFigures {
  readonly figures: readonly Measured[];
  /** Peers that are not here, and how to get them. */
  readonly missing: readonly string[];
}

/** Other libraries on the same work, where they are installed. */
export async function peerFigures(scope: Scope): Promise<PeerFigures> {
  const missing: string[] = [];
  const figures: Measured[] = [];
  const isal = isalFigures(scope);
  if (isal === null) missing.push('ISA-L: apt-get install libisal-dev gcc');
  else figures.push(...isal);
  for (const [name, measure] of [
    ['@ronomon/reed-solomon', ronomonFigures],
    ['@subspace/reed-solomon-erasure.wasm', wasmFigures],
  ] as const) {
    const folder = join(PEERS, 'node_modules', name);
    const manifest = join(folder, 'package.json');
    if (!existsSync(manifest)) {
      missing.push(`${name}: (cd bench/peers && npm ci)`);
      continue;
    }
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
    figures.push(...(await measure(folder, `${name} ${version}`, scope)));
  }
  return { figures, missing };
}

function sourceRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** null without a compiler or the library. */
function isalFigures(scope: Scope): Measured[] | null {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-isal-'));
  try {
    const program = join(folder, 'isal-bench');
    const compiled = spawnSync('cc', ['-O2', '-o', program, join(PEERS, 'isal-bench.c'), '-lisal'], { stdio: 'ignore' });
    if (compiled.status !== 0) return null;
    const work = scope.shapes.flatMap(({ k, m }) =>
      scope.shardBytes.flatMap((shardBytes) => scope.sets.map((set) => `${k},${m},${shardBytes},${set}`)),
    );
    const { status, stdout, stderr } = spawnSync(program, [String(scope.sampling_ms), String(COLD_BYTES), ...work], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`isal-bench ended with status ${status}: ${stderr}`);
    return stdout
      .trim()
      .split('\n')
      .map((line) => {
        const [op, k, m, lost, shardBytes, set, gbPerSecond] = line.split(' ') as [Measured['op'], ...string[]];
        return {
          op,
          k: Number(k),
          m: Number(m),
          lost: Number(lost),
          shardBytes: Number(shardBytes),
          set: set as MemorySet,
          isa: 'auto',
          threads: 1,
          via: 'native' as const,
          gbPerSecond: Number(gbPerSecond),
          peer: `ISA-L ${stderr.trim()}`,
        };
      });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** In a process whose thread pool has one thread: the library works there, and the figure is one thread's. */
async function ronomonFigures(folder: string, peer: string, scope: Scope): Promise<Measured[]> {
  const file = fileURLToPath(new URL('./ronomon-child.js', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [file, JSON.stringify([folder, scope])], {
    encoding: 'utf8',
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`${peer} could not be measured`);
  return (JSON.parse(stdout) as Measured[]).map((figure) => ({ ...figure, peer }));
}

interface WasmModule {
  readonly ReedSolomonErasure: {
    fromCurrentDirectory(): Promise<{ encode(shards: Uint8Array, dataShards: number, parityShards: number): number }>;
  };
}

/** Encoding in the cache only: it copies each stripe into its own memory and back. */
async function wasmFigures(folder: string, peer: string, scope: Scope): Promise<Measured[]> {
  const library = createRequire(import.meta.url)(folder) as WasmModule;
  const codec = await library.ReedSolomonErasure.fromCurrentDirectory();
  const figures: Measured[] = [];
  for (const { k, m } of scope.shapes) {
    for (const shardBytes of scope.shardBytes.filter((bytes) => bytes <= 65_536)) {
      const stripe = new Uint8Array((k + m) * shardBytes).fill(0x5a);
      const gbPerSecond = await medianRate(k * shardBytes, scope.sampling_ms, () => {
        if (codec.encode(stripe, k, m) !== 0) throw new Error(`${peer} failed at ${k}+${m}`);
      });
      figures.push({ op: 'encode', k, m, lost: 0, shardBytes, set: 'hot', isa: 'wasm', threads: 1, via: 'native', gbPerSecond, peer });
    }
  }
  return figures;
}
