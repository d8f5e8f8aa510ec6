import { EXIT, type ExitStatus, KeelsonError } from '../base/errors.js';
import type { ControlClient } from '../control/control-client.js';
import type { ArrayState, ArrayStatus } from '../control/status.js';
import type { CliContext } from './context.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { errorJson, errorText } from './error-output.js';
import { statusText } from './status-text.js';

const WATCH_INTERVAL_MS = 2_000;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

const EXIT_OF = {
  online: EXIT.done,
  degraded: EXIT.degraded,
  'beyond-parity': EXIT.degraded,
  failed: EXIT.unavailable,
} as const satisfies Record<ArrayState, number>;

/** Troubles with which an array that has all its members does not work as it should. */
const TROUBLES = new Set(['RING_FULL', 'JOURNAL_GONE', 'RING_WITHOUT_COPY', 'DESTAGE_BLOCKED']);

/** A backup that is not there is a protection that is not there: 4, as for a member. So it is until the host has answered for the first time. */
function exitOf({ state, alarms, drain }: ArrayStatus): ExitStatus {
  const away = drain.state === 'unreachable' || drain.state === 'connecting';
  return state === 'online' && (away || alarms.some(({ code }) => TROUBLES.has(code))) ? EXIT.degraded : EXIT_OF[state];
}

export const addStatus: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'status',
    summary: 'state, members, journal, drain, tolerance, rebuild, alarms; exit status 4: degraded, 5: data are unavailable',
    examples: ['status', 'status --watch'],
    json: 'print the status as JSON (one object a line with --watch)',
  })
    .option('--watch', `show it again every ${WATCH_INTERVAL_MS / 1000} seconds until interrupted, over restarts of the server`)
    .action(async (options: VerbOptions & { watch?: boolean }) => {
      const client = context.client(context.settings(options.config));
      const show = (status: ArrayStatus): void => {
        context.status = exitOf(status);
        const { isTTY: colour, columns } = context.stdout;
        context.stdout.write(options.json === true ? `${JSON.stringify(status)}\n` : statusText(status, { colour, columns }));
      };
      if (options.watch === true) await watch(client, show, options.json === true, context);
      else show(await client.status());
    });
};

/** Until a signal. The server may go and come back meanwhile: that is told once, and looked at again. */
async function watch(client: ControlClient, show: (status: ArrayStatus) => void, json: boolean, context: CliContext): Promise<void> {
  const clear = (): void => {
    if (!json && context.stdout.isTTY) context.stdout.write(CLEAR_SCREEN);
  };
  let watching = true;
  let told = '';
  const offSignal = context.onSignal(() => {
    watching = false;
    context.exit(context.status);
  });
  try {
    while (watching) {
      try {
        const status = await client.status();
        clear();
        show(status);
        told = '';
      } catch (error) {
        const known = KeelsonError.from(error);
        if (known.code !== 'CONTROL_NOT_RUNNING' && known.code !== 'CONTROL_LOST') throw error;
        context.status = known.exit;
        if (told === '') clear();
        if (told !== known.code) context.stderr.write(json ? errorJson(known) : errorText(known));
        told = known.code;
      }
      await context.pause(WATCH_INTERVAL_MS);
    }
  } finally {
    offSignal();
  }
}
