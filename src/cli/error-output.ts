import type { CommanderError } from 'commander';
import { EXIT, KeelsonError } from '../base/errors.js';
import { ConfigError } from '../config/mistakes.js';

/** What commander refuses, as one of our errors. */
export function usageError(error: CommanderError): KeelsonError {
  const message = error.code === 'commander.help' ? 'no verb is given' : error.message.replace(/^error: /, '');
  return new KeelsonError('USAGE', message, {
    action: 'keelson --help lists the verbs; keelson VERB --help explains one',
    exit: EXIT.usage,
  });
}

/** One line for what went wrong, then one each for what was found, what is expected, what to do. */
export function errorText(error: KeelsonError): string {
  const [title = '', ...more] = error.message.split('\n');
  const lines = [`keelson: ${title} (${error.code})`, ...more];
  if (error.found !== undefined) lines.push(`  found:    ${error.found}`);
  if (error.expected !== undefined) lines.push(`  expected: ${error.expected}`);
  if (error.action !== undefined) lines.push(`  do:       ${error.action}`);
  if (isInternal(error)) lines.push(stackOf(error));
  return `${lines.join('\n')}\n`;
}

/** One object on one line. Fields that an error does not have are null; a wrong configuration lists its mistakes. */
export function errorJson(error: KeelsonError, exit: number = error.exit): string {
  const { code, found = null, expected = null, action = null } = error;
  const mistakes = error instanceof ConfigError ? { mistakes: error.mistakes } : {};
  const stack = isInternal(error) ? { stack: stackOf(error) } : {};
  const message = error instanceof ConfigError ? error.title : error.message;
  return `${JSON.stringify({ error: { code, message, found, expected, action, exit, ...mistakes, ...stack } })}\n`;
}

function isInternal(error: KeelsonError): boolean {
  return error.code === 'INTERNAL';
}

function stackOf(error: KeelsonError): string {
  const origin = error.cause instanceof Error ? error.cause : error;
  return origin.stack ?? '';
}
