import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesUnder, ROOT } from '../house/source-files.js';

/** A place of src/ that gives an error or an alarm its code. */
export interface CodeSite {
  readonly code: string;
  /** path:line */
  readonly where: string;
}

/** A text of src/ or the documentation that mentions a command of ours. */
export interface Mention {
  /** Without the leading `keelson`. */
  readonly words: readonly string[];
  readonly where: string;
}

const CODE = /'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|INTERNAL|USAGE|UNPROTECTED)'/g;
/** MEMBER_FAILED_${index}, DEVICE_${what}: listed with an N or the words in place of the expression. */
const MADE_CODE = /`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_)\$\{/g;
/** Where such a string is a code: first argument of a call, a branch of ?:, a constant, the code of KeelsonError.from; never a comparison. */
const GIVES_A_CODE = /(?:\(\s*|\?\s*|:\s*|[^=!<>]=\s*|KeelsonError\.from\([^;]*,\s*)$/;

function lineOf(text: string, at: number): number {
  return text.slice(0, at).split('\n').length;
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' ')).replaceAll(/^\s*\/\/.*$/gm, '');
}

/** Every code that an error or an alarm of the product can have. */
export function codeSites(): readonly CodeSite[] {
  const sites: CodeSite[] = [];
  for (const { path, text } of filesUnder('src', '.ts')) {
    // Not the simulator's own words, nor what the parity library tells a programmer (test/erasure/arguments.test.ts).
    if (path.startsWith('src/sim/') || path.startsWith('src/erasure/')) continue;
    const code = withoutComments(text);
    for (const match of [...code.matchAll(CODE), ...code.matchAll(MADE_CODE)]) {
      if (!GIVES_A_CODE.test(code.slice(0, match.index))) continue;
      const name = match[0].startsWith('`') ? `${match[1]}*` : (match[1] as string);
      sites.push({ code: name, where: `${path}:${lineOf(code, match.index)}` });
    }
  }
  return sites;
}

/** An argument as our texts write it: a flag, a number, a name in capitals that stands for one, an expression of the source, a path. */
const ARGUMENT = /^(--[a-z-]+|\d+|[A-Z][A-Z-]*|\$\{[^}]*\}|\/\S+|newest)$/;

/** The commands that a text says to run: `keelson VERB ARG ...`, as far as the words are arguments. */
export function commandsIn(text: string): readonly (readonly string[])[] {
  return [...text.matchAll(/(?<![\w./-])keelson ((?:\$\{[^}]*\}|[^\s;,)`"'\\]+)(?: (?:\$\{[^}]*\}|[^\s;,)`"'\\]+))*)/g)].flatMap(
    (match) => {
      const [verb = '', ...rest] = words((match[1] as string).split(/ (?![^{]*\})/));
      if (!/^[a-z]+$/.test(verb)) return [];
      const end = rest.findIndex((word) => !ARGUMENT.test(word));
      return [[verb, ...(end < 0 ? rest : rest.slice(0, end))]];
    },
  );
}

/** A colon or a full stop ends the command. */
function words(found: readonly string[]): readonly string[] {
  const last = found.findIndex((word) => /[.:]$/.test(word));
  const own = last < 0 ? found : found.slice(0, last + 1);
  return own.map((word) => word.replace(/[.:]+$/, ''));
}

/** What stands behind our name in a message without being a verb: names of threads, keys and exports. */
const NOT_VERBS = new Set(['for', 'volume', 'demonstration', 'mac', 'segment', 'metadata', 'backup']);

/** Every command that messages mention, and every one that a page shows as code. */
export function mentions(): readonly Mention[] {
  const messages = filesUnder('src', '.ts').map(({ path, text }) => ({ path, text: withoutComments(text) }));
  const found = messages.flatMap(({ path, text }) => mentionsIn(path, text).filter(({ words }) => !NOT_VERBS.has(words[0] as string)));
  const readme = { path: 'README.md', text: readFileSync(join(ROOT, 'README.md'), 'utf8') };
  const pages = [readme, ...filesUnder('docs', '.md')].filter(({ path }) => !path.startsWith('docs/decisions/'));
  for (const { path, text } of pages)
    for (const code of text.matchAll(/```[\s\S]*?```|`[^`\n]+`|^ {4}\S.*$/gm))
      found.push(...mentionsIn(path, code[0], lineOf(text, code.index) - 1));
  return found;
}

function mentionsIn(path: string, text: string, above = 0): Mention[] {
  return text.split('\n').flatMap((line, at) => commandsIn(line).map((words) => ({ words, where: `${path}:${above + at + 1}` })));
}
