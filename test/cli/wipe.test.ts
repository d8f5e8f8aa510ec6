import test from 'ava';
import { CliRig } from './rig.js';

test('wipe shows what is on the device and asks for the name of its array; only that name wipes', async (t) => {
  const rig = new CliRig(t);
  for (const answer of ['', 'yes', 'y', 'VAULT', 'vault ']) {
    rig.answer = answer;
    t.is(await rig.run('wipe', '/dev/sdb'), 3, JSON.stringify(answer));
    t.is(rig.stdout, '/dev/sdb: member 2 (data) of array vault, uuid u-u-i-d, failed, last in epoch 7\n');
    t.regex(rig.stderr, /insist with --force/);
  }
  rig.answer = 'vault';
  t.is(await rig.run('wipe', '/dev/sdb'), 0);
  t.regex(rig.stdout, /\n\/dev\/sdb is wiped: create and replace take it\n$/);
});

test('wipe without a terminal is refused with exit 3, but for --force; --json never asks', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('wipe', '/dev/sdb'), 3);
  t.is(await rig.run('wipe', '/dev/sdb', '--force'), 0);
  t.notRegex(rig.stderr, /Type/);
  rig.answer = 'vault';
  t.is(await rig.run('wipe', '/dev/sdb', '--json'), 3);
  t.is(rig.stdout, '');
  t.is(await rig.run('wipe', '/dev/sdb', '--json', '--force'), 0);
  t.like(JSON.parse(rig.stdout), { path: '/dev/sdb', array: 'vault', uuid: 'u-u-i-d', member: 2, state: 'failed', epoch: 7, wiped: true });
});

test('of a device without the name of an array wipe asks for yes; a blank one is nothing to ask about', async (t) => {
  const rig = new CliRig(t);
  const none = { array: null, uuid: null, member: null, role: null, state: null, epoch: null };
  rig.engine.found = { ...none, holds: 'superblocks of different members' };
  rig.answer = 'yes';
  t.is(await rig.run('wipe', 'disk'), 0);
  rig.engine.found = null;
  t.is(await rig.run('wipe', '/dev/sdb'), 0);
  t.is(rig.stdout, '/dev/sdb is blank: nothing to wipe\n');
  t.is(await rig.run('wipe', '/dev/sdb', '--json'), 0);
  t.deepEqual(JSON.parse(rig.stdout), { path: '/dev/sdb', wiped: false });
});
