import { cpSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { drainedLsn } from '../../src/engine/backup-attach.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import type { BackupLink } from '../../src/engine/backup-link.js';
import { loadAddon } from '../../src/native/load.js';
import { targetFor } from '../../src/target/open-target.js';
import { Repository } from '../../src/repository/repository.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SMALL = { dataMembers: 3, parity: 1, journalMembers: 2, stripes: 8, chunkBytes: 8192 };
const WRITER = 77;

function codes({ engine }: ArrayFixture): string[] {
  return arrayStatus(engine).alarms.map(({ code }) => code);
}

function contents(folder: string): ReadonlyMap<string, Buffer> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

function repositoryIn(vault: string, memory: Uint8Array): Repository {
  const target = targetFor(`file://${vault}`, { identity: '', knownHosts: '' });
  return new Repository({ target, memory, checksums: loadAddon(), compression: 'none', passphrase: '' });
}

test('P3, P7, P10: what another process went on with is never taken for the array’s own, not even where it ends at an LSN of the ring; with the files of before the array goes on', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const vault = join(fixture.folder, 'vault');
  const model = new BlockModel(() => fixture.engine.volume, 8);
  await model.write(0, 4);
  await fixture.drain();
  const drained = drainedLsn(fixture.engine);
  await model.write(2, 4);
  fixture.engine.journal.close();
  const { journal, state, volumeBytes } = fixture.engine;
  const end = journal.table.lastLsn[journal.table.slotOf(journal.headSeq - 1)] as number;
  t.true(end > drained);

  // A copy of the array, started elsewhere: it comes to the very next epoch, and to the same LSN.
  const memory = new Uint8Array(BLOCK_BYTES);
  seededRandom(1).fill(memory);
  const crcs = new Uint32Array(1);
  loadAddon().crcRun(memory, 0, 0, 1, crcs, 0);
  const copy = repositoryIn(vault, memory);
  const identity = { arrayUuid: state.shape.arrayUuid, volumeBytes, create: false };
  await copy.open({ ...identity, epoch: state.epoch + 1, writer: WRITER });
  cpSync(vault, `${vault}-before`, { recursive: true });
  const one = { extents: 1, first: Float64Array.of(0), count: Float64Array.of(1), memory: Float64Array.of(0), crcs };
  const pieces = [one];
  await copy.publish({ firstLsn: drained + 1, lastLsn: end, time: 0, seed: false }, async () => pieces.pop() ?? null);
  const theirs = contents(vault);

  await t.throwsAsync(fixture.drain(), { code: 'BACKUP_FENCED' });
  t.true(codes(fixture).includes('BACKUP_FENCED'));
  t.true(await model.write(6, 2), 'the array goes on');

  await fixture.engine.stop();
  await fixture.start();
  t.is(fixture.engine.link?.lastError?.code, 'BACKUP_FENCED', 'the same epoch, and not the same process');
  t.deepEqual(contents(vault), theirs);
  t.is(drainedLsn(fixture.engine), drained);

  await fixture.engine.stop();
  await fixture.start();
  t.is(fixture.engine.link?.lastError?.code, 'BACKUP_AHEAD');
  t.true(codes(fixture).includes('BACKUP_MISMATCH'));
  t.is(drainedLsn(fixture.engine), drained);
  for (const [name, bytes] of contents(vault)) if (name.startsWith('segment-')) t.deepEqual(bytes, theirs.get(name));
  t.deepEqual((await model.verify()).wrong, []);

  await copy.close();
  await fixture.engine.stop();
  rmSync(vault, { recursive: true });
  renameSync(`${vault}-before`, vault);
  await fixture.start();
  t.is(fixture.engine.link?.lastError, null);
  t.deepEqual(
    codes(fixture).filter((code) => code.startsWith('BACKUP_')),
    [],
  );
  await fixture.drain();
  t.is(drainedLsn(fixture.engine), fixture.engine.journal.nextLsn - 1);
  const reader = repositoryIn(vault, memory);
  await reader.open({ ...identity, epoch: 0, readOnly: true });
  const whole = new Uint8Array(1);
  await reader.lookup(7, 1, whole);
  t.is(whole[0], 1, 'what was written while it was fenced is there');
  await reader.close();
  await fixture.close();
});

test('P3: what a process published without a member to record its cursor is known for the array’s own at the next start, which comes to the epoch that it could not raise', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const model = new BlockModel(() => fixture.engine.volume, 8);
  await model.write(0, 4);
  const { backup } = fixture.engine.link as BackupLink;
  const publish = backup.publish.bind(backup);
  backup.publish = async (...args) => {
    fixture.kill(fixture.paths.map((_, index) => index));
    return publish(...args);
  };
  await t.throwsAsync(fixture.drain());
  // It goes on to raise its epoch on members of which none is left.
  t.true(fixture.engine.state.epoch > fixture.engine.journal.epoch);
  await fixture.engine.link?.connect();
  await fixture.crash();
  await fixture.start();
  t.is(fixture.engine.link?.lastError, null);
  t.is(drainedLsn(fixture.engine), fixture.engine.journal.nextLsn - 1, 'the cursor follows what is there');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
