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
let onServing;
const own = demonstration(process.cwd());

if (args.length === 0) {
  if (!existsSync(own.created)) {
    process.stderr.write(`keelson: making the demonstration array under ${relative(process.cwd(), own.folder)}\n`);
    writeDemonstration(own);
    // Without --force: a first run that is interrupted takes back what it made, and keelson.toml may be one of the user's own, over devices.
    const made = spawnSync(process.execPath, [main, 'create', '-c', own.config], { stdio: ['ignore', 'inherit', 'inherit'] });
    if (made.status === 3)
      process.stderr.write(
        `keelson: a demonstration that was killed as it began: remove ${relative(process.cwd(), own.folder)} to begin again\n`,
      );
    if (made.status !== 0) process.exit(made.status ?? 1);
    own.markCreated();
  }
  args = ['serve', '-c', own.config];
  onServing = ([uri]) => process.stdout.write(hints(own, uri));
} else if (!existsSync('keelson.toml') && existsSync(own.created)) {
  // `npm start -- status` speaks to the demonstration array unless there is a configuration of one's own.
  process.env.KEELSON_CONFIG ??= own.config;
}

const load = (file) => import(pathToFileURL(join(root, 'dist', 'src', 'cli', file)).href);
const [{ processContext }, { runProcess }] = await Promise.all([load('context.js'), load('run-process.js')]);
const context = processContext();
// What to try is said when it can be tried.
if (onServing !== undefined) context.onServing = onServing;
await runProcess(args, context);
