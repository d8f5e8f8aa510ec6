import type { Bytes } from '../base/units.js';

const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
const TIME_UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const SIZE_FORM = 'a size such as "64KiB", "256MiB" or "1.5GiB" (binary units B, KiB, MiB, GiB, TiB)';
export const DURATION_FORM = 'a duration such as "30s", "15m", "12h" or "7d"';

/** Bytes of "64KiB"; undefined when it is not a size, or not a whole number of bytes below 2^53. */
export function parseSize(text: string): Bytes | undefined {
  return quantity(text, /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|TiB)$/, SIZE_UNITS);
}

/** Milliseconds of "30s"; undefined when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  return quantity(text, /^(\d+(?:\.\d+)?) ?(s|m|h|d)$/, TIME_UNITS);
}

function quantity(text: string, form: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const match = form.exec(text);
  const factor = units[match?.[2] ?? ''];
  if (match === null || factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The largest unit that divides it: 65536 is "64KiB". */
export function formatSize(bytes: Bytes): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const) {
    const factor = SIZE_UNITS[unit] ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
