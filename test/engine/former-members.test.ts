import { copyFileSync, renameSync, rmSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { createBackupClient } from '../../src/drain/backup-client.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import { restoreArray } from '../../src/engine/restore-array.js';
import { ArrayFixture, SILENT } from './array-fixture.js';
import { BlockModel } from './block-model.js';

/** An array that was restored onto new devices and went on from there, and its former members, which had seen more changes of the membership than the backup knows of. */
async function restored(t: ExecutionContext): Promise<{ fixture: ArrayFixture; model: BlockModel; former: string[] }> {
  const fixture = await ArrayFixture.create(t, { stripes: 6, segments: 12 });
  const { settings, paths } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.fill();
  await fixture.drain();
  for (const index of [1, 2]) {
    rmSync(paths[index] as string);
    await replaceMember(fixture.engine, String(index), paths[index] as string);
    await fixture.engine.rebuild.wait();
  }
  await fixture.engine.stop();
  const former = paths.map((path) => `${path}.former`);
  for (const path of paths) renameSync(path, `${path}.former`);
  const url = settings.backup?.target.url ?? '';
  await restoreArray({
    settings,
    force: false,
    clock: systemClock,
    log: SILENT,
    provider: createDeviceProvider,
    backup: (slab) => createBackupClient({ slab, url, identity: '', knownHosts: '', compression: 'none', passphrase: '' }),
    onProgress: () => {},
  });
  await fixture.start();
  for (let block = 0; block < 40; block += 3) await model.write(block, 2);
  await model.flush();
  await fixture.engine.stop();
  return { fixture, model, former };
}

test.serial(
  'P10: members from before a restore that come back, stripe and journal members, take no part in the restored array',
  async (t) => {
    const { fixture, model, former } = await restored(t);
    const returned = [0, 3, 6];
    for (const index of returned) copyFileSync(former[index] as string, fixture.paths[index] as string);
    await fixture.start();
    const { members } = fixture.engine.state;
    const out = members.flatMap((member, index) => (member?.state === 'online' ? [] : [index]));
    t.deepEqual(out, returned);
    const { wrong, unreadable } = await model.verify();
    t.deepEqual([wrong, unreadable.size], [[], 0]);
    await fixture.close();
  },
);

test.serial('P10: where most devices are from before a restore nothing is served from them', async (t) => {
  const { fixture, model, former } = await restored(t);
  const away = [0, 1, 2, 3, 4, 7];
  for (const index of away) {
    renameSync(fixture.paths[index] as string, `${fixture.paths[index]}.away`);
    copyFileSync(former[index] as string, fixture.paths[index] as string);
  }
  // What the backup has not, the journal member that is left has.
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  t.true(fixture.engine.state.members.every((member, index) => (member?.state === 'online') === !away.includes(index)));
  await fixture.close();
});
