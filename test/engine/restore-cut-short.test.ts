import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { createBackupClient } from '../../src/drain/backup-client.js';
import { restoreArray } from '../../src/engine/restore-array.js';
import type { Slab } from '../../src/memory/slab.js';
import type { Backup } from '../../src/repository/backup.js';
import { ArrayFixture, SILENT } from './array-fixture.js';
import { BlockModel } from './block-model.js';

interface Restore {
  readonly force: boolean;
  /** The backup cannot be reached any more when something has been read. */
  readonly cut?: boolean;
  readonly onProgress?: () => void;
  readonly signal?: AbortSignal;
}

/** An array that is full and drained, stopped; and how it is restored. */
async function drained(t: ExecutionContext) {
  const fixture = await ArrayFixture.create(t);
  const { settings } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.fill();
  await fixture.drain();
  await fixture.engine.stop();
  const client = (slab: Slab): Backup =>
    createBackupClient({ slab, url: settings.backup?.target.url ?? '', identity: '', knownHosts: '', compression: 'none', passphrase: '' });
  const cutShort = (slab: Slab): Backup => {
    const backup = client(slab);
    const read = backup.read.bind(backup);
    let reads = 0;
    backup.read = async (blocks, into, crcs) => {
      if (++reads > 1) throw new KeelsonError('BACKUP_UNREACHABLE', 'cut short');
      return read(blocks, into, crcs);
    };
    return backup;
  };
  const restore = ({ force, cut = false, onProgress = () => {}, signal }: Restore): Promise<unknown> =>
    restoreArray({
      settings,
      force,
      clock: systemClock,
      log: SILENT,
      provider: createDeviceProvider,
      backup: cut ? cutShort : client,
      onProgress,
      ...(signal === undefined ? {} : { signal }),
    });
  return { fixture, model, restore };
}

test.serial('P7: an array whose restore was cut short is not served; a restore that ends makes it whole', async (t) => {
  const { fixture, model, restore } = await drained(t);
  // Over what the members hold: that is gone, and nothing is taken back.
  await t.throwsAsync(restore({ force: true, cut: true }), { code: 'BACKUP_UNREACHABLE' });
  await t.throwsAsync(fixture.start(), { code: 'RESTORE_UNFINISHED' });
  await restore({ force: true });
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('a restore that fails or is interrupted takes back what it made, and the next one needs no --force', async (t) => {
  const { fixture, model, restore } = await drained(t);
  const { paths } = fixture;
  for (const path of paths) rmSync(path);
  const blank = paths[0] as string;
  writeFileSync(blank, Buffer.alloc(fixture.settings.stripe.memberBytes as number));
  const asBefore = (): void => {
    for (const path of paths.slice(1)) t.false(existsSync(path), path);
    t.true(readFileSync(blank).every((byte) => byte === 0));
  };
  await t.throwsAsync(restore({ force: false, cut: true }), { code: 'BACKUP_UNREACHABLE' });
  asBefore();
  const controller = new AbortController();
  const reason = new KeelsonError('INTERRUPTED', 'interrupted');
  const onProgress = (): void => controller.abort(reason);
  t.is(await t.throwsAsync(restore({ force: false, onProgress, signal: controller.signal })), reason);
  asBefore();
  await restore({ force: false });
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
