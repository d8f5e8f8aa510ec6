import type { ExecutionContext, TestFn } from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { Target } from '../../src/target/target.js';

/** What every backup target promises. make() gives a target on a place that does not exist yet; weakness: what it admits to. */
export function conformance(test: TestFn, kind: string, make: (t: ExecutionContext) => Promise<Target>, weakness = /^$/): void {
  const opened = async (t: ExecutionContext): Promise<Target> => {
    const target = await make(t);
    t.teardown(() => target.close());
    await target.open(true);
    return target;
  };

  test(`${kind}: a missing directory is made on demand and refused otherwise`, async (t) => {
    const target = await make(t);
    t.teardown(() => target.close());
    t.is((await rejection(t, target.open(false))).code, 'BACKUP_MISSING');
    t.regex((await target.open(true)).weakness, weakness);
    t.regex((await target.open(false)).weakness, weakness);
    t.deepEqual(await target.list(), []);
  });

  test(`${kind}: a file is read back as it was written, in any pieces`, async (t) => {
    const target = await opened(t);
    const seed = Date.now() >>> 0;
    t.log(`seed ${seed}`);
    const random = seededRandom(seed);
    for (const length of [0, 1, 4095, 32 * 1024 - 64, 32 * 1024, 700_001, 2_500_000]) {
      const bytes = new Uint8Array(length);
      random.fill(bytes);
      const writer = await target.create('tmp-a');
      // Reused for every piece: write() promises that its bytes may be.
      const piece = new Uint8Array(300_000);
      for (let at = 0; at < length; ) {
        const take = Math.min(length - at, 1 + random.below(piece.length));
        piece.set(bytes.subarray(at, at + take));
        await writer.write(piece.subarray(0, take));
        at += take;
      }
      piece.fill(0xee);
      await writer.sync();
      await writer.close();
      await target.rename('tmp-a', 'file');
      t.is(await target.stat('file'), length);
      const whole = new Uint8Array(length + 10);
      t.is(await target.read('file', 0, whole), length);
      t.is(Buffer.compare(whole.subarray(0, length), bytes), 0);
      if (length === 0) continue;
      const from = random.below(length);
      const part = new Uint8Array(1 + random.below(length - from));
      t.is(await target.read('file', from, part), part.length);
      t.is(Buffer.compare(part, bytes.subarray(from, from + part.length)), 0);
      t.is(await target.read('file', length, new Uint8Array(5)), 0);
    }
  });

  test(`${kind}: bytes of shared memory are written and read`, async (t) => {
    const target = await opened(t);
    const memory = Buffer.from(new SharedArrayBuffer(200_000), 1000, 150_000).fill('keelson');
    await put(target, 'shared', memory);
    const back = Buffer.from(new SharedArrayBuffer(200_000), 500, 150_000);
    t.is(await target.read('shared', 0, back), 150_000);
    t.true(back.equals(memory));
  });

  test(`${kind}: rename replaces, remove removes, and both are seen by list and stat`, async (t) => {
    const target = await opened(t);
    await put(target, 'one', Buffer.from('first'));
    await put(target, 'two', Buffer.from('second!'));
    await target.rename('two', 'one');
    await target.syncDirectory();
    t.deepEqual(await target.list(), [{ name: 'one', bytes: 7 }]);
    t.is(await target.stat('two'), null);
    await target.remove('one');
    await target.remove('one');
    t.deepEqual(await target.list(), []);
  });

  test(`${kind}: create replaces what had the name`, async (t) => {
    const target = await opened(t);
    await put(target, 'a', Buffer.from('a long text'));
    await put(target, 'a', Buffer.from('short'));
    t.is(await target.stat('a'), 5);
  });

  test(`${kind}: a name that is not there is told apart from every other failure`, async (t) => {
    const target = await opened(t);
    t.is((await rejection(t, target.read('none', 0, new Uint8Array(4)))).code, 'TARGET_FILE_MISSING');
    t.is((await rejection(t, target.rename('none', 'other'))).code, 'TARGET_FILE_MISSING');
    t.is(await target.stat('none'), null);
  });

  test(`${kind}: a hundred files are listed with their sizes`, async (t) => {
    const target = await opened(t);
    const wanted: { name: string; bytes: number }[] = [];
    for (let i = 0; i < 100; i++) {
      const name = `file-${String(i).padStart(3, '0')}`;
      await put(target, name, Buffer.alloc(i));
      wanted.push({ name, bytes: i });
    }
    const found = (await target.list()).sort((a, b) => (a.name < b.name ? -1 : 1));
    t.deepEqual(found, wanted);
  });

  test(`${kind}: an abandoned file stays under its temporary name only`, async (t) => {
    const target = await opened(t);
    const writer = await target.create('tmp-b');
    await writer.write(Buffer.alloc(100_000));
    await writer.abandon();
    t.deepEqual(
      (await target.list()).map(({ name }) => name),
      ['tmp-b'],
    );
  });

  test(`${kind}: reads and a write go on at the same time`, async (t) => {
    const target = await opened(t);
    const bytes = Buffer.alloc(500_000, 'x');
    await put(target, 'a', bytes);
    const reads = [0, 1, 2, 3].map(async (i) => {
      const into = new Uint8Array(100_000);
      t.is(await target.read('a', i * 100_000, into), 100_000);
    });
    await Promise.all([put(target, 'b', bytes), ...reads]);
    t.is(await target.stat('b'), bytes.length);
  });

  test(`${kind}: free space is told`, async (t) => {
    const target = await opened(t);
    const free = await target.freeBytes();
    if (weakness.source === '^$') t.true(free !== null && free > 0);
    else t.is(free, null);
  });
}

export async function put(target: Target, name: string, bytes: Uint8Array): Promise<void> {
  const writer = await target.create(name);
  try {
    await writer.write(bytes);
    await writer.sync();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  await writer.close();
}

export async function rejection(t: ExecutionContext, promise: Promise<unknown>): Promise<KeelsonError> {
  const error = await t.throwsAsync(promise);
  t.true(error instanceof KeelsonError, `a KeelsonError, not ${String(error)}`);
  return error as KeelsonError;
}
