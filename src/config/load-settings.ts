import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { EXIT, KeelsonError } from '../base/errors.js';
import { withoutSecrets } from '../base/secrets.js';
import { crossCheck } from './cross-checks.js';
import { keyLines } from './key-lines.js';
import { looseSections } from './loose-sections.js';
import { ConfigError, type Mistake, nearest, quote } from './mistakes.js';
import * as schema from './schema.js';
import { type BackupSettings, type BackupTarget, DEFAULT_PATHS, type Settings } from './settings.js';

/**
 * Reads and checks a configuration file. Without a path: KEELSON_CONFIG, else the first of DEFAULT_PATHS that exists.
 * Throws CONFIG_MISSING, or CONFIG (ConfigError) with every mistake of the file; both end a command with exit status 2.
 */
export function loadSettings(path?: string): Settings {
  const file = resolve(path ?? defaultPath());
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new KeelsonError('CONFIG_MISSING', `cannot read the configuration ${file}`, {
      found: error instanceof Error ? error.message : String(error),
      expected: 'a readable TOML file',
      action: 'name another one with -c, or write it (README.md has an example)',
      exit: EXIT.usage,
      cause: error,
    });
  }
  return parseSettings(text, file);
}

function defaultPath(): string {
  const named = process.env.KEELSON_CONFIG;
  if (named !== undefined && named !== '') return named;
  const found = DEFAULT_PATHS.find((candidate) => existsSync(candidate));
  if (found !== undefined) return found;
  throw new KeelsonError('CONFIG_MISSING', 'no configuration file', {
    found: `neither ${DEFAULT_PATHS.join(' nor ')} exists`,
    expected: 'a TOML file that describes the array',
    action: 'name one with -c, or write ./keelson.toml (README.md has an example)',
    exit: EXIT.usage,
  });
}

/** The same for a text in memory; `file` names it in messages and is what relative paths count from. Throws ConfigError. */
export function parseSettings(text: string, file: string): Settings {
  const mistakes: Mistake[] = [];
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = error.message] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    const source = text.split(/\r?\n/)[error.line - 1]?.trim() ?? '';
    throw new ConfigError([
      { file, line: error.line, key: '', found: `${quote(source)} (column ${error.column}: ${reason})`, allowed: 'TOML 1.0' },
    ]);
  }
  const lines = keyLines(text);
  const report = (key: string, found: string, allowed: string): void => {
    mistakes.push({ file, line: lineOf(lines, key), key, found: printable(key, found), allowed });
  };
  const parsed = parseSections(document, report);
  const directory = dirname(resolve(file));
  const wrong = new Set(mistakes.map(({ key }) => key));
  crossCheck(parsed, looseSections(document), directory, (key, found, allowed) => {
    // Said already, with more reason.
    if (!wrong.has(key)) report(key, found, allowed);
  });
  if (mistakes.length > 0) throw new ConfigError(mistakes.sort((a, b) => a.line - b.line));
  return assemble(parsed, resolve(file), directory);
}

/** What was found, as it may be printed. A passphrase that stands where its file should be named is not shown either. */
function printable(key: string, found: string): string {
  const text = withoutSecrets(found);
  return key === 'backup.passphraseFile' ? text.replace(/"(?:[^"\\]|\\.)*"/g, '"***"') : text;
}

/** The line of the key, or of the nearest table above it, or 1. */
function lineOf(lines: ReadonlyMap<string, number>, key: string): number {
  const parts = key.replaceAll(/\[(\d+)\]/g, '.$1').split('.');
  for (; parts.length > 0; parts.pop()) {
    const line = lines.get(parts.join('.'));
    if (line !== undefined) return line;
  }
  return 1;
}

type Report = (key: string, found: string, allowed: string) => void;

