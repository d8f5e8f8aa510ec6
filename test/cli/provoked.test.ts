import { execFile } from 'node:child_process';
import { mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { scratchFolder } from '../device/scratch-files.js';
import { ROOT } from '../house/source-files.js';

const MAIN = join(ROOT, 'dist/src/cli/main.js');

interface Provocation {
  readonly title: string;
  /** Lines of the configuration after name and [stripe]; members and their size are there. */
  readonly toml?: string;
  readonly members?: readonly string[];
  readonly memberSize?: string;
  readonly prepare?: (folder: string) => void;
  /** A limit of the process, for ulimit. */
  readonly limit?: string;
  readonly args: readonly string[];
  readonly code: string;
  readonly exit: number;
}

const path = 'x'.repeat(300);
/** ulimit -v counts in process.constrainedMemory. */
const TELLS_OF_LIMIT = Number(process.versions.node.split('.')[0]) >= 24;
const PROVOCATIONS: readonly Provocation[] = [
  { title: 'a slab of 5 GiB', toml: '[memory]\nslab = "5GiB"\n', args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a negative slab', toml: '[memory]\nslab = "-1MiB"\n', args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'members of 17 TiB', memberSize: '17TiB', args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'members of no size', memberSize: '0B', args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a member size of 2^53', memberSize: '9007199254740992B', args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a ring of 2^53', toml: '[journal]\nsize = "9007199254740992B"\n', args: ['create'], code: 'CONFIG', exit: 2 },
  { title: '255 members', members: Array.from({ length: 255 }, (_, i) => `m${i}`), args: ['create'], code: 'CONFIG', exit: 2 },
  { title: '/dev/null as a member', members: ['/dev/null', 'b', 'c'], args: ['create'], code: 'CONFIG', exit: 2 },
  { title: '/dev/zero as a member', members: ['/dev/zero', 'b', 'c'], args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a directory as a member', prepare: (at) => mkdirSync(join(at, 'a')), args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a link in a circle as a member', prepare: (at) => symlinkSync('a', join(at, 'a')), args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a member below a file', members: ['keelson.toml/a', 'b', 'c'], args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'a name that is too long', members: [path, 'b', 'c'], args: ['create'], code: 'CONFIG', exit: 2 },
  { title: 'files larger than the process may make', limit: '-f 1000', args: ['create'], code: 'MEMBER_FILE', exit: 1 },
  {
    title: 'a slab beyond the address space of the process',
    toml: '[memory]\nslab = "2GiB"\n',
    limit: '-v 2000000',
    args: ['serve'],
    // Newer versions of Node tell of the limit, so that it is refused beforehand.
    ...(TELLS_OF_LIMIT ? { code: 'MEMORY_TOO_SMALL', exit: 2 } : { code: 'MEMORY_DENIED', exit: 1 }),
  },
  { title: 'inspect /dev/null', args: ['inspect', '/dev/null'], code: 'DEVICE_OPEN', exit: 1 },
  { title: 'inspect of a directory', args: ['inspect', '/'], code: 'DEVICE_OPEN', exit: 1 },
  { title: 'inspect of a name that is too long', args: ['inspect', path], code: 'DEVICE_OPEN', exit: 1 },
  { title: 'a directory as configuration', args: ['create', '-c', '/'], code: 'CONFIG_MISSING', exit: 2 },
];

const WORDS: Readonly<Record<string, RegExp>> = { CONFIG: /found .*; allowed: /s };

for (const { title, toml = '', members = ['a', 'b', 'c'], memberSize = '32MiB', prepare, limit, args, code, exit } of PROVOCATIONS) {
  test(`an error of its own, with what was found and what to do: ${title}`, async (t) => {
    const folder = scratchFolder(t);
    const stripe = `[stripe]\nmembers = ${JSON.stringify(members)}\nparity = 1\nmemberSize = "${memberSize}"\n`;
    writeFileSync(join(folder, 'keelson.toml'), `name = "hurt"\n${stripe}${toml}`);
    prepare?.(folder);
    const words = [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(' ');
    // Node 22 itself wants address space for WebAssembly when it ends, and ends with a stack otherwise.
    const script = `${limit === undefined ? '' : `ulimit ${limit}; export NODE_OPTIONS=--disable-wasm-trap-handler; `}exec ${words}`;
    const { status, stderr } = await new Promise<{ status: number; stderr: string }>((resolve) => {
      execFile('bash', ['-c', script], { cwd: folder }, (error, _, text) => resolve({ status: Number(error?.code ?? 0), stderr: text }));
    });
    t.is(status, exit, stderr);
    t.regex(stderr, new RegExp(`\\(${code}\\)`));
    t.notRegex(stderr, /INTERNAL|ASSERTION|\n {4}at /);
    t.regex(stderr, WORDS[code] ?? /\n {2}found: .*\n {2}expected: .*\n {2}do: /);
  });
}

test('what the system refuses where no code of ours speaks of it is SYSTEM_CALL, with what to do; a defect stays INTERNAL', (t) => {
  const limit = KeelsonError.from(Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE', syscall: 'open', path: '/x' }));
  t.like(limit, { code: 'SYSTEM_CALL', found: 'EMFILE from open of /x' });
  t.regex(limit.action ?? '', /ulimit -n/);
  const missing = t.throws(() => openSync('/nowhere/at/all', 'r'));
  t.like(KeelsonError.from(missing), { code: 'SYSTEM_CALL', found: 'ENOENT from open of /nowhere/at/all' });
  t.is(KeelsonError.from(new TypeError('x is undefined')).code, 'INTERNAL');
});
