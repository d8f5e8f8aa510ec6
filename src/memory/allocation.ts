import { KeelsonError } from '../base/errors.js';
import type { Bytes } from '../base/units.js';

/** What `make` makes of so many bytes. Throws MEMORY_DENIED where the system, or a limit of this process, gives no such memory. */
export function allocating<T>(what: string, bytes: Bytes, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RangeError && /allocation failed|array (buffer )?length/i.test(error.message))) throw error;
    throw new KeelsonError('MEMORY_DENIED', `there is no memory for ${what}`, {
      found: `${bytes} bytes are not given: ${error.message}`,
      expected: 'address space and memory for all of it',
      action: 'raise the limit of this process (ulimit -v, LimitAS=), lower memory.slab, or end other programs',
      cause: error,
    });
  }
}
