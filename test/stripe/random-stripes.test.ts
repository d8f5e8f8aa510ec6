import test, { type ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { STRIPE_DONE, STRIPE_NEEDS_LOST } from '../../src/stripe/stripe-pool.js';
import { BLOCK, type Shape, StripeBench } from './stripe-bench.js';

const SHAPES: readonly Shape[] = [
  { k: 2, m: 1, rows: 4, stripes: 5, scratchStripes: 1 },
  { k: 4, m: 2, rows: 3, stripes: 7 },
  { k: 3, m: 3, rows: 2, stripes: 7, scratchStripes: 2 },
  { k: 1, m: 2, rows: 2, stripes: 4 },
];
const STEPS = Number(process.env.KEELSON_STRIPE_STEPS ?? 60);

for (const shape of SHAPES) {
  test(`${shape.k}+${shape.m}: after any mix of writes, trims, losses, rot and rebuilds every block reads back and every row is consistent (P4, P5)`, async (t) => {
    const seed = Number(process.env.KEELSON_SEED ?? Date.now() % 2 ** 32);
    t.log(`KEELSON_SEED=${seed}`);
    const random = seededRandom(seed);
    const bench = new StripeBench(shape);
    for (let step = 0; step < STEPS; step++) {
      const what = await randomStep(t, bench, random);
      bench.refreshCorrupt();
      const where = `seed ${seed} step ${step} (${what})`;
      t.is(bench.checkStored(), '', where);
      t.is(await bench.checkReads(), '', where);
      if (step % 10 === 9) await checkSubsets(t, bench, where);
    }
  });
}

async function randomStep(t: ExecutionContext, bench: StripeBench, random: Random): Promise<string> {
  const { n, m } = bench.geometry;
  const missing = unusable(bench);
  const dice = random.below(20);
  if (dice < 11) return writeStep(t, bench, random);
  if (dice < 14) return spoilStep(bench, random);
  if (dice < 16 && missing.length < m && bench.corrupt.size === 0) {
    const member = random.below(n);
    if (missing.includes(member)) return 'none';
    const known = random.below(2) === 0;
    bench.kill(member, known);
    return `kill ${member} ${known ? 'known' : 'unknown'}`;
  }
  if (dice < 18) return rebuildStep(t, bench, random);
  if (dice === 18) {
    const stripes = Float64Array.from({ length: bench.geometry.stripes }, (_, i) => i);
    const outcome = await bench.pool.scrub(bench.view, stripes, true);
    t.is(outcome.parityErrors, 0);
    bench.refreshCorrupt();
    if (missing.length === 0) t.is(bench.corrupt.size, 0, 'a scrub of a whole array repairs all rot');
    return 'scrub';
  }
  const blocks = bench.model.map((_, block) => block).filter(() => random.below(3) > 0);
  const outcome = await bench.recover(blocks, bench.view, true);
  t.true(outcome.status.every((status) => status === 0));
  return 'recover with repair';
}

function unusable(bench: StripeBench): number[] {
  const members: number[] = [];
  bench.view.handle.forEach((handle, member) => {
    if (handle < 0 || bench.view.rebuiltStripes[member] !== Number.POSITIVE_INFINITY) members.push(member);
  });
  return members;
}

async function writeStep(t: ExecutionContext, bench: StripeBench, random: Random): Promise<string> {
  const { stripeBlocks, stripes, rows } = bench.geometry;
  const writes = new Map<number, Uint8Array | null>();
  const density = [1, 3, 10][random.below(3)] as number;
  for (let stripe = 0; stripe < stripes; stripe++) {
    if (random.below(2) === 0) continue;
    const full = random.below(4) === 0;
    for (let slot = 0; slot < stripeBlocks; slot++) {
      if (!full && random.below(10) >= density) continue;
      writes.set(stripe * stripeBlocks + slot, random.below(5) === 0 ? null : content(random));
    }
  }
  const rewrite = random.below(5) === 0;
  let { stripes: touched, outcome } = await bench.apply(writes, rewrite);
  const needy = touched.filter((_, i) => outcome.status[i] === STRIPE_NEEDS_LOST);
  t.true(outcome.status.every((status) => status === STRIPE_DONE || status === STRIPE_NEEDS_LOST));
  if (needy.length === 0) return `write ${writes.size} rewrite ${rewrite}`;
  // As the destager does: what is lost of the touched rows is recovered and given as sources.
  const again = new Map([...writes].filter(([block]) => needy.includes(bench.geometry.stripeOf(block))));
  const rowsTouched = new Set([...again.keys()].map((block) => bench.geometry.stripeOf(block) * rows + (block % rows)));
  const wanted = bench.model
    .map((_, block) => block)
    .filter((block) => rowsTouched.has(bench.geometry.stripeOf(block) * rows + (block % rows)) && !again.has(block));
  const recovered = await bench.recover(wanted, bench.view, false);
  wanted.forEach((block, i) => {
    const got = recovered.contents[i];
    t.truthy(got, `block ${block} is recovered`);
    again.set(block, got as Uint8Array);
  });
  ({ stripes: touched, outcome } = await bench.apply(again, rewrite));
  t.true(outcome.status.every((status) => status === STRIPE_DONE));
  return `write ${writes.size} rewrite ${rewrite}, degraded ${needy.length}`;
}

function content(random: Random): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  if (random.below(12) > 0) random.fill(bytes);
  return bytes;
}

