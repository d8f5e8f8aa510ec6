// node scripts/run.mjs dist/FILE.js ARGS: sets up what is missing, then runs a compiled program in this process.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setUp } from './set-up.mjs';

setUp();
const [program = '', ...args] = process.argv.slice(2);
const file = join(root, program);
if (program === '' || !existsSync(file)) {
  process.stderr.write(`keelson: there is no ${program || 'program named'}; usage: node scripts/run.mjs dist/FILE.js ARGS\n`);
  process.exit(2);
}
process.argv = [process.argv[0], file, ...args];
await import(pathToFileURL(file).href);
