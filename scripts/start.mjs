// npm start: sets up what is missing, then runs `keelson ARGS` in this process. Without ARGS it makes (once) and serves the demonstration array.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { demonstration, hints, writeDemonstration } from './demonstration.mjs';
import { root, setUp } from './set-up.mjs';

setUp();
const main = join(root, 'dist', 'src', 'cli', 'main.js');
let args = process.argv.slice(2);
const own = demonstration(process.cwd());

if (args.length === 0) {
  if (!existsSync(own.created)) {
    process.stderr.write(`keelson: making the demonstration array under ${relative(process.cwd(), own.folder)}\n`);
    writeDemonstration(own);
    // --force: a first run that was interrupted leaves half-made members, and they are the demonstration's own files.
    const made = spawnSync(process.execPath, [main, 'create', '--force', '-c', own.config], { stdio: ['ignore', 'inherit', 'inherit'] });
    if (made.status !== 0) process.exit(made.status ?? 1);
    own.markCreated();
  }
  process.stdout.write(hints(own));
  args = ['serve', '-c', own.config];
} else if (!existsSync('keelson.toml') && existsSync(own.created)) {
  // `npm start -- status` speaks to the demonstration array unless there is a configuration of one's own.
  process.env.KEELSON_CONFIG ??= own.config;
}

process.argv = [process.argv[0], main, ...args];
await import(pathToFileURL(main).href);
