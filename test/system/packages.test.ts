import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';

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

test('the packages of a release install into an empty project without a compiler, and work; without the platform package the error says what to do', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-packages-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const release = join(folder, 'release');
  const packed = spawnSync(process.execPath, [join(ROOT, 'scripts', 'pack.mjs'), '--as-built', '--output', release], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, KEELSON_OUT: OUT.slice(ROOT.length + 1) },
  });
  t.is(packed.status, 0, packed.stderr);
  const tarballs = readdirSync(release).map((file) => join(release, file));
  t.deepEqual(tarballs.map((file) => file.slice(release.length + 1)).sort(), ['keelson-0.1.0.tgz', `${PLATFORM}-0.1.0.tgz`].sort());

  const env = barePath(t, folder);
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const run = (...[program, ...args]: [string, ...string[]]): { status: number | null; text: string } => {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: project, env, encoding: 'utf8' });
    return { status, text: `${stdout}${stderr}` };
  };
  const installed = run('npm', 'install', '--no-audit', '--no-fund', ...tarballs);
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
  t.is(run('node', 'use.mjs').text, 'works\n');
  const example = join(own, 'examples', 'split-file.mjs');
  t.is(run('node', example, 'split', 'use.mjs', 'shards').status, 0);
  rmSync(join(project, 'shards', 'shard-0'));
  rmSync(join(project, 'shards', 'shard-5'));
  t.is(run('node', example, 'join', 'shards', 'restored').status, 0);
  t.deepEqual(readFileSync(join(project, 'restored')), readFileSync(join(project, 'use.mjs')));
  // The whole command line is there, zstd or not.
  t.regex(run('node', join(project, 'node_modules', '.bin', 'keelson'), '--help').text, /serve[\s\S]*restore/);

  rmSync(join(project, 'node_modules', PLATFORM), { recursive: true });
  const missing = run('node', 'use.mjs');
  t.not(missing.status, 0);
  t.regex(missing.text, /NATIVE_MISSING/);
  t.true(missing.text.includes(`npm install ${PLATFORM}`), missing.text);
});
