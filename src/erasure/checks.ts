import { KeelsonError } from '../base/errors.js';

/**
 * Checks of what callers hand to the codecs, made before native code is called: nothing is touched when one fails. ERASURE_ARGUMENT: a wrong kind, count
 * or length; ERASURE_OUTSIDE: bytes that the memory does not have; ERASURE_OVERLAP: a shard written over another; ERASURE_DETACHED: memory that is gone.
 */
export type RefusalCode = 'ERASURE_ARGUMENT' | 'ERASURE_OUTSIDE' | 'ERASURE_OVERLAP' | 'ERASURE_DETACHED';

export function refuse(message: string, found: string, expected: string, code: RefusalCode = 'ERASURE_ARGUMENT'): never {
  throw new KeelsonError(code, message, { found, expected, action: 'correct the call' });
}

export function requireCount(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) refuse(`${name} is not a count`, String(value), 'an integer from 0');
}

/** A Uint8Array (or Buffer) whose bytes are there. */
export function requireBytes(bytes: Uint8Array, name: string): void {
  if (!(bytes instanceof Uint8Array)) refuse(`${name} is of a wrong kind`, typeof bytes, 'a Uint8Array or Buffer');
  // Only a view without bytes can be one whose buffer was transferred away, or shrunk from under it.
  if (bytes.length === 0 && isGone(bytes)) {
    refuse(`${name} has lost its bytes`, 'a detached buffer, or one made smaller than the view', 'memory that stays', 'ERASURE_DETACHED');
  }
}

function isGone(view: Uint8Array): boolean {
  const { buffer } = view as { readonly buffer: ArrayBufferLike & { readonly resizable?: boolean } };
  if (buffer.resizable === true) return true;
  try {
    // The one operation that every Node refuses on a detached buffer (ArrayBuffer.prototype.detached is missing from Node 20).
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

export function requireOffsets(offsets: Float64Array, groups: number, shards: number): void {
  if (!(offsets instanceof Float64Array)) refuse('offsets are of a wrong kind', typeof offsets, 'a Float64Array');
  if (offsets.length < groups * shards) refuse('too few offsets', String(offsets.length), `groups x shards = ${groups} x ${shards}`);
}

/** Where the shards of one call lie: `stride` offsets a group, of which `gather` names those used, or all of them in order. */
export interface GroupShape {
  readonly stride: number;
  readonly gather: readonly number[] | null;
  readonly inputs: number;
  readonly outputs: number;
}

/**
 * Copies the offsets of `groups` groups to target[at...], checked as they are copied (they may lie in memory that another thread writes): all integers
 * inside the memory, and no output over any other shard of its group. Memory, groups, length and the number of offsets were checked before.
 */
export function packGroups(
  memory: Uint8Array,
  offsets: Float64Array,
  groups: number,
  length: number,
  { stride, gather, inputs, outputs }: GroupShape,
  target: Float64Array,
  at: number,
): void {
  const shards = inputs + outputs;
  const last = memory.length - length;
  let from = 0;
  let to = at;
  for (let group = 0; group < groups; group++) {
    let apart = true;
    let previous = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < shards; i++) {
      const offset = offsets[gather === null ? from + i : from + (gather[i] as number)] as number;
      if (!(offset >= 0 && offset <= last && Math.floor(offset) === offset)) refuseOffset(memory, offset, length, group, gather?.[i] ?? i);
      if (offset - previous < length) apart = false;
      previous = offset;
      target[to + i] = offset;
    }
    // Ascending shards, the usual case, are apart without a second look.
    if (!apart) requireApart(target, to, inputs, shards, length, group);
    from += stride;
    to += shards;
  }
}

function refuseOffset(memory: Uint8Array, offset: number, length: number, group: number, shard: number): never {
  refuse(
    `shard ${shard} of group ${group} is outside the memory`,
    `offset ${offset}, ${length} bytes`,
    `a whole number of bytes inside ${memory.length}`,
    'ERASURE_OUTSIDE',
  );
}

function requireApart(packed: Float64Array, start: number, inputs: number, shards: number, length: number, group: number): void {
  for (let i = inputs; i < shards; i++) {
    for (let j = 0; j < i; j++) {
      const [a, b] = [packed[start + j] as number, packed[start + i] as number];
      if (Math.abs(a - b) >= length) continue;
      refuse(
        `a shard that group ${group} writes lies over another of its shards`,
        `offsets ${a} and ${b}, ${length} bytes`,
        'outputs apart from every other shard',
        'ERASURE_OVERLAP',
      );
    }
  }
}

/** Distinct shard numbers below `bound`, at least one. */
export function requireShards(shards: readonly number[], bound: number, name: string): void {
  if (!Array.isArray(shards) || shards.length === 0 || shards.length > bound) {
    refuse(`wrong number of ${name} shards`, String(shards?.length), `1 to ${bound}`);
  }
  for (let i = 0; i < shards.length; i++) {
    const shard = shards[i] as number;
    if (!Number.isInteger(shard) || shard < 0 || shard >= bound || shards.indexOf(shard) !== i) {
      refuse(`wrong ${name} shards`, shards.join(', '), `different integers from 0 to ${bound - 1}`);
    }
  }
}

export function requirePattern(present: Uint8Array, n: number, wanted: readonly number[]): void {
  requireBytes(present, 'present');
  if (present.length !== n) refuse('present has the wrong length', String(present.length), String(n));
  requireShards(wanted, n, 'wanted');
  for (const shard of wanted) if (present[shard] !== 0) refuse('a wanted shard is present', `shard ${shard}`, 'wanted shards to be absent');
}

/** A copy of the list of separate shards of one set: `count` of them, equally long; those from `written` on lie over no other. */
export function requireSet(shards: readonly Uint8Array[], count: number, written: number): Uint8Array[] {
  if (!Array.isArray(shards) || shards.length !== count) refuse('wrong number of shards', String(shards?.length), String(count));
  const set: Uint8Array[] = [...shards];
  set.forEach((shard, i) => {
    requireBytes(shard, `shard ${i}`);
  });
  const length = set[0]?.length ?? 0;
  for (const shard of set)
    if (shard.length !== length) refuse('shards differ in length', `${length} and ${shard.length} bytes`, 'equal lengths');
  for (let i = written; i < count; i++) {
    const output = set[i] as Uint8Array;
    for (let j = 0; j < i; j++) {
      const other = set[j] as Uint8Array;
      if (other.buffer !== output.buffer || Math.abs(other.byteOffset - output.byteOffset) >= length) continue;
      refuse('a shard that is written lies over another', `shards ${j} and ${i} of the call`, 'memory of its own', 'ERASURE_OVERLAP');
    }
  }
  return set;
}
