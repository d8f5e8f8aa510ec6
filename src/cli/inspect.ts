import { resolve } from 'node:path';
import { EXIT } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import type { ReportValue } from './engine-port.js';

export const addInspect: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'inspect',
    summary: 'print the superblock and zones of one device, offline; exit status 1: it is no member, or a damaged one',
    examples: ['inspect /dev/sdb'],
    json: 'print it as JSON',
  })
    .argument('<device>', 'block device or file')
    .action(async (device: string, options: VerbOptions) => {
      const engine = await context.engine();
      const report = await engine.inspectDevice(resolve(device));
      // A member whose superblocks are damaged: the report says what of it can be read.
      if (report.error !== undefined && report.error !== null) context.status = EXIT.failed;
      context.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : indented(report, 0));
    });
};

function indented(fields: { readonly [key: string]: ReportValue }, depth: number): string {
  const margin = '  '.repeat(depth);
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (isTable(value)) text += `${margin}${key}:\n${indented(value, depth + 1)}`;
    else if (Array.isArray(value) && value.some(isTable)) {
      value.forEach((item, index) => {
        text += isTable(item) ? `${margin}${key} ${index}:\n${indented(item, depth + 1)}` : `${margin}${key} ${index}: ${String(item)}\n`;
      });
    } else text += `${margin}${key}: ${Array.isArray(value) ? value.join(', ') : String(value)}\n`;
  }
  return text;
}

function isTable(value: ReportValue): value is { readonly [key: string]: ReportValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
