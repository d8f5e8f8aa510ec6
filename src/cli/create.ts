import { exposures } from '../config/exposure.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { trialText, trialWarning } from './backup-text.js';
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
    .option(
      '--dry-run',
      'print what would go where on the members, what is left as volume and the memory that serve takes; ask the backup; change nothing',
    )
    .action(async (options: VerbOptions & { force?: boolean; dryRun?: boolean }) => {
      const settings = context.settings(options.config);
      const engine = await context.engine();
      const dry = options.dryRun === true;
      // What this host refuses is said before the backup host is asked.
      const plan = await engine.planArray(settings);
      const force = options.force === true;
      const { trial, report } = await interruptible(context, async (signal) => {
        const trial = await engine.tryBackup(settings, { write: !dry, signal });
        return { trial, report: dry ? null : await engine.createArray(settings, { force, signal }) };
      });
      const backup = trial === null ? {} : { backup: trial };
      const said = `  ${trialText(trial, settings.stripe.parity)}`;
      if (report === null) {
        const title = `would create ${plan.name}: ${counted(plan.members.length, 'member')}, volume of ${bytesText(plan.volumeBytes)}\n`;
        context.stdout.write(
          options.json === true ? `${JSON.stringify({ dryRun: true, ...plan, ...backup })}\n` : `${title}${planText(plan)}${said}`,
        );
      } else {
        const hints = exposures(settings);
        const title = `created ${report.name}: ${counted(report.members, 'member')}, volume of ${bytesText(report.volumeBytes)}, uuid ${report.uuid}\n`;
        const more = { ...backup, ...(hints.length === 0 ? {} : { hints }) };
        if (options.json === true) context.stdout.write(`${JSON.stringify({ ...report, ...more })}\n`);
        else context.stdout.write(`${title}${planText(report.plan)}${said}${hints.map((hint) => hintText(hint)).join('')}`);
      }
      context.stderr.write(trialWarning(trial, report !== null));
    });
};
