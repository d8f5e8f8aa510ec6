import { exposures } from '../config/exposure.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { hintText } from './hint-text.js';
import { interruptible } from './interruption.js';
import { planText } from './plan-text.js';
import { bytesText, counted } from '../base/quantity-text.js';

export const addCreate: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'create',
    summary: 'write superblocks on all members; refuses members that hold anything',
    examples: ['create --dry-run', 'create -c /etc/keelson/keelson.toml'],
    json: 'print the new array as JSON',
  })
    .option('--force', 'overwrite what the members hold')
    .option('--dry-run', 'print what would go where on the members, what is left as volume and the memory that serve takes; touch nothing')
    .action(async (options: VerbOptions & { force?: boolean; dryRun?: boolean }) => {
      const settings = context.settings(options.config);
      const engine = await context.engine();
      if (options.dryRun === true) {
        const plan = await engine.planArray(settings);
        const title = `would create ${plan.name}: ${counted(plan.members.length, 'member')}, volume of ${bytesText(plan.volumeBytes)}\n`;
        context.stdout.write(options.json === true ? `${JSON.stringify({ dryRun: true, ...plan })}\n` : `${title}${planText(plan)}`);
        return;
      }
      const force = options.force === true;
      const report = await interruptible(context, (signal) => engine.createArray(settings, { force, signal }));
      const hints = exposures(settings);
      const title = `created ${report.name}: ${counted(report.members, 'member')}, volume of ${bytesText(report.volumeBytes)}, uuid ${report.uuid}\n`;
      if (options.json === true) context.stdout.write(`${JSON.stringify(hints.length === 0 ? report : { ...report, hints })}\n`);
      else context.stdout.write(`${title}${planText(report.plan)}${hints.map((hint) => hintText(hint)).join('')}`);
    });
};
