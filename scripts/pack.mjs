// npm run pack:release [-- --output FOLDER] [--cross] [--artifacts FOLDER] [--as-built]: the npm packages of a release as tarballs: keelson itself, without a
// binary, and a platform package for each binary that there is: the one built here; with --cross, the one for arm64 that cross-build.mjs builds; those of other
// machines, put into --artifacts as keelson.PLATFORM.node.
// --as-built: takes build/ and the compiled files (KEELSON_OUT, else dist/) as they are.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { crossBuild } from './cross-build.mjs';
import { root, setUp } from './set-up.mjs';

const { values: options } = parseArgs({
  options: {
    output: { type: 'string', default: 'release' },
    artifacts: { type: 'string' },
    cross: { type: 'boolean', default: false },
    'as-built': { type: 'boolean', default: false },
  },
});
const output = resolve(options.output);
let stage = '';

function run(title, command, args, cwd = stage) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status === 0) return stdout;
  process.stderr.write(`${stdout}${stderr}keelson: ${title} failed\n`);
  process.exit(1);
}

const napi = (...args) =>
  run(`napi ${args[0]}`, process.execPath, [join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js'), ...args]);

/** What package.json names under `files`, and what npm always packs. */
function stageFiles() {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  mkdirSync(output, { recursive: true });
  // What --output names may hold more than a former release: only that goes.
  for (const file of readdirSync(output)) if (/^keelson-.*\.tgz$/.test(file)) rmSync(join(output, file));
  stage = mkdtempSync(join(output, 'stage-'));
  mkdirSync(join(stage, 'artifacts'));
  for (const file of ['package.json', 'README.md', 'LICENSE', ...manifest.files]) {
    const from = file.startsWith('dist/') ? join(process.env.KEELSON_OUT ?? 'dist', file.slice('dist/'.length)) : file;
    if (existsSync(join(root, from))) cpSync(join(root, from), join(stage, file), { recursive: true });
  }
  return manifest;
}

function stageBinaries(binaryName) {
  const built = join(root, 'build', 'Release', `${binaryName}.node`);
  if (existsSync(built)) cpSync(built, join(stage, 'artifacts', `${binaryName}.linux-${process.arch}-gnu.node`));
  if (options.cross) crossBuild(join(stage, 'artifacts'));
  if (options.artifacts !== undefined) cpSync(resolve(options.artifacts), join(stage, 'artifacts'), { recursive: true });
  const binaries = readdirSync(join(stage, 'artifacts'));
  if (binaries.length === 0) {
    process.stderr.write('keelson: there is no binary to pack: npm run build\n');
    process.exit(1);
  }
  return binaries.map((file) => file.slice(binaryName.length + 1, -'.node'.length));
}

/** Rust's names, as @napi-rs/cli wants them, of the platforms that keelson.PLATFORM.node can be for. */
const PLATFORM_OF = { 'x86_64-unknown-linux-gnu': 'linux-x64-gnu', 'aarch64-unknown-linux-gnu': 'linux-arm64-gnu' };

if (!options['as-built']) setUp();
const { napi: config } = stageFiles();
const platforms = stageBinaries(config.binaryName);
// @napi-rs/cli refuses a target without its binary: those that are not here are left out, and named.
const targets = config.targets.filter((target) => platforms.includes(PLATFORM_OF[target]));
const missing = config.targets.filter((target) => !targets.includes(target)).map((target) => PLATFORM_OF[target]);
const manifestPath = join(stage, 'package.json');
const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'));
writeFileSync(manifestPath, JSON.stringify({ ...manifest, napi: { ...config, targets } }, null, 2));

napi('create-npm-dirs');
napi('artifacts', '--output-dir', 'artifacts');
// Writes the platform packages into optionalDependencies. Nothing is published: that is for whoever holds the key, with npm publish of the tarballs.
napi('pre-publish', '--no-gh-release', '--skip-optional-publish', '--tag-style', 'npm');

for (const folder of [...targets.map((target) => join(stage, 'npm', PLATFORM_OF[target])), stage]) {
  const [{ filename, size }] = JSON.parse(
    run('npm pack', 'npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', output], folder),
  );
  process.stdout.write(`${join(output, filename)}  ${(size / 1024).toFixed(0)} KiB\n`);
}
rmSync(stage, { recursive: true });
if (missing.length > 0)
  process.stdout.write(
    `without ${missing.join(', ')}: put keelson.${missing[0]}.node into a folder and name it with --artifacts, or build it here with --cross\n`,
  );
