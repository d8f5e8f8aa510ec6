import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, type ExitStatus, KeelsonError } from '../base/errors.js';
import { addBench } from './bench.js';
import type { CliContext } from './context.js';
import { addCreate } from './create.js';
import { addDrain } from './drain.js';
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
  addBench,
  addStress,
];

const EXIT_STATUSES = `
Exit status: 0 done; 1 failed; 2 wrong usage or configuration; 3 refused because it could lose data (says which flag insists);
4 degraded but working (only from status); 5 data are unavailable.`;

/** Runs one command line (without node and program). Resolves to its exit status; errors are printed, never thrown. */
export async function runCli(args: readonly string[], context: CliContext): Promise<ExitStatus> {
  try {
    await buildProgram(context).parseAsync([...args], { from: 'user' });
    return context.status;
  } catch (error) {
    // Commander has printed its own message by now.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const known = KeelsonError.from(error);
    context.stderr.write(errorText(known));
    if (known.code === 'INTERNAL' && error instanceof Error) context.stderr.write(`${error.stack ?? ''}\n`);
    return known.exit;
  }
}

function buildProgram(context: CliContext): Command {
  const program = new Command('keelson')
    .description('Keeps every write twice, in two redundancy schemes, until it is safe on a backup host.')
    .version(version(), '-V, --version')
    .helpCommand(false)
    .showHelpAfterError('(keelson --help lists the verbs; keelson VERB --help explains one)')
    .addHelpText('after', EXIT_STATUSES)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'keelson: ')),
    });
  for (const add of VERBS) add(program, context);
  return program;
}

/** One line for what went wrong, then one each for what was found, what is expected, what to do. */
export function errorText(error: KeelsonError): string {
  const [title = '', ...more] = error.message.split('\n');
  const lines = [`keelson: ${title} (${error.code})`, ...more];
  if (error.found !== undefined) lines.push(`  found:    ${error.found}`);
  if (error.expected !== undefined) lines.push(`  expected: ${error.expected}`);
  if (error.action !== undefined) lines.push(`  do:       ${error.action}`);
  return `${lines.join('\n')}\n`;
}

function version(): string {
  // dist/src/cli -> the package's root.
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
