import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';

export const addFlush: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'flush',
    summary: 'put every write acknowledged so far on stable media',
    examples: ['flush'],
    json: 'print {} when it is done',
  }).action(async (options: VerbOptions) => {
    await context.client(context.settings(options.config)).flush();
    if (options.json === true) context.stdout.write('{}\n');
  });
};
