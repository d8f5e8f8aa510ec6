import type { Command } from 'commander';
import type { CliContext } from './context.js';

export interface VerbOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export interface VerbWords {
  readonly name: string;
  readonly summary: string;
  /** Shown by --help, without the leading `keelson`. The first begins with the verb; all are run by a test. */
  readonly examples: readonly string[];
  /** What --json prints when the verb is done. */
  readonly json: string;
}

/** Options of every verb: accepted before and after it. */
export const CONFIG_OPTION = [
  '-c, --config <file>',
  'configuration (default: $KEELSON_CONFIG, ./keelson.toml, /etc/keelson/keelson.toml)',
] as const;
export const JSON_OPTION = '--json';

/** A verb with the options that all verbs share. Its action is set by the caller. */
export function defineVerb(program: Command, { name, summary, examples, json }: VerbWords): Command {
  return program
    .command(name)
    .description(summary)
    .option(...CONFIG_OPTION)
    .option(JSON_OPTION, json)
    .addHelpText(
      'after',
      `\n${examples.length === 1 ? 'Example' : 'Examples'}:\n${examples.map((line) => `  keelson ${line}`).join('\n')}`,
    );
}

/** Commander gives an option that the program and the verb both have to the program, wherever it stands: the verb gets it from there. */
export function shareOptions(program: Command): void {
  program
    .option(...CONFIG_OPTION)
    .option(JSON_OPTION, 'answers, progress and errors as JSON')
    .hook('preAction', (_, verb) => {
      for (const [name, value] of Object.entries(program.opts())) verb.setOptionValue(name, value);
    });
}

export type AddVerb = (program: Command, context: CliContext) => void;
