import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { ArrayFixture } from './array-fixture.js';

/** More than the waiters that are kept in one piece, and than the entries that one batch has room for. */
const REQUESTS = 12_000;
const BLOCKS = 96;

test('twelve thousand zeroes asked for at once are each acknowledged, in order, and there after a crash', async (t) => {
  const fixture = await ArrayFixture.create(t, { dataMembers: 3, parity: 1, stripes: 24, chunkBytes: 8192 });
  const { volume } = fixture.engine;
  const pattern = Buffer.alloc(BLOCKS * BLOCK_BYTES, 0x5a);
  await new Promise<void>((resolve, reject) => volume.write(0, pattern, true, (error) => (error === null ? resolve() : reject(error))));
  const order: number[] = [];
  const errors: string[] = [];
  await new Promise<void>((resolve) => {
    for (let i = 0; i < REQUESTS; i++)
      volume.writeZeroes((i % (BLOCKS / 2)) * 2 * BLOCK_BYTES, BLOCK_BYTES, false, i === REQUESTS - 1, (error) => {
        if (error !== null) errors.push(error.code);
        order.push(i);
        if (order.length === REQUESTS) resolve();
      });
  });
  t.deepEqual(errors, []);
  t.is(new Set(order).size, REQUESTS);
  t.is(order.at(-1), REQUESTS - 1, 'the last one is on stable media, and so are all before it');
  await fixture.crash();
  await fixture.start();
  const bytes = await new Promise<Buffer>((resolve, reject) =>
    fixture.engine.volume.read(0, pattern.length, (error, payload) => {
      if (error !== null || payload === null) return reject(error);
      resolve(Buffer.from(payload.bytes));
      payload.release();
    }),
  );
  for (let block = 0; block < BLOCKS; block++) t.is(bytes[block * BLOCK_BYTES + 17], block % 2 === 0 ? 0 : 0x5a, `block ${block}`);
  await fixture.close();
});
