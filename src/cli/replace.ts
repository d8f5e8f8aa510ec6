import { resolve } from 'node:path';
import { EXIT } from '../base/errors.js';
import type { RebuildStatus } from '../control/status.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { ProgressDisplay, SERVER_GOES_ON } from './progress-display.js';
import { lostBlocks, rebuildText } from './rebuild-text.js';

export const addReplace: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'replace',
    summary: 'put a new device in the place of a member and rebuild it; the array stays in use',
    examples: ['replace 3 /dev/sdh'],
    json: 'print progress and the result as JSON lines',
  })
    .argument('<member>', 'index, UUID or path of the member')
    .argument('<device>', 'block device or file that takes its place')
    .option('--force', 'overwrite what the device holds, other than a member of this array')
    .option('--give-up <member>', 'overwrite the device although it may be the only copy of this member')
    .action(async (member: string, device: string, options: VerbOptions & { force?: boolean; giveUp?: string }) => {
      const settings = context.settings(options.config);
      const client = context.client(settings);
      const display = new ProgressDisplay(context, options.json === true);
      const path = resolve(device);
      const insist = { force: options.force === true, ...(options.giveUp === undefined ? {} : { giveUp: options.giveUp }) };
      const result = await display.during(client.replace(member, path, insist, display.onProgress), SERVER_GOES_ON);
      if (options.json === true) context.stdout.write(`${JSON.stringify(result)}\n`);
      else context.stdout.write(`${rebuildText(result)}\n${configurationText(result, path, settings.file)}`);
      if (lostBlocks(result) > 0) context.status = EXIT.unavailable;
    });
};

/** The array knows its members by their superblocks, the next start finds them by the file. */
function configurationText({ replaces }: RebuildStatus, path: string, file: string): string {
  if (replaces === path) return '';
  const where = replaces === null || replaces === undefined ? 'a path that no member is at any more (keelson status)' : replaces;
  return `now put ${path} in the place of ${where} in ${file}: the next start looks there\n`;
}
