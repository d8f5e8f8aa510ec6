import { EXIT, KeelsonError } from '../base/errors.js';
import { withoutSecrets } from '../base/secrets.js';

/** One thing wrong in a configuration file. */
export interface Mistake {
  readonly file: string;
  /** From 1. For a key that is missing: the line of its table, or 1. */
  readonly line: number;
  /** Dotted, with list positions in brackets: stripe.members[2]. '' for a syntax error. */
  readonly key: string;
  readonly found: string;
  readonly allowed: string;
}

/** Code CONFIG, exit status 2: every mistake of the file at once. */
export class ConfigError extends KeelsonError {
  readonly mistakes: readonly Mistake[];
  /** The message without the list. */
  readonly title: string;

  constructor(mistakes: readonly Mistake[]) {
    const file = mistakes[0]?.file ?? '';
    const title = `${file}: ${mistakes.length === 1 ? 'one mistake' : `${mistakes.length} mistakes`} in the configuration`;
    super('CONFIG', [title, ...mistakes.map(describeMistake)].join('\n'), { exit: EXIT.usage });
    this.name = 'ConfigError';
    this.mistakes = mistakes;
    this.title = title;
  }
}

export function describeMistake(mistake: Mistake): string {
  const where = `${mistake.file}:${mistake.line}`;
  return `  ${where}: ${mistake.key === '' ? '' : `${mistake.key}: `}found ${mistake.found}; allowed: ${mistake.allowed}`;
}

/** The known word that is nearest to a misspelt one; undefined when none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  // A third of the letters may differ.
  let distanceMax = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < distanceMax) {
      distanceMax = distance;
      best = candidate;
    }
  }
  return best;
}

/** Levenshtein distance; a swap of neighbours counts once (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  const cell = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      let cost = Math.min(cell(i - 1, j) + 1, cell(i, j - 1) + 1, cell(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, cell(i - 2, j - 2) + 1);
      row.push(cost);
    }
  }
  return cell(a.length, b.length);
}

/** A value as a person would quote it, cut when long. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Date) return 'a date';
  if (typeof value === 'number') return String(value);
  // Before it is cut: the part that is left out may be what shows where a password ends.
  const text = withoutSecrets(JSON.stringify(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
