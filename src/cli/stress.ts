import { readFileSync } from 'node:fs';
import { EXIT, KeelsonError } from '../base/errors.js';
import { systemClock } from '../base/clock.js';
import type { Outcome } from '../sim/run-outcome.js';
import type { Scenario } from '../sim/scenario.js';
import type { Script } from '../sim/script.js';
import type { CliContext } from './context.js';
import type { AddVerb } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { OutputFile } from './output-file.js';

const SECONDS = 10;
/** Stands at the start of every script. */
const SCRIPT_MARK = 'keelson stress script';
/** A failing run is made shorter for at most so long. */
const SHRINK_RUNS_MAX = 1000;
const SHRINK_SECONDS_MAX = 120;

interface StressFlags {
  readonly seed?: string;
  readonly seeds?: string;
  readonly seconds?: string;
  readonly faults?: string;
  readonly script?: string;
  readonly save?: string;
  readonly shrink: boolean;
  readonly rehearsals: boolean;
  readonly json?: boolean;
}

export const addStress: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'stress',
    summary: 'the simulator: the engine on a generated array, with power failures and crashes, every reply checked; no device is touched',
    examples: ['stress --seconds 60', 'stress --seed 7'],
    json: 'print one JSON object a run',
  })
    .option('--seed <number>', 'run this seed: it goes the same way on every machine')
    .option('--seeds <number>', 'run so many seeds, from --seed on or fresh ones')
    .option('--seconds <number>', `run fresh seeds for this long, or from --seed on (default without --seed: ${SECONDS})`)
    .option('--faults <list>', 'only these faults, or none (default: all)')
    .option('--no-shrink', 'do not look for a shorter run that fails like the one that failed')
    .option(
      '--no-rehearsals',
      'do not try, beside a run, what would be if everything stopped: a failure that only that finds shrinks badly',
    )
    .option('--save <file>', 'write the script of the run that failed to this file')
    .option('--script <file>', 'run a script: one that failed, exactly as it did')
    .action(async (flags: StressFlags) => {
      if (flags.script === undefined) await runSeeds(flags, context);
      else await runScript(flags.script, flags, context);
    });
};

async function runScript(file: string, flags: StressFlags, context: CliContext): Promise<void> {
  const other = (['seed', 'seeds', 'seconds', 'faults', 'save'] as const).find((name) => flags[name] !== undefined);
  if (other !== undefined) throw usage(`--script runs exactly one thing, and takes no --${other}`, `--${other}`, '--script alone');
  const [{ parseScript, scriptFor }, { simulate }, { expectedText, failureText }] = await Promise.all([
    import('../sim/script.js'),
    import('../sim/simulator.js'),
    import('../sim/stress-text.js'),
  ]);
  const script = parseScript(read(file), file);
  const started = systemClock.now();
  const outcome = await simulate(script.scenario, null, Number(flags.rehearsals));
  if (flags.json === true) context.stdout.write(jsonLine(outcome, started, scriptFor(script.scenario, outcome)));
  else context.stdout.write(failureText(outcome, script.scenario) + expectedText(script, outcome));
  context.status = outcome.failure === null ? EXIT.done : EXIT.failed;
}