function parseSections(document: Record<string, unknown>, report: Report): schema.Parsed {
  for (const key of Object.keys(document)) {
    if (!schema.TOP_KEYS.includes(key)) report(key, `the unknown key ${quote(key)}`, unknownKey(key, schema.TOP_KEYS));
  }
  const section = <Schema extends v.GenericSchema>(key: string, of: Schema, missing: unknown): v.InferOutput<Schema> | undefined => {
    const result = v.safeParse(of, document[key] ?? missing, { abortPipeEarly: true });
    if (result.success) return result.output;
    for (const issue of result.issues) reportIssue(key, issue, of, report);
    return undefined;
  };
  return {
    name: section('name', schema.name, undefined),
    stripe: section('stripe', schema.stripe, {}),
    journal: section('journal', schema.journal, {}),
    backup: document.backup === undefined ? undefined : section('backup', schema.backup, {}),
    drain: section('drain', schema.drain, {}),
    export: section('export', schema.exports, {}),
    control: section('control', schema.control, {}),
    memory: section('memory', schema.memory, {}),
  };
}

function reportIssue(section: string, issue: v.BaseIssue<unknown>, of: v.GenericSchema, report: Report): void {
  let key = section;
  for (const item of issue.path ?? []) key += typeof item.key === 'number' ? `[${item.key}]` : `.${String(item.key)}`;
  if (issue.type === 'strict_object' && issue.path !== undefined) {
    const known = 'entries' in of ? Object.keys(of.entries as object) : [];
    const last = String(issue.path.at(-1)?.key ?? '');
    if (issue.expected === 'never') report(key, `the unknown key ${quote(last)}`, unknownKey(last, known));
    else report(key, 'nothing', `a value: ${key} has no default`);
    return;
  }
  report(key, quote(issue.input), issue.input === undefined ? `a value: ${issue.message}` : issue.message);
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  return `${known.join(', ')}${near === undefined ? '' : `; did you mean ${quote(near)}?`}`;
}

function assemble(parsed: schema.Parsed, file: string, directory: string): Settings {
  const { name, stripe, journal, backup, drain, export: exported, control, memory } = parsed;
  if (!name || !stripe || !journal || !drain || !exported || !control || !memory) {
    throw new KeelsonError('INTERNAL', 'a section without mistakes was not parsed');
  }
  const absolute = (path: string): string => resolve(directory, path);
  return {
    file,
    directory,
    name,
    stripe: {
      members: stripe.members.map(absolute),
      memberBytes: stripe.memberSize ?? null,
      dataShards: stripe.members.length - stripe.parity,
      parity: stripe.parity,
      chunkBytes: stripe.chunk,
      spares: stripe.spares.map(absolute),
    },
    journal: {
      members: journal.members.map(absolute),
      copies: journal.copies,
      ringBytes: journal.size ?? null,
      segmentBytes: journal.segment ?? null,
    },
    backup: backup === undefined ? null : assembleBackup(backup, directory),
    drain: {
      maxAge_ms: drain.maxAge,
      maxBytes: drain.maxBytes,
      maxFill: drain.maxFill,
      schedule: drain.schedule,
      onDegraded: drain.onDegraded,
    },
    export: {
      nbd: exported.nbd.map((address) => (address.kind === 'unix' ? { kind: 'unix', path: absolute(address.path) } : address)),
      durability: exported.durability,
    },
    control: { socket: absolute(control.socket), http: control.http, hosts: control.hosts },
    memory: { slabBytes: memory.slab },
  };
}

function assembleBackup(backup: NonNullable<schema.Parsed['backup']>, directory: string): BackupSettings {
  const { url, identity = '', knownHosts = '' } = backup;
  let target: BackupTarget;
  if (url.kind === 'sftp') target = { ...url, identity: resolve(directory, identity), knownHosts: resolve(directory, knownHosts) };
  else if (url.kind === 'file') target = url;
  else target = { ...url, path: join(directory, 'backup-host') };
  return {
    target,
    compression: backup.compression,
    passphraseFile: backup.passphraseFile === '' ? null : resolve(directory, backup.passphraseFile),
    onUnreachable: backup.onUnreachable,
    keepPoints_ms: backup.keepPoints,
  };
}
