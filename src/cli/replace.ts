import { resolve } from 'node:path';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { ProgressDisplay, SERVER_GOES_ON } from './progress-display.js';
import { rebuildText } from './rebuild-text.js';

export const addReplace: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'replace',
    summary: 'put a new device in the place of a member and rebuild it; the array stays in use',
    examples: ['replace 3 /dev/sdh'],
    json: 'print progress and the result as JSON lines',
  })
    .argument('<member>', 'index or path of the member')
    .argument('<device>', 'block device or file that takes its place')
    .option('--force', 'overwrite what the device holds')
    .action(async (member: string, device: string, options: VerbOptions & { force?: boolean }) => {
      const settings = context.settings(options.config);
      const client = context.client(settings);
      const display = new ProgressDisplay(context, options.json === true);
      const force = options.force === true;
      const result = await display.during(client.replace(member, resolve(device), { force }, display.onProgress), SERVER_GOES_ON);
      if (options.json === true) {
        context.stdout.write(`${JSON.stringify(result)}\n`);
        return;
      }
      // The array knows its members by their superblocks, the next start finds them by the file.
      context.stdout.write(`${rebuildText(result)}\nnow put ${resolve(device)} in the place of member ${member} in ${settings.file}\n`);
    });
};
