import { MIB } from '../../../src/base/units.js';
import { run } from './command.js';
import { fio } from './fio.js';

export interface Churn {
  readonly seed: number;
  /** Bytes to write. */
  readonly bytes: number;
  /** Part of the volume that is written to, from its start. */
  readonly range: number;
}

/** Random incompressible writes of 4 KiB to 256 KiB, a few trims and zeroed ranges over them, and a flush at the end. */
export async function churn(uri: string, { seed, bytes, range }: Churn): Promise<void> {
  await fio({
    ioengine: 'nbd',
    uri,
    rw: 'randwrite',
    bsrange: '4k-256k',
    iodepth: 16,
    size: range,
    io_size: bytes,
    norandommap: 1,
    randseed: seed,
    refill_buffers: 1,
  });
  const at = (n: number): number => ((seed + n * 7919) % Math.floor(range / MIB)) * MIB;
  await run('qemu-io', [
    '-f',
    'raw',
    uri,
    '-c',
    `discard ${at(1)} 64k`,
    '-c',
    `write -z ${at(2)} 128k`,
    '-c',
    `discard ${at(3)} 1M`,
    '-c',
    `write -z -u ${at(4)} 4k`,
    '-c',
    'flush',
  ]);
}
