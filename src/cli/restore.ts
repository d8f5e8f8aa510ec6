import { Option } from 'commander';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { eventLog } from './event-log.js';
import { interruptible } from './interruption.js';
import { ProgressDisplay } from './progress-display.js';
import { bytesText } from '../base/quantity-text.js';

export const addRestore: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'restore',
    summary: 'make all members anew and fill them from the backup; the server must not be running',
    examples: ['restore', 'restore --force'],
    json: 'print progress and the result as JSON lines',
  })
    // Not in the help: it has one value as long as no other point can be restored.
    .addOption(new Option('--to <point>').default('newest').hideHelp())
    .option('--force', 'overwrite what the members hold')
    .action(async (options: VerbOptions & { to: string; force?: boolean }) => {
      refuseOtherPoints(options.to);
      const settings = context.settings(options.config);
      const engine = await context.engine();
      const display = new ProgressDisplay(context, options.json === true);
      const log = eventLog('warn');
      const report = await display.during(
        interruptible(context, (signal) =>
          engine.restoreArray(settings, { force: options.force === true, log, signal, onProgress: display.onProgress }),
        ),
        null,
      );
      if (options.json === true) context.stdout.write(`${JSON.stringify(report)}\n`);
      else context.stdout.write(`restored ${bytesText(report.restoredBytes)}: the volume is as it was at LSN ${report.lsn}\n`);
      const { lostBlocks = 0 } = report;
      if (lostBlocks === 0) return;
      context.stderr.write(
        `${lostBlocks} blocks were lost before they reached the backup: reading them is an error until they are written again\n`,
      );
      context.status = EXIT.unavailable;
    });
};

/** Other points than the newest are in the backup, and nothing reads them yet. */
function refuseOtherPoints(to: string): void {
  if (to === 'newest') return;
  throw new KeelsonError('RESTORE_POINT', 'this version restores the newest image only', {
    found: `--to ${to}`,
    expected: '--to newest, or no --to',
    exit: EXIT.usage,
  });
}
