import { cpSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { arrayStatus } from '../../src/engine/array-status.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

for (const [what, keptFirst] of [
  ['a part of what the ring holds', true],
  ['nothing of what the ring holds', false],
] as const) {
  test.serial(
    `P3, P9: a backup host that is put back, and then has ${what}, gets the rest again, though the array crashes as soon as it knows`,
    async (t) => {
      const fixture = await ArrayFixture.create(t, { dataMembers: 3, parity: 1, stripes: 8, chunkBytes: 8192 });
      const { engine } = fixture;
      const { journal, link } = engine;
      if (link === null) return t.fail('the array has a backup');
      const vault = join(fixture.folder, 'vault');
      const model = new BlockModel(() => fixture.engine.volume, engine.state.geometry.volumeBlocks);
      const write = async (first: number): Promise<void> => {
        t.true(await model.write(first, 2, 'data', true));
        journal.close();
      };
      await write(0);
      await fixture.drain();
      t.true(await engine.destageLoop.drainAll());
      // What is not destaged stays in the ring, drained or not.
      engine.destageLoop.kick = () => {};
      const tail = journal.headSeq;
      t.is(journal.tailSeq, tail);
      if (!keptFirst) cpSync(vault, `${vault}-older`, { recursive: true });
      await write(2);
      await fixture.drain();
      if (keptFirst) cpSync(vault, `${vault}-older`, { recursive: true });
      await write(4);
      await fixture.drain();
      t.deepEqual([journal.tailSeq, journal.drainedSeq], [tail, tail + 2]);

      rmSync(vault, { recursive: true });
      cpSync(`${vault}-older`, vault, { recursive: true });
      await write(6);
      await t.throwsAsync(fixture.drain(), { code: 'BACKUP_CHANGED' });
      t.true(await link.connect());
      t.is(journal.drainedSeq, keptFirst ? tail + 1 : tail, 'it is counted from there again');
      for (const path of fixture.paths) cpSync(path, `${path}-crash`);
      await engine.stop();
      for (const path of fixture.paths) renameSync(`${path}-crash`, path);
      rmSync(vault, { recursive: true });
      renameSync(`${vault}-older`, vault);

      // Recovery destages all of it: what is not drained has to stay.
      await fixture.start();
      t.is(fixture.engine.link?.lastError?.code, undefined, 'the ring has what the backup goes on from');
      t.is(fixture.engine.journal.drainedSeq, keptFirst ? tail + 1 : tail);
      await fixture.drain();
      t.is(arrayStatus(fixture.engine).drain.undrainedBytes, 0);
      await fixture.restore();
      t.deepEqual((await model.verify()).wrong, []);
      await fixture.close();
    },
  );
}
