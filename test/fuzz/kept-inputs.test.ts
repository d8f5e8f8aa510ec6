import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { parseSettings } from '../../src/config/load-settings.js';
import { startControlServer } from '../../src/control/control-server.js';
import { writeDevice } from '../../src/device/promise-io.js';
import { decodeBatch, ENTRY_ZERO, putEntry, sealBatch } from '../../src/journal/batch-format.js';
import { inspectDevice } from '../../src/member/inspect.js';
import { SUPERBLOCK_BYTES } from '../../src/member/layout.js';
import { decodeSuperblock, encodeSuperblock } from '../../src/member/superblock.js';
import { regionView } from '../../src/memory/slab-region.js';
import { loadAddon } from '../../src/native/load.js';
import { decodeHead, encodeHead } from '../../src/repository/format/head.js';
import { seal } from '../../src/repository/format/sealed-file.js';
import { FakeTarget } from '../control/fake-target.js';
import { memberBench, SHAPE, superblockOf } from '../member/array-fixture.js';
import { MemoryTarget } from '../target/memory-target.js';
import { READER, repositoryOn, writer } from '../repository/rig.js';

/** What the fuzzers of this folder found, each as the shortest input that shows it. */

test('a batch header with a right checksum over numbers of 2^53 and more is no header', (t) => {
  const { crc32c } = loadAddon();
  for (const field of [16, 24, 40, 48]) {
    const memory = Buffer.alloc(BLOCK_BYTES);
    const view = new DataView(memory.buffer, memory.byteOffset, BLOCK_BYTES);
    putEntry(view, 0, 0, ENTRY_ZERO, 0, 5, 1);
    const header = {
      arrayTag: 1,
      epoch: 3,
      seq: 77,
      at: 0,
      firstLsn: 10,
      flushedLsn: 9,
      chain: 0,
      entries: 1,
      payloadBlocks: 0,
      remade: null,
    };
    sealBatch(view, memory, 0, header, new Uint32Array(0), 0);
    t.not(decodeBatch(view, memory, 0, 1, 256), null);
    memory.writeUInt32LE(0x20_0000, field + 4);
    memory.writeUInt32LE(0, 8);
    memory.writeUInt32LE(crc32c(memory, 0, BLOCK_BYTES, 0), 8);
    t.is(decodeBatch(view, memory, 0, 1, 256), null, `the field at ${field}`);
  }
});

test('a superblock and a HEAD with a right checksum over a text that is not UTF-8 are refused: written again they would not fit', (t) => {
  const superblock = Buffer.from(encodeSuperblock(superblockOf(0)));
  const name = superblock.indexOf(superblockOf(0).shape.name);
  t.true(name > 0);
  superblock.fill(0xff, name, name + 64);
  superblock.writeUInt32LE(loadAddon().crc32c(superblock, 0, SUPERBLOCK_BYTES - 4, 0), SUPERBLOCK_BYTES - 4);
  t.throws(() => decodeSuperblock(superblock), { code: 'SUPERBLOCK_INVALID' });
  const head = encodeHead(
    {
      arrayUuid: 'a',
      volumeBytes: BLOCK_BYTES,
      epoch: 1,
      segment: 0,
      segmentEpoch: 0,
      segmentHash: new Uint8Array(32),
      headLsn: 0,
      firstSegment: 0,
      storedBytes: 0,
      time: 0,
    },
    null,
  );
  const body = Uint8Array.from(head.subarray(16, -64));
  t.is(decodeHead('HEAD', seal('KLSNHEAD', body, null), null).arrayUuid, 'a');
  body.fill(0xff, 0, 40);
  t.throws(() => decodeHead('HEAD', seal('KLSNHEAD', body, null), null), { code: 'BACKUP_CORRUPT' });
});

test('a HEAD with a right digest over a magic that is no text is refused as damaged', (t) => {
  const file = seal('KLSNHEAD', new Uint8Array(144), null);
  file.fill(0xff, 0, 8);
  const covered = file.length - 64;
  file.set(createHash('sha256').update(file.subarray(0, covered)).digest(), covered);
  t.throws(() => decodeHead('HEAD', file, null), { code: 'BACKUP_CORRUPT' });
});

