import { EXIT, KeelsonError } from '../base/errors.js';
import { systemClock } from '../base/clock.js';
import type { AddVerb } from './define-verb.js';
import { defineVerb } from './define-verb.js';

const SECONDS = 10;

interface StressFlags {
  readonly seed?: string;
  readonly seconds?: string;
  readonly faults?: string;
  readonly json?: boolean;
}

export const addStress: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'stress',
    summary: 'the simulator: the engine on a generated array, with power failures and crashes, every reply checked; no device is touched',
    example: 'stress --seconds 60',
    config: false,
    json: 'print one JSON object a run',
  })
    .option('--seed <number>', 'run this seed: it goes the same way on every machine')
    .option('--seconds <number>', `run fresh seeds for this long, or from --seed on (default without --seed: ${SECONDS})`)
    .option('--faults <list>', 'only these faults, or none (default: all)')
    .action(async (flags: StressFlags) => {
      // Only here: other verbs start without the engine.
      const [{ parseFaults, stress }, { failureText, scriptOf, StressSummary }, { systemRandom }] = await Promise.all([
        import('../sim/stress.js'),
        import('../sim/stress-text.js'),
        import('../engine/create.js'),
      ]);
      const firstSeed = flags.seed === undefined ? systemRandom.u32() : numberOf('--seed', flags.seed);
      const once = flags.seed !== undefined && flags.seconds === undefined;
      const limit_ms = flags.seconds === undefined ? SECONDS * 1000 : numberOf('--seconds', flags.seconds) * 1000;
      const started = systemClock.now();
      let before = started;
      const summary = new StressSummary();
      const options = {
        firstSeed,
        seeds: once ? 1 : Number.POSITIVE_INFINITY,
        faults: parseFaults(flags.faults),
        until: () => systemClock.now() - started >= limit_ms,
      };
      if (flags.json !== true) context.stdout.write(`seeds from ${firstSeed}\n`);
      const passed = await stress(options, (outcome, scenario) => {
        summary.add(outcome);
        const now = systemClock.now();
        const failure = outcome.failure === null ? null : { ...outcome.failure, script: scriptOf(scenario) };
        if (flags.json === true)
          context.stdout.write(`${JSON.stringify({ ...outcome, seconds: Math.round(now - before) / 1000, failure })}\n`);
        else if (failure !== null) context.stdout.write(failureText(outcome, scenario));
        before = now;
      });
      if (flags.json !== true) context.stdout.write(summary.text((systemClock.now() - started) / 1000));
      const missing = summary.missing(options.faults);
      if (missing.length > 0) context.stderr.write(`keelson: faults that never fired: ${missing.join(', ')}\n`);
      context.status = passed && missing.length === 0 ? EXIT.done : EXIT.failed;
    });
};

function numberOf(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new KeelsonError('USAGE', `${flag} is not a number`, { found: text, expected: 'a whole number from 0', exit: EXIT.usage });
}
