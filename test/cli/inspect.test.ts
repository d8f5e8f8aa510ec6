import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadEngine } from '../../src/cli/engine.js';
import { CliRig } from './rig.js';

const MIB = 2 ** 20;

/** Real devices behind the verb. */
async function inspecting(rig: CliRig): Promise<CliRig> {
  const { inspectDevice, createArray } = await loadEngine();
  rig.engine.inspectDevice = inspectDevice;
  rig.engine.createArray = createArray;
  return rig;
}

function blank(rig: CliRig, name: string, bytes: number): string {
  const path = join(rig.folder, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

for (const bytes of [0, 512, 64 * 1024, 64 * MIB]) {
  test(`inspect of an empty device of ${bytes} bytes says in a line that it is no member, in the next what was found, and fails`, async (t) => {
    const rig = await inspecting(new CliRig(t));
    const path = blank(rig, 'blank', bytes);
    t.is(await rig.run('inspect', path), 1);
    t.is(rig.stdout, '');
    t.regex(
      rig.stderr,
      new RegExp(`^keelson: ${path} is no member of an array \\(NOT_A_MEMBER\\)\n {2}found: +nothing that is recognised`),
    );
    t.is(rig.stderr.trimEnd().split('\n').length, 3);
    t.is(await rig.run('inspect', path, '--json'), 1);
    t.like(JSON.parse(rig.stderr), { error: { code: 'NOT_A_MEMBER' } });
    t.is(rig.stdout, '');
  });
}

test('inspect of a device with something else says what it recognises', async (t) => {
  const rig = await inspecting(new CliRig(t));
  const path = blank(rig, 'swap', 64 * MIB);
  const bytes = Buffer.alloc(64 * MIB);
  bytes.write('SWAPSPACE2', 4086);
  writeFileSync(path, bytes);
  t.is(await rig.run('inspect', path), 1);
  t.regex(rig.stderr, /found: +swap space on 64\.0 MiB/);
});

test('inspect of a member prints its superblock and ends with 0; of one with damaged superblocks what can be read, and fails', async (t) => {
  const toml = 'name = "v"\n[stripe]\nmembers = ["a", "b", "c"]\nmemberSize = "128MiB"\nparity = 1\n[journal]\nsize = "64MiB"\n';
  const rig = await inspecting(new CliRig(t, toml));
  t.is(await rig.run('create', '-c', rig.config), 0, rig.stderr);
  const path = join(rig.folder, 'a');
  t.is(await rig.run('inspect', path), 0, rig.stderr);
  t.regex(rig.stdout, /^superblock:$/m);
  t.is(rig.stderr, '');
  // All four copies begin with the magic number and hold nothing else that is right.
  const damaged = blank(rig, 'damaged', 64 * MIB);
  const bytes = Buffer.alloc(64 * MIB);
  for (const offset of [0, 4096, 64 * MIB - 8192, 64 * MIB - 4096]) bytes.write('KEELSON', offset);
  writeFileSync(damaged, bytes);
  t.is(await rig.run('inspect', damaged), 1);
  t.regex(rig.stdout, /code: SUPERBLOCK_CORRUPT/);
});
