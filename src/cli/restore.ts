import { Option } from 'commander';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { eventLog } from './event-log.js';
import { interruptible } from './interruption.js';
import { ProgressDisplay } from './progress-display.js';
import { bytesText, counted } from '../base/quantity-text.js';

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
      const { lsn, newestLsn, lostBlocks = 0 } = report;
      const time = new Date(report.time).toISOString();
      if (options.json === true)
        context.stdout.write(`${JSON.stringify({ ...report, time, newest: newestLsn === null ? null : newestLsn === lsn })}\n`);
      else {
        const which = lsn === newestLsn ? ', the newest that the backup has' : '';
        const lost = lostBlocks === 0 ? '' : `, but for ${counted(lostBlocks, 'block')}`;
        context.stdout.write(
          `restored ${bytesText(report.restoredBytes)}: the volume is as it was at LSN ${lsn}, published at ${time}${which}${lost}\n`,
        );
      }
      if (lostBlocks > 0) {
        context.stderr.write(
          `${counted(lostBlocks, 'block')} of it had been lost before the backup got them: reading them is an error until they are written again\n`,
        );
        context.status = EXIT.unavailable;
      }
      if (newestLsn === null)
        context.stderr.write(
          'the backup did not say at the end whether it has a newer image: look at that before you write to the volume\n',
        );
      if (newestLsn === null || newestLsn === lsn) return;
      context.stderr.write(
        `the backup has a newer image now, of LSN ${newestLsn}: another server of this array published while it was restored\n  do: stop that server, then keelson restore --force\n`,
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
