import type Zstd from 'zstd-napi/binding.js';
import { KeelsonError } from '../../base/errors.js';

let reason = '';
// An optional dependency, since it is compiled where no prebuilt binary of it can be fetched: without it everything but compressed segments works.
const library: typeof Zstd | null = await import('zstd-napi/binding.js').then(
  (module) => module.default,
  (error: unknown) => {
    reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return null;
  },
);

/** Throws ZSTD_MISSING where the library is not installed. */
export function requireZstd(): typeof Zstd {
  if (library !== null) return library;
  throw new KeelsonError('ZSTD_MISSING', 'zstd is not installed, and the repository is or shall be compressed', {
    found: reason,
    expected: 'the package zstd-napi, with its binary',
    action: 'install a C++ compiler and run "npm install zstd-napi" beside keelson; or set compression = "none" for a new repository',
  });
}
