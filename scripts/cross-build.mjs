// node scripts/cross-build.mjs [FOLDER]: the addon for aarch64 by the same binding.gyp, with Debian's cross compiler (g++-aarch64-linux-gnu), as
// FOLDER/keelson.linux-arm64-gnu.node (default: build-cross). npm run pack:release -- --cross packs it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { headersPrefix, root } from './set-up.mjs';

const TRIPLET = 'aarch64-linux-gnu';
const NAME = 'keelson.linux-arm64-gnu.node';

/** Returns the binary's path, or throws what the compiler said. */
export function crossBuild(folder) {
  // A folder of its own: node-gyp builds into ./build, where the addon of this machine is.
  const work = mkdtempSync(join(tmpdir(), 'keelson-cross-'));
  try {
    for (const name of ['native', 'binding.gyp', 'package.json']) cpSync(join(root, name), join(work, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(work, 'node_modules'));
    const args = [join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'), 'configure', 'build', '--arch=arm64', '--silent'];
    const prefix = headersPrefix();
    if (prefix !== '') args.push(`--nodedir=${prefix}`);
    const tools = { CC: `${TRIPLET}-gcc`, CXX: `${TRIPLET}-g++`, LINK: `${TRIPLET}-g++`, AR: `${TRIPLET}-ar`, JOBS: 'max' };
    const { status, error, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: work,
      encoding: 'utf8',
      env: { ...process.env, ...tools },
      maxBuffer: 64 * 1024 * 1024,
    });
    if (status !== 0)
      throw new Error(
        `${stdout}${stderr}${error?.message ?? ''}\nkeelson: the addon could not be built with ${tools.CXX} (Debian: g++-${TRIPLET})`,
      );
    mkdirSync(folder, { recursive: true });
    copyFileSync(join(work, 'build', 'Release', 'keelson.node'), join(folder, NAME));
    return join(folder, NAME);
  } finally {
    rmSync(work, { recursive: true });
  }
}

if (process.argv[1]?.endsWith('cross-build.mjs')) process.stdout.write(`${crossBuild(resolve(process.argv[2] ?? 'build-cross'))}\n`);
