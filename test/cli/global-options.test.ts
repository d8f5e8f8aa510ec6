import test from 'ava';
import { served } from './rig.js';

const VERBS = [
  ['status'],
  ['flush'],
  ['drain'],
  ['drain', '--wait'],
  ['fail', '3', '--force'],
  ['replace', '1', '/dev/sdh'],
  ['rebuild'],
  ['rebuild', '--plan'],
];

for (const verb of VERBS) {
  test(`-c and --json say the same before and after the verb: ${verb.join(' ')}`, async (t) => {
    const rig = await served(t);
    const c = ['-c', rig.config];
    const outcomes: [number, unknown[]][] = [];
    for (const args of [
      [...verb, '--json', ...c],
      ['--json', ...c, ...verb],
      ['--config', rig.config, ...verb, '--json'],
      [`--config=${rig.config}`, '--json', ...verb],
    ]) {
      const status = await rig.run(...args);
      t.is(rig.stderr, '', args.join(' '));
      const lines = rig.stdout.trimEnd().split('\n');
      // The rate of a progress line is measured.
      outcomes.push([status, lines.map((line) => ({ ...(JSON.parse(line) as object), bytesPerSecond: 0, secondsLeft: 0 }))]);
    }
    for (const outcome of outcomes) t.deepEqual(outcome, outcomes[0]);
    t.is(outcomes[0]?.[0], 0);
  });
}

test('the last -c counts, and verbs without a configuration take it too', async (t) => {
  const rig = await served(t);
  t.is(await rig.run('-c', '/nowhere.toml', 'status', '-c', rig.config), 0);
  t.is(await rig.run('-c', rig.config, 'status', '-c', '/nowhere.toml'), 2);
  t.is(await rig.run('-c', rig.config, 'inspect', '/dev/sdb'), 0);
});

test('every verb takes --json, and prints only JSON then', async (t) => {
  const rig = await served(t);
  for (const verb of [['create'], ['restore'], ['inspect', '/dev/sdb'], ...VERBS, ['stop']]) {
    await rig.run(...verb, '--json', '-c', rig.config);
    t.not(rig.stdout, '', verb.join(' '));
    for (const line of rig.stdout.trimEnd().split('\n')) t.notThrows(() => JSON.parse(line), `${verb.join(' ')}: ${line}`);
  }
});
