import { resolve } from 'node:path';
import type { CliContext } from './context.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import type { WipeReport } from './engine-port.js';

export const addWipe: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'wipe',
    summary: 'take our signature off a device that is in no running array, so that create and replace take it; asks',
    examples: ['wipe /dev/sdb'],
    json: 'print what was taken off as JSON',
  })
    .argument('<device>', 'block device or file')
    .option('--force', 'do not ask')
    .action(async (device: string, options: VerbOptions & { force?: boolean }) => {
      const path = resolve(device);
      const json = options.json === true;
      const engine = await context.engine();
      const wiped = await engine.wipeDevice(path, async (found) => {
        if (!json) context.stdout.write(`${path}: ${found.holds}\n`);
        return options.force === true || (!json && (await approved(context, found)));
      });
      if (json) context.stdout.write(`${JSON.stringify({ path, ...wiped, wiped: wiped !== null })}\n`);
      else context.stdout.write(wiped === null ? `${path} is blank: nothing to wipe\n` : `${path} is wiped: create and replace take it\n`);
    });
};

async function approved(context: CliContext, { array }: WipeReport): Promise<boolean> {
  const word = array ?? 'yes';
  const answer = await context.ask(`What the array has on it is lost with that. Type ${word} to wipe it: `);
  return answer === word;
}
