import type { Random } from '../../../src/base/random.js';
import { MIB } from '../../../src/base/units.js';
import type { NbdClient } from '../../nbd/nbd-client.js';
import { randomRequest, SECTOR_BYTES, type WriteModel } from './write-model.js';

const DEPTH = 16;
const REQUESTS_PER_FLUSH = 40;
const READ_BYTES = MIB;
const CMD_FLAG_FUA = 1;

/** Keeps DEPTH random requests in flight until the connection dies, or until `enough` says so. Returns what went wrong. */
export async function load(client: NbdClient, model: WriteModel, random: Random, enough: () => boolean = () => false): Promise<string[]> {
  let sent = 0;
  const lane = async (): Promise<void> => {
    while (!enough()) {
      if (++sent % REQUESTS_PER_FLUSH === 0) await client.flush();
      const { operation, first, count, fua } = randomRequest(random, model.sectors);
      const sequence = model.submit(operation, first, count);
      const [offset, length, flags] = [first * SECTOR_BYTES, count * SECTOR_BYTES, fua ? CMD_FLAG_FUA : 0];
      if (operation === 'write') {
        const payload = new Uint8Array(length);
        model.fill(sequence, first, payload);
        await client.write(offset, payload, flags);
      } else if (operation === 'trim') await client.trim(offset, length, flags);
      else await client.writeZeroes(offset, length, flags);
      model.acknowledge(sequence);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: DEPTH }, lane));
  return ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
}

/** Reads the whole region of the model back and holds it against the model. */
export async function readBack(client: NbdClient, model: WriteModel): Promise<string[]> {
  const wrong: string[] = [];
  for (let offset = 0; offset < model.sectors * SECTOR_BYTES; offset += 4 * READ_BYTES) {
    const pieces = await Promise.all([0, 1, 2, 3].map((i) => client.read(offset + i * READ_BYTES, READ_BYTES)));
    for (const [i, piece] of pieces.entries()) wrong.push(...model.verify((offset + i * READ_BYTES) / SECTOR_BYTES, aligned(piece)));
  }
  if (wrong.length === 0) model.compact();
  return wrong;
}

/** The model reads words. */
function aligned(bytes: Buffer): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
}
