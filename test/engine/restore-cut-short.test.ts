import { rmSync } from 'node:fs';
import test from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { createBackupClient } from '../../src/drain/backup-client.js';
import { restoreArray } from '../../src/engine/restore-array.js';
import type { Slab } from '../../src/memory/slab.js';
import type { Backup } from '../../src/repository/backup.js';
import { ArrayFixture, SILENT } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test.serial('P7: an array whose restore was cut short is not served; a restore that ends makes it whole', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const { settings } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.fill();
  await fixture.drain();
  await fixture.engine.stop();
  for (const path of fixture.paths) rmSync(path);

  const client = (slab: Slab): Backup =>
    createBackupClient({ slab, url: settings.backup?.target.url ?? '', identity: '', knownHosts: '', compression: 'none', passphrase: '' });
  const restore = (backup: (slab: Slab) => Backup): Promise<unknown> =>
    restoreArray({ settings, force: true, clock: systemClock, log: SILENT, provider: createDeviceProvider, backup, onProgress: () => {} });
  let reads = 0;
  await t.throwsAsync(
    restore((slab) => {
      const backup = client(slab);
      const read = backup.read.bind(backup);
      backup.read = async (blocks, into, crcs) => {
        if (++reads > 1) throw new KeelsonError('BACKUP_UNREACHABLE', 'cut short');
        return read(blocks, into, crcs);
      };
      return backup;
    }),
    { code: 'BACKUP_UNREACHABLE' },
  );
  await t.throwsAsync(fixture.start(), { code: 'RESTORE_UNFINISHED' });
  await restore(client);
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
