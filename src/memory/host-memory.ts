import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { Bytes } from '../base/units.js';

/** The memory that this process may have. */
export interface HostMemory {
  /** Of the machine, or of the control group where that is less. */
  readonly limitBytes: Bytes;
  /** What sets the limit, in words. */
  readonly limitedBy: string;
  /** What can be had now without taking it from other programs. */
  readonly availableBytes: Bytes;
}

export function hostMemory(): HostMemory {
  const total = totalmem();
  // 0 or a number beyond all memory: there is no limit.
  const group = process.constrainedMemory();
  const limited = group !== undefined && group > 0 && group < total;
  const limitBytes = limited ? group : total;
  const limitedBy = limited ? 'the limit of its control group, or of this process' : 'all of its memory';
  return { limitBytes, limitedBy, availableBytes: Math.min(limitBytes, availableBytes(total)) };
}

function availableBytes(total: Bytes): Bytes {
  try {
    const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    return kibibytes === undefined ? total : Number(kibibytes) * 1024;
  } catch {
    return total;
  }
}