test('a path that cannot be looked at is a mistake of the configuration with its line', (t) => {
  const members = (path: string): string => `name = "v"\n[stripe]\nmembers = ["${path}", "/b", "/c"]\nparity = 1\nmemberSize = "1GiB"\n`;
  for (const path of [`/dev/${'x'.repeat(300)}`, `/${'y/'.repeat(5000)}`]) {
    const error = t.throws(() => parseSettings(members(path), '/k.toml'), { code: 'CONFIG' });
    t.regex(error?.message ?? '', /k\.toml:3: stripe\.members\[0\]: found .*ENAMETOOLONG/);
  }
});

test('a control request that is not JSON is the fault of who sent it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-control-'));
  const socketPath = join(folder, 'ctl');
  const server = await startControlServer({ target: new FakeTarget(), socket: socketPath, http: null, onStop: () => t.fail() });
  t.teardown(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [type, body] of [
    ['application/json', '{"wait":tru'],
    ['application/json', 'x'.repeat(70_000)],
    ['text/csv', 'a,b'],
  ] as const) {
    const answer = await new Promise<[number, string]>((resolve, reject) => {
      const asked = request({ socketPath, path: '/drain', method: 'POST', headers: { 'content-type': type } }, (response) => {
        response.setEncoding('utf8');
        let text = '';
        response.on('data', (piece: string) => {
          text += piece;
        });
        response.on('end', () => resolve([response.statusCode ?? 0, text]));
      });
      asked.on('error', reject);
      asked.end(body);
    });
    t.is(answer[0], 400, type);
    t.is((JSON.parse(answer[1]) as { code: string }).code, 'CONTROL_REQUEST');
  }
});

test('a superblock over zones larger than its device is told by inspect, and no memory is taken for them', async (t) => {
  const bench = memberBench(t);
  // The largest that the format has.
  const shape = { ...SHAPE, stripes: 2 ** 24, chunkBytes: MIB };
  const superblock = superblockOf(0, { shape });
  const device = await bench.device('member', MIB);
  regionView(bench.region, 0, SUPERBLOCK_BYTES).set(encodeSuperblock(superblock));
  await writeDevice(device, bench.region.offset, 0, SUPERBLOCK_BYTES);
  const found = await inspectDevice(device, bench.region);
  t.is(found.error?.code, 'MEMBER_SHRUNK');
  t.is(found.superblock?.shape.stripes, 2 ** 24);
  t.is(found.integrity, null);
});

test('a HEAD over a volume of 2^53 bytes is opened without memory for it, and one over parts of blocks is refused', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open(writer(1));
  await repository.close();
  const [name, file] = [...target.files].find(([each]) => each.startsWith('HEAD-')) as [string, { bytes: Buffer }];
  const head = decodeHead(name, file.bytes, null);
  file.bytes = Buffer.from(encodeHead({ ...head, volumeBytes: 2 ** 53 - BLOCK_BYTES }, null));
  const before = process.memoryUsage().arrayBuffers;
  const reader = repositoryOn(target);
  await reader.open(READER);
  t.deepEqual(await reader.allocated(0, 10), new Float64Array(0));
  await reader.close();
  t.true(process.memoryUsage().arrayBuffers - before < 64 * MIB);
  file.bytes = Buffer.from(encodeHead({ ...head, volumeBytes: BLOCK_BYTES + 1 }, null));
  await t.throwsAsync(reader.open(READER), { code: 'BACKUP_CORRUPT' });
});

test('a bad %-escape in the URL of a backup is a mistake of the configuration with its line', (t) => {
  const members = 'name = "v"\n[stripe]\nmembers = ["/a", "/b", "/c"]\nparity = 1\nmemberSize = "1GiB"\n[backup]\n';
  for (const url of ['sftp://%zz@host/path', 'sftp://user@host/%zz']) {
    const error = t.throws(() => parseSettings(`${members}url = "${url}"\n`, '/k.toml'), { code: 'CONFIG' });
    t.regex(error?.message ?? '', /k\.toml:7: backup\.url: .*bad %-escape/);
  }
});
