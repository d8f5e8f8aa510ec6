import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { MIB } from '../../src/base/units.js';
import type { ArrayPlan } from '../../src/engine/array-plan.js';
import { scratchFolder } from '../device/scratch-files.js';
import { ROOT } from '../house/source-files.js';
import { CliRig } from './rig.js';

const MAIN = join(ROOT, 'dist/src/cli/main.js');

/** keelson in a process of its own, in a folder with this configuration. */
function keelson(folder: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

function folderWith(t: ExecutionContext, toml: string): string {
  const folder = scratchFolder(t);
  writeFileSync(join(folder, 'keelson.toml'), toml);
  return folder;
}

test('create --dry-run prints what goes where, what is left and the memory, and makes nothing; create then makes just that', (t) => {
  const folder = folderWith(t, 'name = "small"\n[stripe]\nmembers = ["a", "b", "c", "d", "e", "f"]\nmemberSize = "64MiB"\n');
  const dry = keelson(folder, 'create', '--dry-run');
  t.is(dry.status, 0, dry.stderr);
  t.regex(dry.stdout, /^would create small: 6 members, volume of 2\d\d MiB\n/);
  t.regex(dry.stdout, /\n {2}journal {2}8MiB on each stripe member: 8 segments of 1MiB, each written to 2 of them; fitted/);
  t.regex(dry.stdout, /\n {2}memory {3}serve takes up to \d+MiB = slab 256MiB \+ checksums/);
  t.regex(dry.stdout, /\n {2}0 +both +64\.0 MiB .* 8\.00 MiB .*\/a\n/);
  t.deepEqual(readdirSync(folder), ['keelson.toml']);

  const plan = JSON.parse(keelson(folder, 'create', '--dry-run', '--json').stdout) as ArrayPlan & { dryRun: boolean };
  t.true(plan.dryRun);
  t.deepEqual(readdirSync(folder), ['keelson.toml']);
  t.true(plan.volumeBytes > 200 * MIB && plan.volumeShare > 0.5);

  const made = JSON.parse(keelson(folder, 'create', '--json').stdout) as { volumeBytes: number; plan: ArrayPlan };
  t.is(made.volumeBytes, plan.volumeBytes);
  t.deepEqual({ dryRun: true, ...made.plan }, plan);
});

test('create --dry-run refuses what create refuses, with the same words', (t) => {
  const folder = folderWith(t, 'name = "small"\n[stripe]\nmembers = ["a", "b", "c"]\nmemberSize = "16MiB"\n[memory]\nslab = "64MiB"\n');
  const dry = keelson(folder, 'create', '--dry-run');
  t.is(dry.status, 2);
  t.regex(dry.stderr, /SLAB_TOO_SMALL/);
  const real = keelson(folder, 'create');
  t.is(real.stderr, dry.stderr);
  t.deepEqual(readdirSync(folder), ['keelson.toml'], 'a plan that does not stand makes no files');
});

test('create prints the layout of what it made', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('create', '-c', rig.config), 0);
  t.regex(rig.stdout, /^created vault: .*\n {2}volume .*\n {2}journal .*\n {2}memory .*\n\n {2}# +role +size/);
  t.is(await rig.run('create', '--dry-run', '-c', rig.config), 0);
  t.deepEqual(rig.engine.calls, ['create false'], 'a dry run is no create');
});
