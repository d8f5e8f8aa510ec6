import { KeelsonError } from '../base/errors.js';

/** Checks of what callers hand to the codec, made before native code is called: nothing is touched when one fails. */

export function refuse(message: string, found: string, expected: string): never {
  throw new KeelsonError('ERASURE_ARGUMENT', message, { found, expected, action: 'correct the call' });
}

export function requireCount(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) refuse(`${name} is not a count`, String(value), 'an integer from 0');
}

/**
 * Offsets of `groups` groups of `inputs` + `outputs` shards of `length` bytes each: all inside the memory, and no output over any other shard of
 * its group.
 */
export function requireGroups(
  memory: Uint8Array,
  offsets: Float64Array,
  groups: number,
  inputs: number,
  outputs: number,
  length: number,
): void {
  requireCount(groups, 'groups');
  requireCount(length, 'length');
  const shards = inputs + outputs;
  if (offsets.length < groups * shards) refuse('too few offsets', `${offsets.length}`, `groups x shards = ${groups} x ${shards}`);
  const last = memory.length - length;
  for (let group = 0; group < groups; group++) {
    const start = group * shards;
    for (let i = start; i < start + shards; i++) {
      const offset = offsets[i] as number;
      if (!(offset >= 0 && offset <= last) || !Number.isInteger(offset)) {
        refuse(`offset ${i} is outside the memory`, `${offset} + ${length} bytes`, `inside ${memory.length} bytes`);
      }
    }
    for (let i = start + inputs; i < start + shards; i++) {
      for (let j = start; j < i; j++) {
        if (length > 0 && Math.abs((offsets[i] as number) - (offsets[j] as number)) < length) {
          refuse(
            `shards ${j - start} and ${i - start} of group ${group} overlap`,
            `offsets ${offsets[j]} and ${offsets[i]}, ${length} bytes`,
            'outputs apart from every other shard',
          );
        }
      }
    }
  }
}

/** Distinct shard numbers below `bound`, at least one. */
export function requireShards(shards: readonly number[], bound: number, name: string): void {
  if (shards.length === 0 || shards.length > bound) refuse(`wrong number of ${name} shards`, String(shards.length), `1 to ${bound}`);
  for (let i = 0; i < shards.length; i++) {
    const shard = shards[i] as number;
    if (!Number.isInteger(shard) || shard < 0 || shard >= bound || shards.indexOf(shard) !== i) {
      refuse(`wrong ${name} shards`, shards.join(', '), `different integers from 0 to ${bound - 1}`);
    }
  }
}

export function requirePattern(present: Uint8Array, n: number, wanted: readonly number[]): void {
  if (present.length !== n) refuse('present has the wrong length', String(present.length), String(n));
  requireShards(wanted, n, 'wanted');
  for (const shard of wanted) if (present[shard] !== 0) refuse('a wanted shard is present', `shard ${shard}`, 'wanted shards to be absent');
}
