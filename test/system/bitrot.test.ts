import { cpSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { KIB, MIB } from '../../src/base/units.js';
import { ArrayRig, differs, takeImage } from './rig/array.js';
import { churn } from './rig/churn.js';
import { flipBits, memberZones, type Zone } from './rig/member-zones.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

interface Context {
  scratch: Scratch;
  array: ArrayRig;
  members: string[];
  image: string;
}
const test = anyTest as TestFn<Context>;

const MEMBER_BYTES = 64 * MIB;
const RANGE = 96 * MIB;
const BLOCK = 4 * KIB;
/** Generation and epoch of a superblock and of a checkpoint, raised by 256: whoever believes it takes it for the newest of all. */
const NEWEST = [25, 33];
/** The first stripes of the bitmap, which lies behind header and member table of a checkpoint. */
const BITMAP_AT = 2 * BLOCK;
const BITMAP_START = Array.from({ length: 16 }, (_, i) => i);

test.beforeEach((t) => {
  const scratch = new Scratch();
  const members = [0, 1, 2, 3, 4, 5].map((i) => join(scratch.memory, `data-${i}`));
  const journal = [0, 1].map((i) => join(scratch.memory, `journal-${i}`));
  const array = new ArrayRig(scratch, {
    stripeMembers: members,
    journalMembers: journal,
    memberSize: `${MEMBER_BYTES / MIB}MiB`,
    journalSize: '32MiB',
  });
  t.context = { scratch, array, members: [...members, ...journal], image: join(scratch.memory, 'image') };
});
test.afterEach.always((t) => t.context.scratch.close());

/** Fills the array and leaves it stopped: cleanly, or killed with its newest writes only in the journal. Keeps what it must read as. */
async function fill(t: ExecutionContext<Context>, seed: number, end: 'stop' | 'kill'): Promise<void> {
  const { array, image } = t.context;
  await array.create();
  const server = await array.serve();
  await churn(array.uri, { seed, bytes: 64 * MIB, range: RANGE });
  if (end === 'kill') await churn(array.uri, { seed: seed + 1, bytes: 4 * MIB, range: RANGE });
  await takeImage(array, image);
  if (end === 'stop') await server.stop();
  else await server.kill();
}

function keep(t: ExecutionContext<Context>): () => void {
  const { scratch, members } = t.context;
  const folder = join(scratch.memory, 'kept');
  mkdirSync(folder);
  const kept = members.map((member, i) => ({ member, copy: join(folder, String(i)) }));
  for (const { member, copy } of kept) cpSync(member, copy);
  return () => {
    for (const { member, copy } of kept) cpSync(copy, member);
  };
}

/** What a damaged array answers: everything right, or it refuses to serve. Anything else is the failure this file looks for. */
async function verdict(
  array: ArrayRig,
  image: string,
): Promise<{ answer: 'right' | 'refused' | 'wrong'; detail: string; checksumErrors: number }> {
  const server = array.spawn();
  try {
    await server.ready();
  } catch (error) {
    return { answer: 'refused', detail: error instanceof Error ? error.message : String(error), checksumErrors: 0 };
  }
  const difference = await differs(array, image).catch((error: unknown) => String(error));
  const status = await array.status();
  await server.kill();
  return {
    answer: difference === '' ? 'right' : 'wrong',
    detail: difference,
    checksumErrors: status.members.reduce((sum, member) => sum + member.checksumErrors, 0),
  };
}

for (const end of ['stop', 'kill'] as const) {
  test.serial(
    `bits flipped in any zone of one member of an array that was ${end === 'stop' ? 'stopped' : 'killed'}: everything reads right`,
    async (t) => {
      t.timeout(240_000);
      const seed = SYSTEM_SEED % 1_000_000;
      t.log(`seed ${seed}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats it`);
      const random = seededRandom(seed);
      const below = (bound: number): number => random.below(bound);
      const { array, members, image } = t.context;
      await fill(t, seed, end);
      const reset = keep(t);
      const cases: { member: string; zones: readonly Zone[]; step: number; counts: boolean }[] = [];
      // Of checkpoints alike the first member's counts.
      const victims = [members[end === 'stop' ? 0 : below(6)] as string, members[6 + below(2)] as string];
      for (const member of victims) {
        const zones = await memberZones(array, member);
        const pair = { length: 2 * BLOCK, telling: [...NEWEST, ...NEWEST.map((at) => BLOCK + at)] };
        const first: Zone = { name: 'first superblocks', offset: 0, ...pair };
        const last: Zone = { name: 'last superblocks', offset: statSync(member).size - 2 * BLOCK, ...pair };
        const bitmap = ({ name, offset }: Zone): Zone => ({
          name: `bitmap of the ${name}`,
          offset: offset + BITMAP_AT,
          length: BLOCK,
          telling: BITMAP_START,
        });
        const checkpointA = { ...zones.checkpointA, telling: NEWEST };
        const checkpointB = { ...zones.checkpointB, telling: NEWEST };
        const plain = [
          [first],
          [last],
          [first, last],
          [checkpointA],
          [bitmap(checkpointA), bitmap(checkpointB)],
          [checkpointA, checkpointB],
          [zones.integrity],
          [zones.journal],
          [zones.data],
        ];
        for (const set of plain) {
          if (set.some((zone) => zone.length === 0)) continue;
          // Small structures get a flip in every page, so that it cannot miss; the large zones one in every chunk.
          const small = set.every((zone) => zone.length <= 2 * MIB);
          cases.push({ member, zones: set, step: small ? 512 : 64 * KIB, counts: set[0] === zones.data });
        }
      }
      const failures: string[] = [];
      for (const { member, zones, step, counts } of cases) {
        const flips = zones.reduce((sum, zone) => sum + flipBits(member, zone, below, step), 0);
        const what = `${flips} bits in ${zones.map((zone) => zone.name).join(' and ')} of ${member}`;
        const { answer, detail, checksumErrors } = await verdict(array, image);
        if (answer !== 'right') failures.push(`${what}: ${answer}: ${detail}`);
        else if (counts && checksumErrors === 0) failures.push(`${what}: the damage is not counted`);
        reset();
        // The timeout begins anew: it is for one case that hangs, not for the speed of the machine.
        t.pass();
      }
      t.deepEqual(failures, []);
    },
  );
}

test.serial('bits flipped in the data of more members than parity covers: an error or the right bytes, never wrong ones', async (t) => {
  t.timeout(120_000);
  const random = seededRandom(7);
  const { array, members, image } = t.context;
  await fill(t, 11, 'stop');
  for (const member of members.slice(0, 3))
    flipBits(member, (await memberZones(array, member)).data, (bound) => random.below(bound), 16 * KIB);
  await array.serve();
  // nbdcopy stops at the first error: that is a right answer too.
  const difference = await differs(array, image).catch((error: unknown) => `${error instanceof Error ? error.message : String(error)}`);
  t.true(difference === '' || /Input\/output error/i.test(difference), difference);
});

test.serial('P10: a member that was away while writes went on is not trusted when it comes back', async (t) => {
  t.timeout(120_000);
  const { array, members, image } = t.context;
  await fill(t, 21, 'stop');
  const away = members[3] as string;
  renameSync(away, `${away}.away`);
  const server = await array.serve();
  t.is((await array.status()).state, 'degraded');
  await churn(array.uri, { seed: 22, bytes: 64 * MIB, range: RANGE });
  await takeImage(array, image);
  await server.stop();
  rmSync(away, { force: true });
  renameSync(`${away}.away`, away);

  await array.serve();
  const back = (await array.status()).members.find((member) => member.index === 3);
  t.not(back?.state, 'online', 'its epoch is older than the array');
  t.is(await differs(array, image), '', 'nothing it holds is served');
});

test.serial('P10: enough stale members to make a whole older array do not bring it back while a newer member is there', async (t) => {
  t.timeout(120_000);
  const { array, members, image, scratch } = t.context;
  await fill(t, 31, 'stop');
  const old = join(scratch.memory, 'old');
  mkdirSync(old);
  for (const [i, member] of members.slice(0, 4).entries()) cpSync(member, join(old, String(i)));
  const server = await array.serve();
  await churn(array.uri, { seed: 32, bytes: 64 * MIB, range: RANGE });
  await takeImage(array, image);
  await server.stop();
  for (const [i, member] of members.slice(0, 4).entries()) cpSync(join(old, String(i)), member);

  try {
    await array.serve();
  } catch (error) {
    t.log(`refused: ${error instanceof Error ? error.message.slice(0, 300) : String(error)}`);
    t.pass();
    return;
  }
  const difference = await differs(array, image).catch((error: unknown) => `${error instanceof Error ? error.message : String(error)}`);
  t.true(difference === '' || /Input\/output error/i.test(difference), `stale bytes were served: ${difference}`);
});
