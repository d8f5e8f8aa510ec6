import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { MemorySet, Scope } from './figure.js';
import type { Measured } from './own.js';

/** Every name that KEELSON_CRC may have on any processor; those that this one cannot run are left out. */
const IMPLEMENTATIONS = ['table', 'sse4.2', 'pclmul', 'vpclmul', 'armv8'];

interface ChildFigures {
  readonly crc: string;
  readonly figures: readonly { readonly shardBytes: number; readonly set: MemorySet; readonly gbPerSecond: number }[];
}

/** CRC32C at the scope's lengths, of the implementation that is chosen (first), and of all others if asked for. */
export function checksumFigures(scope: Scope): Measured[] {
  const chosen = figuresOf(undefined, scope);
  if (chosen === null) throw new Error('the checksum could not be measured');
  const others = scope.otherKernels ? IMPLEMENTATIONS.filter((name) => name !== chosen.crc).map((name) => figuresOf(name, scope)) : [];
  return [chosen, ...others].flatMap((child) =>
    (child?.figures ?? []).map(
      (figure): Measured => ({
        op: 'crc32c',
        k: 1,
        m: 0,
        lost: 0,
        isa: child?.crc ?? '',
        threads: 1,
        via: 'native',
        peer: null,
        ...figure,
      }),
    ),
  );
}

function figuresOf(implementation: string | undefined, scope: Scope): ChildFigures | null {
  const file = fileURLToPath(new URL('./crc-child.js', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [file, JSON.stringify([scope.shardBytes, scope.sets, scope.sampling_ms])], {
    encoding: 'utf8',
    env: implementation === undefined ? process.env : { ...process.env, KEELSON_CRC: implementation },
    stdio: ['ignore', 'pipe', implementation === undefined ? 'inherit' : 'ignore'],
  });
  return status === 0 ? (JSON.parse(stdout) as ChildFigures) : null;
}
