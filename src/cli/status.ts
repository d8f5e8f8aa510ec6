import { EXIT } from '../base/errors.js';
import type { ArrayState } from '../control/status.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { statusText } from './status-text.js';

const WATCH_INTERVAL_MS = 2_000;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

const EXIT_OF = {
  online: EXIT.done,
  degraded: EXIT.degraded,
  'beyond-parity': EXIT.degraded,
  failed: EXIT.unavailable,
} as const satisfies Record<ArrayState, number>;

export const addStatus: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'status',
    summary: 'state, members, journal, drain, tolerance, rebuild, alarms; exit status 4: degraded, 5: data are unavailable',
    example: 'status --watch',
    json: 'print the status as JSON (one object a line with --watch)',
  })
    .option('--watch', `show it again every ${WATCH_INTERVAL_MS / 1000} seconds until interrupted`)
    .action(async (options: VerbOptions & { watch?: boolean }) => {
      const client = context.client(context.settings(options.config));
      let watching = options.watch === true;
      const offSignal = watching
        ? context.onSignal(() => {
            context.exit(context.status);
            watching = false;
          })
        : () => undefined;
      try {
        for (;;) {
          const status = await client.status();
          context.status = EXIT_OF[status.state];
          if (options.json === true) context.stdout.write(`${JSON.stringify(status)}\n`);
          else context.stdout.write(`${watching && context.stdout.isTTY ? CLEAR_SCREEN : ''}${statusText(status, context.stdout.isTTY)}`);
          if (!watching) return;
          await context.pause(WATCH_INTERVAL_MS);
        }
      } finally {
        offSignal();
      }
    });
};
