import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
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
  /** On tmpfs: the backing files of loop devices. Memory, so keep it small. */
  readonly memory: string;
  readonly #undo: (() => void)[] = [];

  constructor() {
    sweepAbandoned('/dev/shm');
    sweepAbandoned(tmpdir());
    this.folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
    this.memory = mkdtempSync(join('/dev/shm', `${PREFIX}${process.pid}-`));
    open.add(this);
    this.onClose(() => {
      for (const folder of [this.memory, this.folder]) remove(folder);
    });
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
function sweepAbandoned(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const pid = Number(name.slice(PREFIX.length).split('-')[0]);
    if (!Number.isInteger(pid) || alive(pid)) continue;
    remove(join(parent, name));
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
