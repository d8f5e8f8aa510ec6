import { constants } from 'node:os';
import test, { type ExecutionContext } from 'ava';
import type { Clock } from '../../src/base/clock.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import type { Device } from '../../src/device/device.js';
import { type FaultyProvider, faultyProvider } from '../../src/device/fault-device.js';
import { readDevice, syncDevice, writeDevice } from '../../src/device/promise-io.js';
import { createBlockingIo, createDeviceProvider, type IoKind } from '../../src/device/provider.js';
import { Slab } from '../../src/memory/slab.js';
import { RING_OP_WORDS, RING_READ, RING_SYNC, RING_WRITE } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { deviceConformance } from './conformance.js';
import { scratchFile, scratchFolder } from './scratch-files.js';

const EIO = constants.errno.EIO;

deviceConformance('faulty, without a fault', (slab) => faultyProvider(createDeviceProvider(slab), slab));

interface Bench {
  readonly slab: Slab;
  readonly provider: FaultyProvider;
  readonly device: Device;
  /** Calls back what was put off on the bench's clock. */
  tick(): void;
}

async function bench(t: ExecutionContext, kind?: IoKind): Promise<Bench> {
  const slab = Slab.allocate(MIB);
  const timers: (() => void)[] = [];
  const clock: Clock = {
    now: () => 0,
    wall: () => 0,
    after(_, callback) {
      timers.push(callback);
      return { cancel: () => undefined };
    },
  };
  const provider = faultyProvider(createDeviceProvider(slab, kind), slab, clock);
  t.teardown(() => provider.close());
  const device = await provider.open(scratchFile(scratchFolder(t), 'device', MIB));
  return {
    slab,
    provider,
    device,
    tick: () => {
      for (const callback of timers.splice(0)) callback();
    },
  };
}

test('a failure hits the kind, the range and the number of requests it was asked for', async (t) => {
  const { provider, device } = await bench(t);
  const faults = provider.faults(device.path);
  faults.fail('write', 2, 8192, 12_288);
  await writeDevice(device, 0, 0, 8192);
  await t.throwsAsync(writeDevice(device, 0, 4096, 8192), { code: 'DEVICE_WRITE' });
  await t.throwsAsync(writeDevice(device, 0, 8192, 4096), { code: 'DEVICE_WRITE' });
  await writeDevice(device, 0, 8192, 4096);
  faults.fail('sync');
  await readDevice(device, 0, 0, 4096);
  await t.throwsAsync(syncDevice(device), { code: 'DEVICE_SYNC' });
  await syncDevice(device);
  faults.fail('read', Infinity);
  for (let i = 0; i < 5; i++) await t.throwsAsync(readDevice(device, 0, 0, 4096), { code: 'DEVICE_READ' });
  faults.heal();
  await readDevice(device, 0, 0, 4096);
  t.is(faults.injected, 8);
});

test('a flipped bit comes back from every read that covers it, and the medium stays as it is', async (t) => {
  const { slab, provider, device } = await bench(t);
  await writeDevice(device, 0, 0, 8192);
  provider.faults(device.path).flip(5000, 3);
  await readDevice(device, 16_384, 0, 8192);
  t.is(slab.view[16_384 + 5000], 8);
  await readDevice(device, 16_384, 4096, 4096);
  t.is(slab.view[16_384 + 904], 8);
  provider.faults(device.path).heal();
  await readDevice(device, 16_384, 4096, 4096);
  t.is(slab.view[16_384 + 904], 0);
});

test('held requests reach the device only when they are let go, in the order asked for', async (t) => {
  const { slab, provider, device } = await bench(t);
  const faults = provider.faults(device.path);
  slab.view.fill(1, 0, 4096).fill(2, 4096, 8192);
  faults.hold();
  let done = 0;
  const writes = [writeDevice(device, 0, 0, 4096), writeDevice(device, 4096, 0, 4096)].map((write) => write.then(() => (done += 1)));
  t.is(faults.held, 2);
  t.is(device.inFlight, 2);
  t.is(done, 0);
  faults.release([1, 0]);
  await Promise.all(writes);
  t.is(device.inFlight, 0);
});

test('delayed requests wait for the clock', async (t) => {
  const { provider, device, tick } = await bench(t);
  provider.faults(device.path).delay_ms = 50;
  const write = writeDevice(device, 0, 0, 4096);
  t.is(device.inFlight, 1);
  tick();
  await write;
  t.is(device.inFlight, 0);
});

const kinds: IoKind[] = loadAddon().ringAvailable() === '' ? ['ring', 'fs'] : ['fs'];
for (const kind of kinds) {
  test(`a killed device fails everything, also what is in flight and what worker threads do by its descriptor (${kind})`, async (t) => {
    const { slab, provider, device } = await bench(t, kind);
    const faults = provider.faults(device.path);
    const io = createBlockingIo(slab.view, kind);
    t.teardown(() => io.close());
    const ops = new Float64Array(3 * RING_OP_WORDS);
    [RING_READ, RING_WRITE, RING_SYNC].forEach((opcode, i) => {
      ops.set([opcode, device.handle, i * BLOCK_BYTES, 0, BLOCK_BYTES, i], i * RING_OP_WORDS);
    });
    const results = new Int32Array(3);
    io.run(ops, 3, results);
    t.deepEqual([...results], [BLOCK_BYTES, BLOCK_BYTES, 0]);
    const inFlight = new Promise<number>((resolve) => device.write(0, 0, 4096, resolve, 0));
    faults.kill();
    t.is(await inFlight, -EIO);
    for (const what of ['read', 'write'] as const) t.is(await new Promise((resolve) => device[what](0, 0, 4096, resolve, 0)), -EIO);
    t.is(await new Promise((resolve) => device.sync(resolve, 0)), -EIO);
    io.run(ops, 3, results);
    t.true(
      results.every((result) => result < 0),
      results.join(),
    );
    await t.throwsAsync(provider.open(device.path), { code: 'DEVICE_MISSING' });
    await device.close();
    faults.revive();
    const again = await provider.open(device.path);
    await writeDevice(again, 0, 0, 4096);
  });
}
