const LABEL_COLUMNS = 14;

/** Something that had to hold does not: the demonstration goes on to its end, and ends with 1. */
export class Report {
  readonly #begin = performance.now();
  #lastWord = this.#begin;
  failures = 0;

  get seconds(): number {
    return (performance.now() - this.#begin) / 1000;
  }

  /** Since the last line. */
  get silentSeconds(): number {
    return (performance.now() - this.#lastWord) / 1000;
  }

  plain(text: string): void {
    this.#lastWord = performance.now();
    process.stdout.write(`${text}\n`);
  }

  chapter(title: string): void {
    this.plain(`\n${title}`);
  }

  line(label: string, text: string): void {
    this.plain(`   ${label.padEnd(LABEL_COLUMNS)}${text}`);
  }

  /** A line that must be true. */
  must(label: string, holds: boolean, text: string): void {
    if (!holds) this.failures++;
    this.line(label, holds ? text : `WRONG: ${text}`);
  }
}

/** 1.4 s. */
export function secondsOf(seconds: number): string {
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

/** 312 MB/s; MB is 10^6 bytes. */
export function rateOf(bytes: number, seconds: number): string {
  return `${Math.round(bytes / Math.max(seconds, 1e-3) / 1e6)} MB/s`;
}

export function countOf(count: number): string {
  return count.toLocaleString('en-US');
}
