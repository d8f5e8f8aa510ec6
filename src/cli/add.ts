import { resolve } from 'node:path';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';

export const addAdd: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'add',
    summary: 'take a device as a spare',
    example: 'add /dev/sdh',
  })
    .argument('<device>', 'block device or file')
    .action(async (device: string, options: VerbOptions) => {
      await context.client(context.settings(options.config)).add(resolve(device));
      context.stdout.write(`${device} is a spare\n`);
    });
};
