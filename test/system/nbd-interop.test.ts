import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { MIB } from '../../src/base/units.js';
import { NbdServer } from '../../src/nbd/server.js';
import { buildImage, foreign, nbdinfo, nbdmap } from '../nbd/foreign-client.js';
import { RamVolume } from '../nbd/ram-volume.js';

/**
 * Other projects' NBD clients against the front end. KEELSON_NBD_URI points the same tests at a server that runs already: its volume is
 * overwritten. Without it a volume in memory is served. Needs the Debian packages fio, libnbd-bin and qemu-utils.
 */
const GIVEN = process.env.KEELSON_NBD_URI;
const scratch = mkdtempSync(join(tmpdir(), 'keelson-interop-'));
const imagePath = join(scratch, 'image');
const outPath = join(scratch, 'out');
let server: NbdServer | null = null;
let volume: RamVolume | null = null;
let uri = GIVEN ?? '';
let sizeBytes = 0;

test.before(async () => {
  if (GIVEN === undefined) {
    volume = new RamVolume({ name: 'vault', sizeBytes: 256 * MIB });
    volume.recording = false;
    server = await NbdServer.start({ volume, addresses: [`unix:${join(scratch, 'nbd.sock')}`, 'tcp:127.0.0.1:0'] });
    uri = server.uris()[0] ?? '';
  }
  sizeBytes = Number(await foreign('nbdinfo', '--size', uri));
  buildImage(imagePath, Math.min(sizeBytes, 512 * MIB), sizeBytes);
});

test.after.always(async () => {
  await server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

test.serial('nbdinfo shows every ability the interface promises', async (t) => {
  const info = await nbdinfo(uri);
  t.is(info.protocol, 'newstyle-fixed');
  t.true(info.structured);
  const [found] = info.exports;
  t.like(found, {
    is_read_only: false,
    is_rotational: false,
    can_cache: true,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 1,
    block_size_preferred: 4096,
    block_size_maximum: 32 * MIB,
  });
  t.deepEqual([...(found?.contexts ?? [])].sort(), ['base:allocation', 'x-keelson:undrained']);
});

test.serial('nbdinfo lists the export', async (t) => {
  const listed = await foreign('nbdinfo', '--list', uri);
  t.regex(listed, /export="[^"]+"/);
});

test.serial('a disk image copied in and out by nbdcopy is identical, and qemu-img compare agrees', async (t) => {
  await foreign('nbdcopy', '--flush', imagePath, uri);
  await foreign('nbdcopy', uri, outPath);
  await foreign('cmp', imagePath, outPath);
  rmSync(outPath);
  const compared = await foreign('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', imagePath, uri);
  t.regex(compared, /Images are identical/);
});

test.serial('the map covers the whole volume in order, for both contexts', async (t) => {
  for (const context of ['base:allocation', 'x-keelson:undrained']) {
    let at = 0;
    for (const extent of await nbdmap(uri, context)) {
      t.is(extent.offset, at);
      at += extent.length;
    }
    t.is(at, sizeBytes);
  }
});

test.serial('qemu-io writes, discards and zeroes what it says, at odd places too', async (t) => {
  const commands = [
    'write -P 0xab 0 256k',
    'write -P 0xcd -f 65537 1023',
    'read -P 0xab 0 65536',
    'read -P 0xcd 65537 1023',
    'read -P 0xab 66560 195584',
    'write -z 128k 64k',
    'read -P 0 128k 64k',
    'write -z -u 0 64k',
    'discard 64k 64k',
    'read -P 0 0 192k',
    'flush',
  ];
  const printed = await foreign('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri);
  t.notRegex(printed, /failed|error/i);
});

test.serial('qemu-img convert in and out is identical', async (t) => {
  await foreign('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', imagePath, uri);
  t.regex(await foreign('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', imagePath, uri), /Images are identical/);
});

test.serial('fio finds no wrong block after random writes of 4 KiB to 1 MiB at depth 32', async (t) => {
  const job = [
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=randwrite',
    '--bsrange=4k-1m',
    '--iodepth=32',
    '--verify=crc32c',
    '--verify_fatal=1',
  ];
  const printed = await foreign(
    'fio',
    '--name=verify',
    '--verify_state_save=0',
    ...job,
    `--size=${Math.min(sizeBytes, 192 * MIB)}`,
    '--output-format=json',
  );
  const report = JSON.parse(printed.slice(printed.indexOf('{'))) as {
    jobs: { error: number; read: { total_ios: number }; write: { total_ios: number } }[];
  };
  t.is(report.jobs[0]?.error, 0);
  t.true((report.jobs[0]?.write.total_ios ?? 0) > 0);
  t.is(report.jobs[0]?.read.total_ios, report.jobs[0]?.write.total_ios);
});

test.serial('over TCP the same volume is seen', async (t) => {
  const tcp = server?.uris()[1];
  if (tcp === undefined) {
    t.pass('the given server has the one address');
    return;
  }
  await foreign('nbdcopy', '--flush', imagePath, tcp);
  t.regex(await foreign('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', imagePath, uri), /Images are identical/);
});

test.serial('foreign clients left no fault, no request and no payload behind', (t) => {
  if (server === null || volume === null) {
    t.pass('only known of our own server');
    return;
  }
  const gauges = server.gauges();
  t.deepEqual(
    [gauges.connectionsFaultedTotal, gauges.requestErrorsTotal, gauges.requestsInFlight, gauges.payloadBytes, volume.payloadsOut],
    [0, 0, 0, 0, 0],
  );
});
