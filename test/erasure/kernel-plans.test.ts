import test from 'ava';
import { COEFFICIENTS_MAX, KernelPlans, PLANS_MAX } from '../../src/erasure/kernel-plans.js';

function presentWithout(n: number, lost: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => (lost.includes(i) ? 0 : 1));
}

test('a single loss is decoded by XOR wherever parity 0 is there: every shard, every shape', (t) => {
  for (const [k, m] of [
    [4, 1],
    [4, 2],
    [8, 3],
    [10, 4],
    [17, 3],
    [247, 8],
  ] as const) {
    const plans = new KernelPlans({ k, m });
    // Whatever other parities are gone with it.
    for (const others of [[], Array.from({ length: m - 1 }, (_, i) => k + 1 + i)]) {
      for (let lost = 0; lost <= k; lost++) {
        const { coefficients, sources } = plans.decode(presentWithout(k + m, [lost, ...others]), [lost]);
        if (!coefficients.values.every((value) => value === 1)) return t.fail(`${k}+${m} lost ${lost}`);
        if (sources.length !== k || sources.some((shard) => shard > k)) return t.fail(`${k}+${m} lost ${lost} reads ${sources.join()}`);
      }
    }
  }
  return t.pass();
});

test('plans of loss patterns are kept, and no more of them than the bound', (t) => {
  const plans = new KernelPlans({ k: 14, m: 4 });
  const first = plans.decode(presentWithout(18, [0, 1]), [0, 1]);
  t.is(plans.decode(presentWithout(18, [0, 1]), [0, 1]), first, 'the one just used');
  plans.decode(presentWithout(18, [2]), [2]);
  t.is(plans.decode(presentWithout(18, [0, 1]), [0, 1]), first, 'an earlier one');
  let patterns = 0;
  for (let a = 0; a < 18; a++) {
    for (let b = a + 1; b < 18; b++) {
      for (let c = b + 1; c < 18; c++) {
        for (const wanted of [[a, b, c], [b, c, a], [a, b], [c]]) {
          plans.decode(presentWithout(18, [a, b, c]), wanted);
          patterns++;
          if (plans.kept > PLANS_MAX) return t.fail(`${plans.kept} are kept`);
        }
      }
    }
  }
  t.true(patterns > PLANS_MAX);
  t.is(plans.kept, PLANS_MAX);
  return t.not(plans.decode(presentWithout(18, [0, 1]), [0, 1]), first, 'the oldest made room');
});

test('large shapes keep fewer plans: their coefficients are bounded too', (t) => {
  const [k, m] = [200, 55];
  const plans = new KernelPlans({ k, m });
  const lost = Array.from({ length: m }, (_, i) => i);
  for (let i = 0; i < 50; i++) plans.decode(presentWithout(k + m, lost), [...lost.slice(i), ...lost.slice(0, i)]);
  t.is(plans.kept, Math.floor(COEFFICIENTS_MAX / (k * m)));
});
