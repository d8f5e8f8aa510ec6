import { EXIT } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { ProgressDisplay, SERVER_GOES_ON } from './progress-display.js';
import { lostBlocks, planText, rebuildText } from './rebuild-text.js';

export const addRebuild: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'rebuild',
    summary: 'make every member whole that has its device, and wait for it; --plan only says where each range comes from',
    examples: ['rebuild --plan', 'rebuild'],
    json: 'print the plan as JSON, or progress and the result as JSON lines',
  })
    .option('--plan', 'change nothing: print survivor, parity, journal or backup for every range, with bytes')
    .action(async (options: VerbOptions & { plan?: boolean }) => {
      const client = context.client(context.settings(options.config));
      const json = options.json === true;
      if (options.plan === true) {
        const plan = await client.plan();
        context.stdout.write(json ? `${JSON.stringify(plan)}\n` : planText(plan));
        return;
      }
      const display = new ProgressDisplay(context, json);
      const result = await display.during(client.rebuild(display.onProgress), SERVER_GOES_ON);
      if (json) context.stdout.write(`${JSON.stringify(result)}\n`);
      else context.stdout.write(result === null ? 'nothing to rebuild\n' : `${rebuildText(result)}\n`);
      if (result !== null && lostBlocks(result) > 0) context.status = EXIT.unavailable;
    });
};
