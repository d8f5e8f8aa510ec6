import { createHash } from 'node:crypto';
import { RecordReader, RecordWriter } from '../../base/codec.js';
import { KeelsonError } from '../../base/errors.js';
import type { RepositoryKey } from './repository-key.js';

/**
 * The container of every small file: magic, version, flags, body, SHA-256, and HMAC-SHA256 under the repository's key when it has one.
 *   0  8  magic       8  2  version 1      10  2  flags (1 = keyed)      12  4  body bytes      16  body
 *   then 32 bytes SHA-256 of everything before, then 32 bytes HMAC-SHA256 of the same, or zeroes when not keyed.
 */
export const SEALED_VERSION = 1;
const PREFIX_BYTES = 16;
const SEAL_BYTES = 64;
const FLAG_KEYED = 1;
/** Small files are read whole, so their size is bounded. */
export const SEALED_BYTES_MAX = 16 * 1024 * 1024;

export function seal(magic: string, body: Uint8Array, key: RepositoryKey | null): Uint8Array {
  const file = new Uint8Array(PREFIX_BYTES + body.length + SEAL_BYTES);
  const sealed = PREFIX_BYTES + body.length;
  const writer = new RecordWriter(file);
  writer
    .text(magic, 8)
    .u16(SEALED_VERSION)
    .u16(key === null ? 0 : FLAG_KEYED)
    .u32(body.length)
    .bytes(body);
  const covered = file.subarray(0, sealed);
  writer.bytes(createHash('sha256').update(covered).digest());
  if (key !== null) writer.bytes(key.authenticate(covered));
  return file;
}

/** A file whose SHA-256 is right. authentic(key) checks the rest; for the config file the key is only known after reading the body. */
export interface SealedFile {
  readonly body: Uint8Array;
  readonly keyed: boolean;
  /** Throws BACKUP_CORRUPT when the file was not written under this key. */
  authentic(key: RepositoryKey | null): Uint8Array;
}

/** Throws BACKUP_CORRUPT for anything but a whole file of this magic and a version we know (BACKUP_VERSION for another). */
export function unseal(magic: string, name: string, file: Uint8Array): SealedFile {
  if (file.length < PREFIX_BYTES + SEAL_BYTES)
    throw corruptFile(name, `${file.length} bytes`, `at least ${PREFIX_BYTES + SEAL_BYTES} bytes`);
  const covered = file.subarray(0, file.length - SEAL_BYTES);
  const digest = createHash('sha256').update(covered).digest();
  const tail = file.subarray(file.length - SEAL_BYTES);
  if (!digest.equals(tail.subarray(0, 32))) throw corruptFile(name, 'a SHA-256 that does not match', 'an undamaged file');
  const reader = new RecordReader(file);
  const found = Buffer.from(reader.bytes(8)).toString('latin1');
  if (found !== magic) throw corruptFile(name, `magic ${JSON.stringify(found)}`, magic);
  const version = reader.u16();
  if (version !== SEALED_VERSION) {
    throw new KeelsonError('BACKUP_VERSION', `${name} was written by another version of keelson`, {
      found: `format ${version}`,
      expected: `format ${SEALED_VERSION}`,
      action: 'use the version that wrote the repository',
    });
  }
  const flags = reader.u16();
  const length = reader.u32();
  if ((flags & ~FLAG_KEYED) !== 0) throw corruptFile(name, `flags ${flags}`, '0 or 1');
  if (length !== covered.length - PREFIX_BYTES)
    throw corruptFile(name, `body of ${length} bytes`, `${covered.length - PREFIX_BYTES} bytes`);
  const keyed = flags === FLAG_KEYED;
  return {
    body: covered.subarray(PREFIX_BYTES),
    keyed,
    authentic(key) {
      if (keyed !== (key !== null))
        throw corruptFile(name, keyed ? 'a keyed file' : 'a file without a key', keyed ? 'a plain repository' : 'a keyed file');
      const expected = key === null ? new Uint8Array(32) : key.authenticate(covered);
      if (Buffer.compare(expected, tail.subarray(32)) !== 0)
        throw corruptFile(name, 'an authentication code that does not match', 'a file of this repository');
      return covered.subarray(PREFIX_BYTES);
    },
  };
}

export function corruptFile(name: string, found: string, expected: string): KeelsonError {
  return new KeelsonError('BACKUP_CORRUPT', `the backup file ${name} is damaged`, {
    found,
    expected,
    action: 'put the file back from a copy of the backup host, then start the server again; until then the members hold the data',
  });
}
