import type { Command } from 'commander';
import type { CliContext } from './context.js';

export interface VerbOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export interface VerbWords {
  readonly name: string;
  readonly summary: string;
  /** Shown by --help, without the leading `keelson`. */
  readonly example: string;
  readonly config?: false;
  /** What --json prints; left out: the verb prints nothing worth parsing. */
  readonly json?: string;
}

/** A verb with the options that all verbs share. Its action is set by the caller. */
export function defineVerb(program: Command, { name, summary, example, config, json }: VerbWords): Command {
  const verb = program.command(name).description(summary);
  if (config !== false) verb.option('-c, --config <file>', 'configuration (default: ./keelson.toml, then /etc/keelson/keelson.toml)');
  if (json !== undefined) verb.option('--json', json);
  return verb.addHelpText('after', `\nExample:\n  keelson ${example}`);
}

export type AddVerb = (program: Command, context: CliContext) => void;
