import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runQuietly } from './command.js';

const PREFIX = 'keelson-system-';

/**
 * A folder of scratch files and the list of what has to be undone, in reverse order, when the test ends: by its teardown, or, when the
 * process is told to stop in the middle, at exit. Everything on the list is blocking for that reason.
 */
export class Scratch {
  /** On the system disk: the sockets, the logs, the configuration. */
  readonly folder: string;
  #memory: string | null = null;
  readonly #undo: (() => void)[] = [];

  constructor() {
    sweepAbandoned();
    this.folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
    open.add(this);
    this.onClose(() => remove(this.folder));
  }

  /** A tmpfs of its own, where members may be files: the product makes none under /dev. Memory, so keep it small. Needs root. */
  get memory(): string {
    if (this.#memory !== null) return this.#memory;
    const folder = join(this.folder, 'memory');
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=700', 'keelson-test', folder]);
    this.#memory = folder;
    return folder;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  onClose(undo: () => void): void {
    this.#undo.push(undo);
  }

  close(): void {
    open.delete(this);
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        undo();
      } catch {
        // The rest of the list still has to be undone; what remains is swept at the next start.
      }
    }
  }
}

const open = new Set<Scratch>();

function closeAll(): void {
  for (const scratch of open) scratch.close();
}

process.on('exit', closeAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    closeAll();
    process.exit(1);
  });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Detaches and removes what a test process left that was itself killed. */
function sweepAbandoned(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const pid = Number(name.slice(PREFIX.length).split('-')[0]);
    if (!Number.isInteger(pid) || alive(pid)) continue;
    remove(join(tmpdir(), name));
  }
}

/** Removes a folder, with the loop devices over its files and the mounts that a test which failed left on it. */
function remove(folder: string): void {
  const [loops, mounts] = ['losetup -l -n -O NAME,BACK-FILE', 'cat /proc/mounts'].map(
    (list) => `${list} | awk -v f="${folder}/" 'index($2, f) == 1`,
  );
  const script = [
    `for l in $(${loops} { print $1 }'); do umount -l $l; losetup -d $l; done`,
    `${mounts} { print $2 }' | sort -r | xargs -r -n 1 umount -l`,
  ];
  runQuietly('sh', ['-c', script.join('\n')]);
  rmSync(folder, { recursive: true, force: true });
}
