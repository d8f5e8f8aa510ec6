import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** dist/test/house -> the repository. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Every file under a folder whose name ends as given, in order of path; not those of installed packages (bench/peers has its own). */
export function filesUnder(folder: string, ...endings: readonly string[]): readonly SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes('/node_modules/'))
    .sort()
    .map((file) => ({ path: relative(ROOT, file).replaceAll('\\', '/'), text: readFileSync(file, 'utf8') }));
}

export interface Import {
  readonly line: number;
  /** As written: './x.js' or a package's name. */
  readonly specifier: string;
  /** Path of the .ts file, relative to the repository; null for a package. */
  readonly target: string | null;
  /** Nothing of it is left when the program runs. */
  readonly typeOnly: boolean;
}

/** Imports, re-exports, dynamic imports with a literal, and worker entries: new URL('./x.js', import.meta.url). */
export function importsOf(file: SourceFile): readonly Import[] {
  const forms = [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
    /\bnew URL\(\s*['"](\.[^'"]+\.js)['"]\s*,\s*import\.meta\.url\s*\)/g,
  ];
  // Comments may show imports as examples; a // inside a string (a URL) is left alone.
  const code = file.text.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' ')).replaceAll(/^\s*\/\/.*$/gm, '');
  const found: Import[] = [];
  for (const form of forms) {
    for (const match of code.matchAll(form)) {
      const specifier = match[1] ?? '';
      const line = code.slice(0, match.index + match[0].length).split('\n').length;
      const target = specifier.startsWith('.') ? join(dirname(file.path), specifier).replace(/\.js$/, '.ts') : null;
      // Every name marked, or the whole statement: import type { A }, import { type A, type B }.
      const names = /\{([^}]*)\}/
        .exec(match[0])?.[1]
        ?.split(',')
        .filter((name) => name.trim() !== '');
      const typeOnly = /^\s*(import|export)\s+type\b/.test(match[0]) || (names?.every((name) => /^\s*type\s/.test(name)) ?? false);
      found.push({ line, specifier, target, typeOnly });
    }
  }
  return found;
}
