import pino from 'pino';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import type { RestorePoint } from './engine-port.js';
import { ProgressDisplay } from './progress-display.js';
import { bytesText } from './quantity-text.js';

export const addRestore: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'restore',
    summary: 'make all members anew and fill them from the backup; the server must not be running',
    example: 'restore --to newest',
    json: 'print progress and the result as JSON lines',
  })
    .option('--to <point>', 'newest, an LSN, or a time such as 2026-11-22T10:00:00Z', 'newest')
    .option('--force', 'overwrite what the members hold')
    .action(async (options: VerbOptions & { to: string; force?: boolean }) => {
      const to = parsePoint(options.to);
      const settings = context.settings(options.config);
      const engine = await context.engine();
      const display = new ProgressDisplay(context, options.json === true);
      const log = pino({ level: process.env.KEELSON_LOG ?? 'warn', base: null }, pino.destination({ dest: 2, sync: true }));
      const report = await display.during(
        engine.restoreArray(settings, { to, force: options.force === true, log, onProgress: display.onProgress }),
      );
      if (options.json === true) context.stdout.write(`${JSON.stringify(report)}\n`);
      else context.stdout.write(`restored ${bytesText(report.restoredBytes)}: the volume is as it was at LSN ${report.lsn}\n`);
    });
};

export function parsePoint(text: string): RestorePoint {
  if (text === 'newest') return { kind: 'newest' };
  const lsn = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(lsn)) return { kind: 'lsn', lsn };
  // A date without a time would be midnight somewhere: both are asked for.
  const wall_ms = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(wall_ms)) return { kind: 'time', wall_ms };
  throw new KeelsonError('RESTORE_POINT', '--to names no point', {
    found: JSON.stringify(text),
    expected: '"newest", an LSN, or a date and time such as 2026-11-22T10:00:00Z',
    exit: EXIT.usage,
  });
}
