import { randomBytes } from 'node:crypto';
import { RecordRangeError, RecordReader, RecordWriter } from '../../base/codec.js';
import { KeelsonError } from '../../base/errors.js';
import { CONFIG_NAME } from './names.js';
import { RepositoryKey, type ScryptCost, scryptCostIsSane, WRAPPED_KEY_BYTES } from './repository-key.js';
import { corruptFile, seal, unseal } from './sealed-file.js';

const MAGIC = 'KLSNREPO';
const UUID_BYTES = 40;
const SALT_BYTES = 32;

/** The file that makes a directory a repository. Written once. */
export interface RepositoryConfig {
  readonly arrayUuid: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly key: RepositoryKey | null;
}

/**
 * Body: array uuid (40), created (u64), encrypted (u8), then when encrypted: scrypt log2 N (u8), r (u8), p (u8), salt (32),
 * wrapped master key (60).
 */
export function encodeConfig(
  arrayUuid: string,
  createdAt: number,
  key: RepositoryKey | null,
  passphrase: string,
  cost: ScryptCost,
): Uint8Array {
  const body = new Uint8Array(UUID_BYTES + 8 + 1 + (key === null ? 0 : 3 + SALT_BYTES + WRAPPED_KEY_BYTES));
  const writer = new RecordWriter(body);
  writer
    .text(arrayUuid, UUID_BYTES)
    .u64(createdAt)
    .u8(key === null ? 0 : 1);
  if (key !== null) {
    const salt = randomBytes(SALT_BYTES);
    writer
      .u8(cost.logN)
      .u8(cost.r)
      .u8(cost.p)
      .bytes(salt)
      .bytes(key.wrap(passphrase, salt, cost));
  }
  return seal(MAGIC, body, key);
}

/** Throws BACKUP_CORRUPT, BACKUP_VERSION, or BACKUP_PASSPHRASE (missing, wrong, or given for a repository that has none). */
export function decodeConfig(file: Uint8Array, passphrase: string): RepositoryConfig {
  const sealed = unseal(MAGIC, CONFIG_NAME, file);
  try {
    const reader = new RecordReader(sealed.body);
    const arrayUuid = reader.text(UUID_BYTES);
    const createdAt = reader.u64();
    const encrypted = reader.u8();
    if (encrypted > 1 || (encrypted === 1) !== sealed.keyed)
      throw corruptFile(CONFIG_NAME, `encrypted = ${encrypted}`, sealed.keyed ? '1' : '0');
    let key: RepositoryKey | null = null;
    if (encrypted === 1) key = readKey(reader, passphrase);
    else if (passphrase !== '') {
      throw passphraseError(
        'a repository that is not encrypted',
        'no passphrase',
        'remove backup.passphraseFile, or use an empty directory for an encrypted backup',
      );
    }
    if (reader.remaining !== 0) throw corruptFile(CONFIG_NAME, `${reader.remaining} bytes too many`, 'nothing after the last field');
    sealed.authentic(key);
    return { arrayUuid, createdAt, key };
  } catch (error) {
    if (error instanceof RecordRangeError) throw corruptFile(CONFIG_NAME, error.message, 'all fields');
    throw error;
  }
}

function readKey(reader: RecordReader, passphrase: string): RepositoryKey {
  const cost = { logN: reader.u8(), r: reader.u8(), p: reader.u8() };
  const salt = reader.bytes(SALT_BYTES);
  const wrapped = reader.bytes(WRAPPED_KEY_BYTES);
  if (!scryptCostIsSane(cost)) throw corruptFile(CONFIG_NAME, `scrypt cost ${JSON.stringify(cost)}`, 'a cost of at most 512 MiB');
  if (passphrase === '') throw passphraseError('an encrypted repository', 'a passphrase', 'set backup.passphraseFile');
  const key = RepositoryKey.unwrap(wrapped, passphrase, salt, cost);
  if (key === null)
    throw passphraseError(
      'a passphrase that does not open the repository',
      'the one it was created with',
      'correct the file named by backup.passphraseFile',
    );
  return key;
}

function passphraseError(found: string, expected: string, action: string): KeelsonError {
  return new KeelsonError('BACKUP_PASSPHRASE', 'the passphrase does not fit the repository', { found, expected, action });
}
