import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { interruptible } from './interruption.js';
import { bytesText, counted } from './quantity-text.js';

export const addCreate: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'create',
    summary: 'write superblocks on all members; refuses members that hold anything',
    examples: ['create', 'create -c /etc/keelson/keelson.toml'],
    json: 'print the new array as JSON',
  })
    .option('--force', 'overwrite what the members hold')
    .action(async (options: VerbOptions & { force?: boolean }) => {
      const settings = context.settings(options.config);
      const engine = await context.engine();
      const force = options.force === true;
      const report = await interruptible(context, (signal) => engine.createArray(settings, { force, signal }));
      if (options.json === true) context.stdout.write(`${JSON.stringify(report)}\n`);
      else
        context.stdout.write(
          `created ${report.name}: ${counted(report.members, 'member')}, volume of ${bytesText(report.volumeBytes)}, uuid ${report.uuid}\n`,
        );
    });
};