async function runSeeds(flags: StressFlags, context: CliContext): Promise<void> {
  const output = flags.save === undefined ? null : new OutputFile('--save', flags.save, SCRIPT_MARK);
  // Before the engine is loaded, or its code is not counted.
  const { CodeCoverage } = await import('../sim/code-coverage.js');
  const coverage = await CodeCoverage.begin();
  // Only here: other verbs start without the engine.
  const [{ parseFaults, stress }, { failureText }, { StressSummary }, { systemRandom }] = await Promise.all([
    import('../sim/stress.js'),
    import('../sim/stress-text.js'),
    import('../sim/stress-summary.js'),
    import('../engine/create.js'),
  ]);
  const firstSeed = flags.seed === undefined ? systemRandom.u32() : numberOf('--seed', flags.seed);
  const once = flags.seed !== undefined && flags.seeds === undefined && flags.seconds === undefined;
  const unlimited = once || (flags.seeds !== undefined && flags.seconds === undefined);
  const limit_ms = unlimited ? Number.POSITIVE_INFINITY : numberOf('--seconds', flags.seconds ?? String(SECONDS)) * 1000;
  const started = systemClock.now();
  let before = started;
  const seeds = flags.seeds === undefined ? Number.POSITIVE_INFINITY : numberOf('--seeds', flags.seeds);
  if (seeds === 0) throw usage('--seeds runs nothing', '0', 'a whole number from 1');
  const options = {
    firstSeed,
    seeds: once ? 1 : seeds,
    faults: parseFaults(flags.faults),
    rehearsals: Number(flags.rehearsals),
    until: () => systemClock.now() - started >= limit_ms,
  };
  const summary = new StressSummary(options.faults);
  if (flags.json !== true) context.stdout.write(`seeds from ${firstSeed}\n`);
  let failed: { readonly outcome: Outcome; readonly scenario: Scenario } | null = null;
  await stress(options, (outcome, scenario) => {
    summary.add(outcome);
    if (outcome.failure !== null) failed = { outcome, scenario };
    else if (flags.json === true) context.stdout.write(jsonLine(outcome, before, null));
    before = systemClock.now();
  });
  summary.states = (await coverage?.take()) ?? null;
  coverage?.end();
  const seconds = (systemClock.now() - started) / 1000;
  if (failed !== null) {
    const { outcome, scenario } = failed as { readonly outcome: Outcome; readonly scenario: Scenario };
    if (flags.json !== true) context.stdout.write(failureText(outcome, scenario));
    const script = await scriptOf(scenario, outcome, flags, output, context);
    if (flags.json === true) context.stdout.write(jsonLine(outcome, before, script));
  }
  if (flags.json !== true) context.stdout.write(summary.text(seconds));
  else if (!once) context.stdout.write(`${JSON.stringify({ summary })}\n`);
  const gaps = summary.gaps();
  if (gaps.faults.length > 0) context.stderr.write(`keelson: faults that never fired: ${gaps.faults.join(', ')}\n`);
  if (gaps.states.length > 0) context.stderr.write(`keelson: states of the code that were never reached: ${gaps.states.join('; ')}\n`);
  context.status = failed === null && gaps.faults.length + gaps.states.length === 0 ? EXIT.done : EXIT.failed;
}

/** The script of a failure, as short as it gets, printed or saved. */
async function scriptOf(
  scenario: Scenario,
  outcome: Outcome,
  flags: StressFlags,
  output: OutputFile | null,
  context: CliContext,
): Promise<Script> {
  const [{ scriptFor, scriptText }, { shrink }, { simulate }, { shrunkText }] = await Promise.all([
    import('../sim/script.js'),
    import('../sim/shrink.js'),
    import('../sim/simulator.js'),
    import('../sim/stress-text.js'),
  ]);
  let script = scriptFor(scenario, outcome);
  if (flags.shrink) {
    const started = systemClock.now();
    const until = (): boolean => systemClock.now() - started >= SHRINK_SECONDS_MAX * 1000;
    const shrunk = await shrink(scenario, outcome, { runs: SHRINK_RUNS_MAX, until }, (shorter, watcher) =>
      simulate(shorter, watcher, Number(flags.rehearsals)),
    );
    script = scriptFor(shrunk.scenario, shrunk.outcome);
    if (flags.json !== true) context.stdout.write(shrunkText(shrunk));
  }
  output?.write(scriptText(script));
  if (flags.json !== true) {
    if (flags.save === undefined) context.stdout.write(`script, for keelson stress --script FILE:\n${scriptText(script)}`);
    else context.stdout.write(`again: keelson stress --script ${flags.save}\n`);
  }
  return script;
}

/** script: of a failure. */
function jsonLine(outcome: Outcome, since_ms: number, script: Script | null): string {
  const seconds = Math.round(systemClock.now() - since_ms) / 1000;
  const failure = outcome.failure === null ? null : { ...outcome.failure, script };
  return `${JSON.stringify({ ...outcome, seconds, failure })}\n`;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw usage(`cannot read the script ${file}`, error instanceof Error ? error.message : String(error), 'a readable file');
  }
}

function numberOf(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= 0) return value;
  throw usage(`${flag} is not a number`, text, 'a whole number from 0');
}

function usage(message: string, found: string, expected: string): KeelsonError {
  return new KeelsonError('USAGE', message, { found, expected, exit: EXIT.usage });
}