/** Never more erasures in a row than parity. */
function spoilStep(bench: StripeBench, random: Random): string {
  const { n, m, rows, stripes } = bench.geometry;
  let spoilt = 0;
  for (let tries = 0; tries < 12; tries++) {
    const stripe = random.below(stripes);
    const row = random.below(rows);
    if (bench.erasures(stripe, row) < m && bench.spoil(stripe, random.below(n), row, random)) spoilt += 1;
  }
  return `spoil ${spoilt}`;
}

/** Some stripes more of all members that are away; sometimes all of them. */
async function rebuildStep(t: ExecutionContext, bench: StripeBench, random: Random): Promise<string> {
  const { stripes } = bench.geometry;
  const targets = unusable(bench);
  if (targets.length === 0) return 'none';
  for (const member of targets) if (bench.view.handle[member] === -1) bench.replace(member, random);
  const from = Math.min(...targets.map((member) => bench.view.rebuiltStripes[member] as number));
  const mine = targets.filter((member) => bench.view.rebuiltStripes[member] === from);
  const next = Math.min(
    stripes,
    ...targets.filter((member) => !mine.includes(member)).map((member) => bench.view.rebuiltStripes[member] as number),
  );
  const end = Math.min(next, from + 1 + random.below(stripes));
  const list = Float64Array.from({ length: end - from }, (_, i) => from + i);
  const outcome = await bench.pool.rebuild({ members: bench.view, stripes: list, targets: mine, provided: null, dataOnly: false });
  t.true(
    outcome.status.every((status) => status === STRIPE_DONE),
    'within parity every stripe can be rebuilt',
  );
  for (const member of mine) {
    bench.view.rebuiltStripes[member] = end;
    if (end === stripes) {
      bench.view.rebuiltStripes[member] = Number.POSITIVE_INFINITY;
      bench.view.integrityKnown[member] = 1;
    }
  }
  return `rebuild ${mine} ${from}-${end}`;
}

/** Every further loss that parity covers. */
async function checkSubsets(t: ExecutionContext, bench: StripeBench, where: string): Promise<void> {
  const { n, m } = bench.geometry;
  if (bench.corrupt.size > 0) return;
  const gone = unusable(bench);
  for (let mask = 1; mask < 1 << n; mask++) {
    const members = Array.from({ length: n }, (_, i) => i).filter((i) => (mask >> i) & 1);
    if (members.some((member) => gone.includes(member)) || members.length + gone.length > m) continue;
    const view = bench.copyView();
    for (const member of members) {
      view.handle[member] = -1;
      view.integrityKnown[member] = mask % 2;
    }
    t.is(await bench.checkReads(view), '', `${where} without ${members}`);
  }
}
