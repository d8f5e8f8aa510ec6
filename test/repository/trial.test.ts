import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { tryRepository } from '../../src/repository/trial.js';
import { denied, noSpace, unreachable } from '../../src/target/target.js';
import { MemoryTarget } from '../target/memory-target.js';

const URL = 'memory://test';
const OURS = 'tmp-00000000-0000-4000-8000-000000000000';

async function holding(...names: string[]): Promise<MemoryTarget> {
  const target = new MemoryTarget();
  for (const name of names) await (await target.create(name)).close();
  return target;
}

test('a backup that takes, keeps and gives back a file is reached and written, and nothing stays there', async (t) => {
  const target = await holding();
  t.like(await tryRepository(target, '', true), { target: URL, reached: true, written: true, directory: 'there', error: null });
  t.is(target.files.size, 0);
});

test('asked without writing, nothing is changed there, and nothing is said to be written', async (t) => {
  const target = await holding();
  const asked: string[] = [];
  target.before = (operation) => void asked.push(operation.split(' ')[0] as string);
  t.like(await tryRepository(target, '', false), { reached: true, written: false });
  t.deepEqual(asked, ['open', 'list']);
});

test('what an earlier attempt left there is no trouble, and is not taken away', async (t) => {
  const target = await holding(OURS);
  t.like(await tryRepository(target, '', true), { written: true });
  t.deepEqual([...target.files.keys()], [OURS]);
});

for (const { title, names, code, exit } of [
  { title: 'something else', names: ['letter.txt'], code: 'BACKUP_FOREIGN', exit: 2 },
  { title: 'a repository', names: ['keelson-repository'], code: 'BACKUP_FOREIGN', exit: 3 },
  { title: 'a repository that is being replaced', names: ['keelson-repository.replaced'], code: 'BACKUP_FOREIGN', exit: 3 },
  { title: 'a damaged repository', names: ['segment-000000000001-00000001'], code: 'BACKUP_CORRUPT', exit: 3 },
]) {
  test(`a directory that holds ${title} is refused with ${exit}, and stays as it is`, async (t) => {
    const target = await holding(...names);
    for (const write of [true, false]) {
      const error = await t.throwsAsync(tryRepository(target, '', write), { instanceOf: KeelsonError });
      t.like(error, { code, exit });
    }
    t.deepEqual([...target.files.keys()], names);
  });
}

for (const operation of ['open', 'list', 'create', 'rename'] as const) {
  for (const { failure, code } of [
    { failure: () => unreachable(URL, 'no connection', 'gone'), code: 'BACKUP_UNREACHABLE' },
    { failure: () => noSpace(URL, 'full'), code: 'BACKUP_SPACE' },
  ]) {
    test(`${code} at ${operation} is in the result: not reached, not written, with the reason`, async (t) => {
      const target = await holding();
      target.before = (asked) => {
        if (asked.startsWith(operation)) throw failure();
      };
      t.like(await tryRepository(target, '', true), { reached: false, written: false, error: { code } });
    });
  }

  test(`a host that denies ${operation} is refused with 2 and the advice; when it is followed, the backup is taken`, async (t) => {
    const target = await holding();
    target.before = (asked) => {
      if (asked.startsWith(operation)) throw denied(URL, operation, 'permission denied');
    };
    const error = await t.throwsAsync(tryRepository(target, '', true), { instanceOf: KeelsonError });
    t.like(error, { code: 'BACKUP_DENIED', exit: 2, action: 'correct owner and mode of the directory on the backup host' });
    t.is(target.files.size, 0, 'what was written meanwhile is removed');
    target.before = () => undefined;
    t.like(await tryRepository(target, '', true), { written: true });
  });
}

test('a host that does not keep what it took is refused', async (t) => {
  const target = await holding();
  target.before = (asked) => {
    if (asked.startsWith('stat')) target.files.clear();
  };
  const error = await t.throwsAsync(tryRepository(target, '', true), { instanceOf: KeelsonError });
  t.like(error, { code: 'BACKUP_CORRUPT', exit: 3 });
});
