// Installs and builds what is missing or outdated, and nothing else. Plain JavaScript without dependencies: it runs before there are any.
// Each stamp lies inside what it vouches for, so deleting node_modules, build or dist deletes its stamp too.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingHeaders, missingTools } from './build-tools.mjs';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const STAMP = '.keelson-stamp';
/** ssh2 loads it with 22.x and 20.19 alike; below that, ES modules cannot be required and AVA does not start. */
const NODE_MIN = [20, 19];

function filesUnder(folder, accept) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && accept(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Hash of names, sizes and modification times: content is not read, so the check stays in milliseconds. */
function fingerprint(files, extra = '') {
  const hash = createHash('sha256').update(extra);
  for (const file of files) {
    const stat = statSync(file, { throwIfNoEntry: false });
    hash.update(`${relative(root, file)}\0${stat ? `${stat.size} ${stat.mtimeMs}` : 'missing'}\n`);
  }
  return hash.digest('hex');
}

function stampOf(folder) {
  try {
    return readFileSync(join(folder, STAMP), 'utf8');
  } catch {
    return '';
  }
}

function writeStamp(folder, value) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, STAMP), value);
}

let onFailure = () => undefined;

function giveUp() {
  onFailure();
  process.exit(1);
}

/** Said before minutes of work end in a compiler's message. */
function refuseWithoutTools() {
  const missing = missingTools(process.env);
  if (missing === '') return;
  process.stderr.write(missing);
  giveUp();
}

/** Progress goes to stderr: stdout belongs to the command that follows. */
function step(title, command, args, env = process.env, advice = '') {
  process.stderr.write(`keelson: ${title}\n`);
  const started = Date.now();
  const result = spawnSync(command, args, {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status === 0) {
    process.stderr.write(`keelson: ${title}: done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
    return;
  }
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  process.stderr.write(`keelson: ${title}: failed (${result.error?.message ?? `exit status ${result.status ?? result.signal}`})\n`);
  process.stderr.write(`  command: ${[command, ...args].join(' ')}\n${advice}`);
  giveUp();
}

/** Where this Node's own headers are, or '': then node-gyp finds (or fetches) them its own way. */
export function headersPrefix() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node.h')) ? prefix : '';
}

function buildEnvironment() {
  const env = { ...process.env };
  // Native dependencies are compiled here instead of fetching binaries from elsewhere: set-up needs only the npm registry.
  env.npm_config_build_from_source = 'true';
  env.JOBS ??= 'max';
  const prefix = headersPrefix();
  // node-gyp's own spelling: `npm_config_nodedir` draws a warning from npm 11.
  if (prefix !== '') env.npm_package_config_node_gyp_nodedir = prefix;
  return env;
}

/** True when node_modules holds just what package-lock.json asks for, by npm's own record of what it installed. */
function installedAsLocked() {
  let wanted;
  let installed;
  try {
    wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return false;
  }
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || (entry.optional === true && installed[path] === undefined)) continue;
    if (installed[path]?.version !== entry.version) return false;
  }
  return existsSync(join(root, 'node_modules', 'zstd-napi', 'build', 'Release', 'binding.node'));
}

function install() {
  const lock = join(root, 'package-lock.json');
  const print = createHash('sha256').update(readFileSync(lock)).digest('hex');
  const modules = join(root, 'node_modules');
  if (stampOf(modules) === print) return print;
  if (!installedAsLocked()) {
    refuseWithoutTools();
    step(
      'installing dependencies (npm ci; the native ones are compiled, about a minute)',
      'npm',
      ['ci', '--no-audit', '--no-fund', '--loglevel=error'],
      buildEnvironment(),
      missingHeaders(process.execPath, headersPrefix()),
    );
    if (!installedAsLocked()) {
      process.stderr.write(
        'keelson: npm ci left node_modules incomplete. zstd-napi is compiled by its install script: that needs a C++ compiler, make and Python 3, and\n' +
          '  install scripts that are not switched off (ignore-scripts). npm rebuild --build-from-source zstd-napi shows what is wrong.\n',
      );
      giveUp();
    }
  }
  writeStamp(modules, print);
  return print;
}

function buildAddon(lockPrint) {
  const folder = join(root, 'build');
  const sources = [join(root, 'binding.gyp'), ...filesUnder(join(root, 'native'), (name) => /\.(cc|cpp|c|h|hpp|S|gypi)$/.test(name))];
  const print = fingerprint(sources, lockPrint);
  if (stampOf(folder) === print && existsSync(join(folder, 'Release', 'keelson.node'))) return;
  refuseWithoutTools();
  const args = [join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'), 'configure', 'build', '--silent'];
  const prefix = headersPrefix();
  if (prefix !== '') args.push(`--nodedir=${prefix}`);
  step('compiling the native addon', process.execPath, args, buildEnvironment(), missingHeaders(process.execPath, prefix));
  writeStamp(folder, print);
}

/** Compiled files whose source is gone would still be run, or imported, by whoever does not know. */
function removeOrphans(outFolder) {
  for (const file of filesUnder(outFolder, (name) => /\.(d\.ts|js|js\.map)$/.test(name))) {
    const source = join(root, relative(outFolder, file).replace(/\.(d\.ts|js\.map|js)$/, '.ts'));
    if (!existsSync(source)) rmSync(file);
  }
}

function compile(lockPrint) {
  const folder = join(root, 'dist');
  const sources = ['src', 'test', 'bench'].flatMap((name) => filesUnder(join(root, name), (file) => file.endsWith('.ts')));
  const print = fingerprint([join(root, 'tsconfig.json'), ...sources], lockPrint);
  if (stampOf(folder) === print) return;
  step('compiling TypeScript', process.execPath, [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    join(root, 'tsconfig.json'),
    // What has not changed since the last build is not compiled again: a fifth of the time.
    '--incremental',
    '--tsBuildInfoFile',
    join(folder, '.tsbuildinfo'),
  ]);
  removeOrphans(folder);
  writeStamp(folder, print);
}

/** Silent, and done in well under half a second, when nothing is to do. When a step fails: calls `failed`, then ends the process with status 1. */
export function setUp(failed = onFailure) {
  onFailure = failed;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    process.stderr.write(`keelson: Node ${NODE_MIN.join('.')} or later is needed, this is ${process.versions.node}\n`);
    giveUp();
  }
  if (process.platform !== 'linux') {
    process.stderr.write(`keelson: Linux is needed, this is ${process.platform}\n`);
    giveUp();
  }
  const lockPrint = install();
  buildAddon(lockPrint);
  compile(lockPrint);
}
