import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { KIB } from '../../../src/base/units.js';
import type { ArrayRig } from './array.js';

export interface Zone {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  /** Bytes of the zone of which a bit is flipped in any case: where a reader that does not look at checksums is led astray. */
  readonly telling?: readonly number[];
}

/** Where the zones of a member lie, as `inspect --json` says it: the numbers are looked for by name, wherever in its answer they stand. */
export async function memberZones(
  array: ArrayRig,
  member: string,
): Promise<Record<'checkpointA' | 'checkpointB' | 'integrity' | 'journal' | 'data', Zone>> {
  const answer: unknown = JSON.parse(await array.must(['inspect', member, '--json']));
  const number = (key: string, at = 0): number => {
    const value = find(answer, key);
    const picked: unknown = Array.isArray(value) ? value[at] : value;
    if (typeof picked !== 'number') throw new Error(`inspect --json of ${member} has no number ${key}: ${JSON.stringify(answer)}`);
    return picked;
  };
  const integrity = number('integrityOffset');
  const journal = number('journalOffset');
  return {
    checkpointA: { name: 'first checkpoint', offset: number('checkpointOffset', 0), length: number('checkpointBytes') },
    checkpointB: { name: 'second checkpoint', offset: number('checkpointOffset', 1), length: number('checkpointBytes') },
    integrity: { name: 'integrity', offset: integrity, length: journal - integrity },
    journal: { name: 'journal', offset: journal, length: number('journalBytes') },
    data: { name: 'data', offset: number('dataOffset'), length: number('dataBytes') },
  };
}

function find(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, inner] of Object.entries(value)) {
    if (name === key) return inner;
    const deeper = find(inner, key);
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}

/** Flips one bit in every `step` bytes of the zone, at a place that `random` picks inside the step. Returns how many. */
export function flipBits(file: string, zone: Zone, below: (bound: number) => number, step = 64 * KIB): number {
  const fd = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  let flipped = 0;
  const flip = (position: number, bit: number): void => {
    readSync(fd, byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ (1 << bit);
    writeSync(fd, byte, 0, 1, position);
    flipped++;
  };
  for (let at = 0; at < zone.length; at += step) flip(zone.offset + at + below(Math.min(step, zone.length - at)), below(8));
  for (const at of zone.telling ?? []) flip(zone.offset + at, 0);
  closeSync(fd);
  return flipped;
}
