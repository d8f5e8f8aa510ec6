import { KeelsonError } from '../base/errors.js';
import type { ControlClient } from '../control/control-client.js';
import type { CliContext } from './context.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';

const POLL_MS = 50;
/** Flushing takes seconds; whoever waits longer wants to know. */
const WAIT_MS_MAX = 120_000;

export const addStop: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'stop',
    summary: 'flush and stop the running server; returns when it has',
    examples: ['stop'],
    json: 'print {} when the server has stopped',
  }).action(async (options: VerbOptions) => {
    const client = context.client(context.settings(options.config));
    await client.stop();
    await untilGone(client, context);
    if (options.json === true) context.stdout.write('{}\n');
  });
};

async function untilGone(client: ControlClient, context: CliContext): Promise<void> {
  for (let waited_ms = 0; waited_ms < WAIT_MS_MAX; waited_ms += POLL_MS) {
    await context.pause(POLL_MS);
    try {
      await client.status();
    } catch (error) {
      const { code } = KeelsonError.from(error);
      if (code === 'CONTROL_NOT_RUNNING' || code === 'CONTROL_LOST') return;
      throw error;
    }
  }
  throw new KeelsonError('STOP_SLOW', `the server is still stopping after ${WAIT_MS_MAX / 1000} seconds`, {
    action: 'look at its log; it goes on flushing, and must not be killed if its last writes matter',
  });
}
