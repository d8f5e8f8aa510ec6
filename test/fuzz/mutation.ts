import { randomInt } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { AssertionFailure } from '../../src/base/assert.js';
import { KeelsonError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';

/** How many times the rounds of an ordinary run. */
const FACTOR = Number(process.env.KEELSON_FUZZ ?? 1);

/** The generator of one test, replayed by KEELSON_SEED; the seed is in the log of a test that fails. */
export function fuzz(t: ExecutionContext, rounds: number, round: (random: Random) => void): void {
  const first = Number(process.env.KEELSON_SEED ?? randomInt(2 ** 31));
  t.log(`KEELSON_SEED=${first}`);
  const count = Math.ceil(rounds * FACTOR);
  // A seed a round: with the seed of a failure, however late it came, it is the first round.
  for (let index = 0; index < count; index++) {
    try {
      round(seededRandom(first + index));
    } catch (error) {
      throw new Error(`KEELSON_SEED=${first + index}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
    }
  }
}

/** fuzz, for rounds that wait for something: one after the other. */
export async function fuzzInTurn(t: ExecutionContext, rounds: number, round: (random: Random) => Promise<void>): Promise<void> {
  const first = Number(process.env.KEELSON_SEED ?? randomInt(2 ** 31));
  t.log(`KEELSON_SEED=${first}`);
  const count = Math.ceil(rounds * FACTOR);
  for (let index = 0; index < count; index++) {
    await round(seededRandom(first + index)).catch((error: unknown) => {
      throw new Error(`KEELSON_SEED=${first + index}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
    });
  }
}

const INTERESTING = [0, 1, 2, 3, 7, 255, 256, 4095, 4096, 4097, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

function below(random: Random, length: number): number {
  return length === 0 ? 0 : random.below(length);
}

/** One change: a bit, a byte, a field, a piece moved, cut out, doubled, or brought in from another sample. */
function changeOnce(random: Random, bytes: Buffer, others: readonly Uint8Array[]): Buffer {
  if (bytes.length === 0) return Buffer.from([random.below(256)]);
  const at = random.below(bytes.length);
  const aligned = at & ~3;
  const length = 1 + random.below(Math.min(64, bytes.length));
  switch (random.below(12)) {
    case 0:
    case 1:
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 2:
      bytes[at] = random.below(256);
      return bytes;
    case 3:
    case 4:
      if (aligned + 4 <= bytes.length) bytes.writeUInt32LE(INTERESTING[random.below(INTERESTING.length)] as number, aligned);
      return bytes;
    case 5:
      if (aligned + 4 <= bytes.length) bytes.writeUInt32LE((bytes.readUInt32LE(aligned) + random.below(9) - 4) >>> 0, aligned);
      return bytes;
    case 6:
      if (aligned + 8 <= bytes.length) bytes.writeBigUInt64LE(2n ** BigInt(random.below(65)) - 1n, aligned);
      return bytes;
    case 7:
      return Buffer.from(bytes.subarray(0, at));
    case 8:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + length))]);
    case 9:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
    case 10: {
      const to = random.below(bytes.length);
      bytes.copyWithin(to, at, at + length);
      return bytes;
    }
    default: {
      const other = others[below(random, others.length)] ?? bytes;
      const from = below(random, other.length);
      return Buffer.concat([
        bytes.subarray(0, at),
        other.subarray(from, from + length),
        bytes.subarray(Math.min(bytes.length, at + length)),
      ]);
    }
  }
}

/** A sample with one to five changes. fixed: its length is kept, as that of a block read from a device. */
export function mutant(random: Random, sample: Uint8Array, others: readonly Uint8Array[] = [], fixed = false): Buffer {
  let bytes = Buffer.from(sample);
  for (let count = random.below(5); count >= 0; count--) bytes = Buffer.from(changeOnce(random, bytes, others));
  if (!fixed || bytes.length === sample.length) return bytes;
  const whole = Buffer.alloc(sample.length);
  bytes.copy(whole);
  return whole;
}

/** What a decoder may say to bytes it was not meant for. */
export type Verdict<T> = { readonly value: T } | { readonly code: string };

function judged<T>(decode: () => T): Verdict<T> {
  try {
    return { value: decode() };
  } catch (error) {
    return { code: codeOf(error) };
  }
}

/** judged, for what waits. */
export async function verdictOf<T>(decode: () => Promise<T>): Promise<Verdict<T>> {
  try {
    return { value: await decode() };
  } catch (error) {
    return { code: codeOf(error) };
  }
}

function codeOf(error: unknown): string {
  // An assertion is a bug of ours, and any other class has no code that a caller could know.
  if (error instanceof AssertionFailure || !(error instanceof KeelsonError)) throw error;
  if (!/^[A-Z][A-Z0-9_]+$/.test(error.code) || error.code === 'INTERNAL')
    throw new Error(`no stable code: ${error.code}`, { cause: error });
  return error.code;
}

const GUARD_BYTES = 256;

/**
 * Decodes bytes that lie between two guards, twice, with different bytes in the guards: who looks outside its range says two different things, who writes
 * anywhere is seen too. Throws what is not a KeelsonError.
 */
export function decodeBetweenGuards<T>(bytes: Uint8Array, decode: (bytes: Uint8Array, memory: Buffer) => T): Verdict<T> {
  const verdicts = [0xa5, 0x3c].map((filling) => {
    // Aligned as memory of the slab is.
    const memory = Buffer.allocUnsafeSlow(GUARD_BYTES + bytes.length + GUARD_BYTES).fill(filling);
    memory.set(bytes, GUARD_BYTES);
    const before = Buffer.from(memory);
    const verdict = judged(() => decode(new Uint8Array(memory.buffer, GUARD_BYTES, bytes.length), memory));
    if (!memory.equals(before)) throw new Error('the decoder wrote into what it was given');
    return verdict;
  }) as [Verdict<T>, Verdict<T>];
  const [one, other] = verdicts.map((verdict) => JSON.stringify(verdict, plain));
  if (one !== other) throw new Error(`the decoder looks outside its range: ${one?.slice(0, 300)} and ${other?.slice(0, 300)}`);
  return verdicts[0];
}

function plain(_key: string, value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  return typeof value === 'number' && !Number.isSafeInteger(value) ? `unsafe ${value}` : value;
}

/** Two decoded things as comparable text; numbers that are not safe integers are told apart. */
export function asText(value: unknown): string {
  return JSON.stringify(value, plain) ?? 'undefined';
}
