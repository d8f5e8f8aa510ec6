import { resolve } from 'node:path';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { ProgressDisplay } from './progress-display.js';
import { rebuildText } from './rebuild-text.js';

export const addReplace: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'replace',
    summary: 'put a new device in the place of a member and rebuild it; the array stays in use',
    example: 'replace 3 /dev/sdh',
    json: 'print progress and the result as JSON lines',
  })
    .argument('<member>', 'index or path of the member')
    .argument('<device>', 'block device or file that takes its place')
    .action(async (member: string, device: string, options: VerbOptions) => {
      const client = context.client(context.settings(options.config));
      const display = new ProgressDisplay(context, options.json === true);
      const result = await display.during(client.replace(member, resolve(device), display.onProgress));
      context.stdout.write(options.json === true ? `${JSON.stringify(result)}\n` : `${rebuildText(result)}\n`);
    });
};
