import test from 'ava';
import { progressLine } from '../../src/cli/progress-display.js';
import { served } from './rig.js';

const FIGURES = { task: 'restore', doneBytes: 2 ** 29, totalBytes: 2 ** 30, bytesPerSecond: 2 ** 25, secondsLeft: 16 };

test('on a wide terminal there is everything: percent, time left, amount, rate, bar', (t) => {
  t.is(progressLine(FIGURES, 120), `restore 50 %  16 s left  512 MiB of 1.00 GiB  32.0 MiB/s  [${'='.repeat(20)}${' '.repeat(20)}]`);
});

test('the line fits into every terminal, and the time left stays longest beside the percent', (t) => {
  for (let columns = 15; columns <= 200; columns++) t.true(progressLine(FIGURES, columns).length < columns, String(columns));
  t.is(progressLine(FIGURES, 40), 'restore 50 %  16 s left  32.0 MiB/s');
  t.is(progressLine(FIGURES, 20), 'restore 50 %');
});

test('work of nothing is done, and more than all is no more than all', (t) => {
  t.regex(progressLine({ ...FIGURES, doneBytes: 0, totalBytes: 0, secondsLeft: null }, 80), /^restore 100 %/);
  t.regex(progressLine({ ...FIGURES, doneBytes: 2 ** 31 }, 120), /\[={40}\]$/);
});

const GOES_ON = 'the server goes on with it; keelson status shows how far it is';

for (const [verb, advice] of [
  [['drain', '--wait'], GOES_ON],
  [['replace', '1', '/dev/sdh'], GOES_ON],
] as const) {
  test(`ctrl-C in ${verb.join(' ')} says what becomes of the work, and ends with 130`, async (t) => {
    const rig = await served(t);
    const interrupt = (): void => rig.signal('SIGINT');
    rig.engine.restoring = interrupt;
    Object.defineProperty(rig.engine.target, 'gate', { get: interrupt });
    await rig.run(...verb, '-c', rig.config);
    t.deepEqual(rig.exits, [130]);
    t.is(rig.stderr, `keelson: interrupted: ${advice}\n`);
    await rig.run(...verb, '--json', '-c', rig.config);
    t.like(JSON.parse(rig.stderr), { error: { code: 'INTERRUPTED', message: `interrupted: ${advice}`, exit: 130 } });
  });
}

test('ctrl-C in restore ends it early, so that it takes back what it made, and ends with 130; a second one ends it at once', async (t) => {
  const rig = await served(t);
  let signals = 1;
  rig.engine.restoring = () => {
    for (let i = 0; i < signals; i++) rig.signal('SIGINT');
  };
  t.is(await rig.run('restore', '-c', rig.config), 130);
  t.regex(rig.stderr, /interrupted: what was made is taken back \(INTERRUPTED\)/);
  t.deepEqual(rig.exits, []);
  signals = 2;
  await rig.run('restore', '-c', rig.config);
  t.deepEqual(rig.exits, [130]);
});
