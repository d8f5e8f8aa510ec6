import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, type ExitStatus, KeelsonError } from '../base/errors.js';
import { addBench } from './bench.js';
import type { CliContext } from './context.js';
import { addCreate } from './create.js';
import { JSON_OPTION, shareOptions } from './define-verb.js';
import { addDrain } from './drain.js';
import { errorJson, errorText, usageError } from './error-output.js';
import { addFail } from './fail.js';
import { addFlush } from './flush.js';
import { addInspect } from './inspect.js';
import { addRebuild } from './rebuild.js';
import { addReplace } from './replace.js';
import { addRestore } from './restore.js';
import { addServe } from './serve.js';
import { addStatus } from './status.js';
import { addStop } from './stop.js';
import { addStress } from './stress.js';
import { addWipe } from './wipe.js';

/** In the order in which an administrator meets them. */
const VERBS = [
  addCreate,
  addServe,
  addStatus,
  addStop,
  addFlush,
  addDrain,
  addFail,
  addReplace,
  addRebuild,
  addRestore,
  addInspect,
  addWipe,
  addBench,
  addStress,
];

/** Longer lines are hard to read. */
const HELP_COLUMNS_MAX = 100;

const EXIT_STATUSES = `
Exit status:
  0  done
  1  failed
  2  wrong usage or configuration
  3  refused because it could lose data (says which flag insists)
  4  degraded but working (only from status)
  5  data are unavailable`;

/** Runs one command line (without node and program). Resolves to its exit status; errors are printed, never thrown. */
export async function runCli(args: readonly string[], context: CliContext): Promise<ExitStatus> {
  const json = wantsJson(args);
  try {
    // `keelson help drain` is what many type first.
    const line = args[0] === 'help' ? [...args.slice(1), '--help'] : [...args];
    await buildProgram(context, json).parseAsync(line, { from: 'user' });
    return context.status;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      const known = KeelsonError.from(error);
      context.stderr.write(json ? errorJson(known) : errorText(known));
      return known.exit;
    }
    if (error.exitCode === 0) return EXIT.done;
    // As text it is printed by now.
    if (json) context.stderr.write(errorJson(usageError(error)));
    return EXIT.usage;
  }
}

/** Asked before anything is parsed: what cannot be parsed is told in the same way. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes(JSON_OPTION);
}

function buildProgram(context: CliContext, json: boolean): Command {
  const program = new Command('keelson')
    .description('Keeps every write twice, in two redundancy schemes, until it is safe on a backup host.')
    .version(version(), '-V, --version')
    .helpCommand(false)
    .showHelpAfterError(json ? false : '(keelson --help lists the verbs; keelson VERB --help explains one)')
    .addHelpText('after', EXIT_STATUSES)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => (json ? undefined : context.stderr.write(text)),
      getOutHelpWidth: () => Math.min(context.stdout.columns, HELP_COLUMNS_MAX),
      getErrHelpWidth: () => Math.min(context.stderr.columns, HELP_COLUMNS_MAX),
      outputError: (text, write) => write(text.replace(/^error: /, 'keelson: ')),
    });
  shareOptions(program);
  for (const add of VERBS) add(program, context);
  return program;
}

function version(): string {
  // dist/src/cli -> the package's root.
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
