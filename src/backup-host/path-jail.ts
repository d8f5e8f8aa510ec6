import { lstat } from 'node:fs/promises';
import { join, posix } from 'node:path';

/** A path that the jail does not let through. */
export class JailRefusal extends Error {}

/**
 * Maps the paths of an SFTP client into one directory. ".." stops at the root, as in a chroot; a symbolic link anywhere on the way is
 * refused, since its target may lie outside. (Whoever can make links in the directory owns it already; the server itself makes none.)
 */
export class PathJail {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** The client's absolute name of a path. */
  virtual(path: string): string {
    return posix.join('/', path);
  }

  /** The path on this host. Throws JailRefusal. */
  async resolve(path: string): Promise<string> {
    if (path.includes('\0')) throw new JailRefusal('a NUL byte in a path');
    let real = this.#root;
    for (const part of this.virtual(path).split('/')) {
      if (part === '') continue;
      real = join(real, part);
      const found = await lstat(real).catch(() => null);
      if (found?.isSymbolicLink()) throw new JailRefusal(`a symbolic link: ${path}`);
    }
    return real;
  }
}
