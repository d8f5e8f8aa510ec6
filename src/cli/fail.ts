import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';

export const addFail: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'fail',
    summary: 'stop using a member; refused while that would lose acknowledged data',
    examples: ['fail 3'],
    json: 'print what was failed as JSON',
  })
    .argument('<member>', 'index or path of the member')
    .option('--force', 'fail it although acknowledged data would be lost')
    .action(async (member: string, options: VerbOptions & { force?: boolean }) => {
      await context.client(context.settings(options.config)).fail(member, options.force === true);
      context.stdout.write(options.json === true ? `${JSON.stringify({ failed: member })}\n` : `member ${member} is failed\n`);
    });
};
