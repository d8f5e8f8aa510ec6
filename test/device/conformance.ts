import { spawnSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import type { Device, DeviceProvider } from '../../src/device/device.js';
import { readDevice, syncDevice, writeDevice } from '../../src/device/promise-io.js';
import { Slab } from '../../src/memory/slab.js';
import { scratchFile, scratchFolder } from './scratch-files.js';

const SLAB_BYTES = 16 * MIB;
const DEVICE_BYTES = 32 * MIB;

interface Bench {
  readonly slab: Slab;
  readonly provider: DeviceProvider;
  readonly path: string;
}

/** Every promise of Device and DeviceProvider (src/device/device.ts), held against one implementation. */
export function deviceConformance(name: string, makeProvider: (slab: Slab) => DeviceProvider): void {
  const bench = (t: ExecutionContext): Bench => {
    const slab = Slab.allocate(SLAB_BYTES);
    const provider = makeProvider(slab);
    t.teardown(() => provider.close());
    return { slab, provider, path: scratchFile(scratchFolder(t), 'device', DEVICE_BYTES) };
  };

  test(`${name}: an open device tells its size and its alignment`, async (t) => {
    const { provider, path } = bench(t);
    const device = await provider.open(path);
    t.is(device.path, path);
    t.is(device.sizeBytes, DEVICE_BYTES);
    t.is(BLOCK_BYTES % device.alignBytes, 0);
    t.false(device.isBlockDevice);
    t.true(device.handle >= 0);
    t.is(device.inFlight, 0);
  });

  test(`${name}: reads back what was written, whatever page the memory and the offset start on`, async (t) => {
    const { slab, provider, path } = bench(t);
    const device = await provider.open(path);
    const random = seededRandom(7);
    for (const [memoryPage, devicePage, pages] of [
      [0, 0, 1],
      [1, 3, 1],
      [3, 1, 5],
      [5, 4095, 257],
      [511, 255, 513],
      [2, 8191, 1],
    ] as const) {
      const memory = memoryPage * BLOCK_BYTES;
      const bytes = pages * BLOCK_BYTES;
      const payload = slab.view.subarray(memory, memory + bytes);
      random.fill(payload);
      const wanted = Buffer.from(payload);
      await writeDevice(device, memory, devicePage * BLOCK_BYTES, bytes);
      const back = 8 * MIB + 3 * BLOCK_BYTES;
      await readDevice(device, back, devicePage * BLOCK_BYTES, bytes);
      t.true(slab.view.subarray(back, back + bytes).equals(wanted), `${pages} pages at page ${devicePage}`);
    }
  });

  test(`${name}: thousands of requests of one turn all complete, each with its own tag, none before the call returns`, async (t) => {
    const { slab, provider, path } = bench(t);
    const device = await provider.open(path);
    const count = 4000;
    const pages = SLAB_BYTES / BLOCK_BYTES;
    for (let i = 0; i < pages; i++) slab.view.writeUInt32LE(i + 1, i * BLOCK_BYTES);
    const run = (what: 'read' | 'write', memoryPage: (i: number) => number): Promise<Uint8Array> =>
      new Promise((resolve) => {
        const seen = new Uint8Array(count);
        let left = count;
        let returned = false;
        const done = (result: number, tag: number): void => {
          t.true(returned);
          t.is(result, BLOCK_BYTES);
          seen[tag] = (seen[tag] as number) + 1;
          left -= 1;
          if (left === 0) resolve(seen);
        };
        for (let i = 0; i < count; i++) device[what](memoryPage(i) * BLOCK_BYTES, i * BLOCK_BYTES, BLOCK_BYTES, done, i);
        t.is(device.inFlight, count);
        returned = true;
      });
    t.true((await run('write', (i) => i)).every((times) => times === 1));
    slab.view.fill(0);
    t.true((await run('read', (i) => (i * 7) % count)).every((times) => times === 1));
    for (let i = 0; i < count; i++) {
      if (slab.view.readUInt32LE(((i * 7) % count) * BLOCK_BYTES) !== i + 1) t.fail(`block ${i} came back wrong`);
    }
    t.is(device.inFlight, 0);
  });

  test(`${name}: a callback may ask for more, also on another device of the provider`, async (t) => {
    const { provider, path } = bench(t);
    const first = await provider.open(path);
    const second = await provider.open(scratchFile(scratchFolder(t), 'second', DEVICE_BYTES));
    await new Promise<void>((resolve) => {
      let left = 200;
      const next = (result: number, tag: number): void => {
        t.true(result >= 0);
        left -= 1;
        if (left === 0) resolve();
        else (tag === 0 ? second : first).write(0, left * BLOCK_BYTES, BLOCK_BYTES, next, 1 - tag);
      };
      first.write(0, 0, BLOCK_BYTES, next, 0);
    });
  });

  test(`${name}: sync completes with 0, beside and after writes`, async (t) => {
    const { provider, path } = bench(t);
    const device = await provider.open(path);
    const results: number[] = [];
    await new Promise<void>((resolve) => {
      const done = (result: number, tag: number): void => {
        results[tag] = result;
        if (results.filter((value) => value !== undefined).length === 3) resolve();
      };
      device.write(0, 0, BLOCK_BYTES, done, 0);
      device.sync(done, 1);
      device.write(0, BLOCK_BYTES, 2 * BLOCK_BYTES, done, 2);
    });
    t.deepEqual(results, [BLOCK_BYTES, 0, 2 * BLOCK_BYTES]);
    await syncDevice(device);
  });

  test(`${name}: a read of what is no longer there is -EIO, a write without permission -EBADF, and others go on`, async (t) => {
    const { slab, provider, path } = bench(t);
    const device = await provider.open(path);
    await writeDevice(device, 0, 0, BLOCK_BYTES);
    truncateSync(path, 8 * BLOCK_BYTES);
    t.is(await resultOf(device, 'read', 0, 16 * BLOCK_BYTES, BLOCK_BYTES), -constants.errno.EIO);
    t.is(await resultOf(device, 'read', 0, 4 * BLOCK_BYTES, 8 * BLOCK_BYTES), -constants.errno.EIO, 'cut off in the middle');
    t.is(await resultOf(device, 'read', 0, 0, BLOCK_BYTES), BLOCK_BYTES);
    const readOnly = await provider.open(scratchFile(scratchFolder(t), 'read-only', DEVICE_BYTES), { readOnly: true });
    t.is(await resultOf(readOnly, 'write', 0, 0, BLOCK_BYTES), -constants.errno.EBADF);
    t.is(await resultOf(readOnly, 'read', slab.bytes - BLOCK_BYTES, 0, BLOCK_BYTES), BLOCK_BYTES);
  });

  test(`${name}: a request outside the device, outside the slab or off its alignment is refused before anything is touched`, async (t) => {
    const { slab, provider, path } = bench(t);
    const device = await provider.open(path);
    const never = (): void => t.fail('a refused request calls back');
    const refused: readonly (readonly [number, number, number])[] = [
      [0, DEVICE_BYTES, BLOCK_BYTES],
      [0, DEVICE_BYTES - BLOCK_BYTES, 2 * BLOCK_BYTES],
      [slab.bytes, 0, BLOCK_BYTES],
      [1, 0, BLOCK_BYTES],
      [0, 1, BLOCK_BYTES],
      [0, 0, 1],
      [0, 0, 0],
      [-BLOCK_BYTES, 0, BLOCK_BYTES],
    ];
    for (const [memory, offset, length] of refused) {
      t.throws(() => device.write(memory, offset, length, never, 0), { code: 'ASSERTION' });
      t.throws(() => device.read(memory, offset, length, never, 0), { code: 'ASSERTION' });
    }
    t.is(device.inFlight, 0);
  });

  test(`${name}: close waits for what is in flight, and a closed device takes nothing`, async (t) => {
    const { provider, path } = bench(t);
    const device = await provider.open(path);
    let completed = 0;
    for (let i = 0; i < 300; i++) device.write(0, i * BLOCK_BYTES, BLOCK_BYTES, () => (completed += 1), 0);
    await device.close();
    t.is(completed, 300);
    t.throws(() => device.read(0, 0, BLOCK_BYTES, () => undefined, 0), { code: 'ASSERTION' });
    await device.close();
    const again = await provider.open(path);
    t.is(again.sizeBytes, DEVICE_BYTES);
  });

  test(`${name}: a device is held once: not twice by this process, nor by another one, and again after close`, async (t) => {
    const { provider, path } = bench(t);
    const device = await provider.open(path);
    const error = await t.throwsAsync(provider.open(path), { instanceOf: KeelsonError });
    t.is(error.code, 'DEVICE_BUSY');
    t.is(openInChild(path), 'DEVICE_BUSY');
    const shared = await provider.open(path, { exclusive: false });
    await shared.close();
    await device.close();
    t.is(openInChild(path), 'opened');
  });

  test(`${name}: what is not there or not a device is refused with a code of its own`, async (t) => {
    const { provider } = bench(t);
    const folder = scratchFolder(t);
    t.is(await codeOf(provider.open(`${folder}/nothing`)), 'DEVICE_MISSING');
    t.is(await codeOf(provider.open(folder)), 'DEVICE_OPEN');
  });
}

function resultOf(device: Device, what: 'read' | 'write', memory: number, offset: number, length: number): Promise<number> {
  return new Promise((resolve) => device[what](memory, offset, length, resolve, 0));
}

async function codeOf(opening: Promise<Device>): Promise<string> {
  try {
    await opening;
    return 'opened';
  } catch (error) {
    return KeelsonError.from(error).code;
  }
}

/** 'opened', or the code of the refusal that another process gets. */
function openInChild(path: string): string {
  const child = fileURLToPath(new URL('./open-in-child.js', import.meta.url));
  return spawnSync(process.execPath, [child, path], { encoding: 'utf8' }).stdout.trim();
}
