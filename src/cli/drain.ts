import { EXIT } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { ProgressDisplay, SERVER_GOES_ON } from './progress-display.js';

export const addDrain: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'drain',
    summary: 'copy everything journaled so far to the backup, now',
    examples: ['drain --wait'],
    json: 'print progress and the drained LSN as JSON lines',
  })
    .option('--wait', 'return only when it is on the backup')
    .action(async (options: VerbOptions & { wait?: boolean }) => {
      const client = context.client(context.settings(options.config));
      const wait = options.wait === true;
      const display = new ProgressDisplay(context, options.json === true);
      const { drainedLsn, lostBlocks = 0 } = await display.during(client.drain(wait, display.onProgress), SERVER_GOES_ON);
      if (options.json === true) context.stdout.write(`${JSON.stringify({ drainedLsn, lostBlocks })}\n`);
      else if (lostBlocks > 0)
        context.stdout.write(
          `drained up to LSN ${drainedLsn}, without ${lostBlocks} blocks that nobody has any more: the backup calls them lost too\n`,
        );
      else context.stdout.write(wait ? `drained up to LSN ${drainedLsn}\n` : 'draining\n');
      if (lostBlocks > 0) context.status = EXIT.unavailable;
    });
};
