import test from 'ava';
import { STATUS } from '../control/fake-target.js';
import { served } from './rig.js';

for (const { state, answered, says, not } of [
  {
    state: 'unreachable',
    answered: null,
    says: /BACKUP UNREACHABLE[\s\S]*by the record of the array/,
    not: /everything is on the backup|backed up/,
  },
  {
    state: 'unreachable',
    answered: 90,
    says: /BACKUP UNREACHABLE[\s\S]*answered[\s\S]*1 min 30 s ago/,
    not: /everything is on the backup|backed up/,
  },
  {
    state: 'connecting',
    answered: null,
    says: /BACKUP NOT REACHED YET[\s\S]*not reached yet/,
    not: /everything is on the backup|backed up/,
  },
  { state: 'idle', answered: 1, says: /backed up[\s\S]*everything is on the backup/, not: /UNREACHABLE|NOT REACHED/ },
] as const) {
  test(`status of a backup that is ${state}, answered ${answered}: the words and the exit status agree`, async (t) => {
    const rig = await served(t);
    const drain = { ...STATUS.drain, undrainedBytes: 0, state, answeredSecondsAgo: answered };
    rig.engine.target.current = { ...STATUS, drain };
    const exit = state === 'idle' ? 0 : 4;
    t.is(await rig.run('status', '-c', rig.config), exit);
    t.regex(rig.stdout, says);
    t.notRegex(rig.stdout, not);
    t.is(await rig.run('status', '--json', '-c', rig.config), exit);
    rig.engine.target.current = { ...STATUS, state: 'failed', drain };
    t.is(await rig.run('status', '-c', rig.config), 5, 'what is worse counts');
  });
}
