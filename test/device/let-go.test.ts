import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test, { type ExecutionContext } from 'ava';
import { MIB } from '../../src/base/units.js';
import { readDevice, syncDevice, writeDevice } from '../../src/device/promise-io.js';
import { createDeviceProvider, type IoKind } from '../../src/device/provider.js';
import { Slab } from '../../src/memory/slab.js';
import { loadAddon } from '../../src/native/load.js';
import { StripeGeometry } from '../../src/stripe/geometry.js';
import { createStripePool } from '../../src/stripe/pool.js';
import { scratchFile, scratchFolder } from './scratch-files.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const kinds: IoKind[] = loadAddon().ringAvailable() === '' ? ['ring', 'fs'] : ['fs'];
/** Collections after which nothing more is expected to go; each is a turn of its own. */
const COLLECTIONS_MAX = 50;

async function isCollected(memory: WeakRef<object>): Promise<boolean> {
  for (let i = 0; i < COLLECTIONS_MAX && memory.deref() !== undefined; i++) {
    await new Promise<void>((turn) => setImmediate(turn));
    collect();
  }
  return memory.deref() === undefined;
}

async function throughProvider(t: ExecutionContext, kind: IoKind): Promise<WeakRef<object>> {
  const slab = Slab.allocate(MIB);
  const provider = createDeviceProvider(slab, kind);
  const device = await provider.open(scratchFile(scratchFolder(t), 'member', MIB));
  await writeDevice(device, 0, 0, 8192);
  await syncDevice(device);
  await readDevice(device, 8192, 0, 8192);
  await provider.close();
  return new WeakRef(slab.shared);
}

async function throughPool(io: IoKind): Promise<WeakRef<object>> {
  const geometry = new StripeGeometry(2, 1, 4096, 4);
  const slab = Slab.allocate(MIB);
  const pool = await createStripePool({
    context: {
      geometry,
      slab: slab.shared,
      dataOffset: new Float64Array(geometry.n),
      integrity: Array.from({ length: geometry.n }, () => new SharedArrayBuffer(4 * geometry.stripes)),
      io,
    },
    scratch: [{ offset: 0, bytes: MIB / 2 }],
  });
  await pool.close();
  return new WeakRef(slab.shared);
}

for (const kind of kinds) {
  test.serial(`${kind}: a provider that is closed lets go of the slab`, async (t) => {
    t.true(await isCollected(await throughProvider(t, kind)));
  });

  test.serial(`${kind}: a stripe pool that is closed lets go of the slab`, async (t) => {
    t.true(await isCollected(await throughPool(kind)));
  });
}
