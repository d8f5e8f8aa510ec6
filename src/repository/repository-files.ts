import { randomUUID } from 'node:crypto';
import { RecordReader, RecordWriter } from '../base/codec.js';
import { KeelsonError } from '../base/errors.js';
import type { BackupOpen } from './backup.js';
import { decodeHead, encodeHead, type Head } from './format/head.js';
import {
  CONFIG_NAME,
  headName,
  isRepositoryName,
  isTemporary,
  LEASE_NAME,
  parseHeadName,
  parseSegmentName,
  temporaryName,
  withoutReplaced,
} from './format/names.js';
import { decodeConfig, encodeConfig, type RepositoryConfig } from './format/repository-config.js';
import { RepositoryKey, type ScryptCost } from './format/repository-key.js';
import { corruptFile, SEALED_BYTES_MAX, seal, unseal } from './format/sealed-file.js';
import { REPLACED_SUFFIX, readWhole, TARGET_FILE_MISSING, type Target } from '../target/target.js';

/** What a repository takes from outside besides its target: the simulator has its own. */
export interface Ambient {
  /** A part of a name that no other attempt has. */
  unique(): string;
  /** Wall clock, milliseconds; describes, never orders. */
  wall(): number;
}

export const systemAmbient: Ambient = { unique: randomUUID, wall: () => Date.now() };

/** Who may write. */
export interface Lease {
  /** The newest epoch that took it; 0 when none did. */
  readonly epoch: number;
  /** BackupOpen.writer of whoever took it; 0 when that is not known. */
  readonly writer: number;
}

const METADATA_MAGIC = 'KLSNMETA';
const LEASE_MAGIC = 'KLSNLEAS';
const LEASE_BYTES = 16;

/** The small files of a repository: config, lease, HEAD, metadata; and the removal of what an interrupted publish left. */
export class RepositoryFiles {
  readonly #target: Target;
  readonly #passphrase: string;
  readonly #scrypt: ScryptCost;
  readonly #ambient: Ambient;

  constructor(target: Target, passphrase: string, scrypt: ScryptCost, ambient: Ambient = systemAmbient) {
    this.#ambient = ambient;
    this.#target = target;
    this.#scrypt = scrypt;
    this.#passphrase = passphrase;
  }

  /** Reads the config, or makes it in an empty directory. Throws BACKUP_FOREIGN, BACKUP_MISSING and what decodeConfig throws. */
  async config(options: BackupOpen): Promise<RepositoryConfig> {
    const file = await this.#optional(CONFIG_NAME);
    if (file === null) return this.#createConfig(options);
    const config = decodeConfig(file, this.#passphrase);
    if (options.arrayUuid !== '' && config.arrayUuid !== options.arrayUuid) {
      throw new KeelsonError('BACKUP_FOREIGN', `the repository at ${this.#target.url} belongs to another array`, {
        found: `array ${config.arrayUuid}`,
        expected: `array ${options.arrayUuid}`,
        action: 'correct backup.url, or use an empty directory',
      });
    }
    return config;
  }

  /** The HEAD of the newest epoch, or null in a repository that has none yet. Throws BACKUP_CORRUPT. */
  async head(config: RepositoryConfig): Promise<Head | null> {
    let listed = -1;
    for (;;) {
      let newest = -1;
      for (const { name } of await this.#target.list()) newest = Math.max(newest, parseHeadName(withoutReplaced(name)) ?? -1);
      if (newest < 0) return null;
      const file = await this.#optional(headName(newest));
      if (file !== null) return this.#checkedHead(newest, file, config);
      // A new writer removes the HEADs before its own: look again, as long as newer ones appear.
      if (newest <= listed) throw corruptFile(headName(newest), 'no such file', 'the HEAD of the newest writer');
      listed = newest;
    }
  }

  #checkedHead(epoch: number, file: Uint8Array, config: RepositoryConfig): Head {
    const name = headName(epoch);
    const head = decodeHead(name, file, config.key);
    if (head.epoch !== epoch || head.arrayUuid !== config.arrayUuid)
      throw corruptFile(name, `epoch ${head.epoch} of array ${head.arrayUuid}`, `epoch ${epoch} of array ${config.arrayUuid}`);
    return head;
  }

  async putHead(head: Head, config: RepositoryConfig): Promise<void> {
    await this.#replace(headName(head.epoch), encodeHead(head, config.key));
  }

  async lease(config: RepositoryConfig): Promise<Lease> {
    const file = await this.#optional(LEASE_NAME);
    if (file === null) return { epoch: 0, writer: 0 };
    const body = unseal(LEASE_MAGIC, LEASE_NAME, file).authentic(config.key);
    // Earlier versions did not say which process.
    if (body.length !== 8 && body.length !== LEASE_BYTES)
      throw corruptFile(LEASE_NAME, `body of ${body.length} bytes`, `${LEASE_BYTES} bytes`);
    try {
      const reader = new RecordReader(body);
      return { epoch: reader.u64(), writer: body.length === 8 ? 0 : reader.u64() };
    } catch (error) {
      throw corruptFile(LEASE_NAME, error instanceof Error ? error.message : String(error), 'an epoch');
    }
  }

  async putLease({ epoch, writer }: Lease, config: RepositoryConfig): Promise<void> {
    const body = new Uint8Array(LEASE_BYTES);
    new RecordWriter(body).u64(epoch).u64(writer);
    await this.#replace(LEASE_NAME, seal(LEASE_MAGIC, body, config.key));
  }

  /** The body names the file, so that one metadata file cannot be passed off as another. */
  async putMetadata(name: string, bytes: Uint8Array, config: RepositoryConfig): Promise<void> {
    const named = Buffer.concat([Buffer.from(`${name}\n`, 'utf8'), bytes]);
    const body = config.key === null ? named : config.key.sealMetadata(name, named);
    await this.#replace(name, seal(METADATA_MAGIC, body, config.key));
  }

  async getMetadata(name: string, config: RepositoryConfig): Promise<Uint8Array | null> {
    const file = await this.#optional(name);
    if (file === null) return null;
    const body = unseal(METADATA_MAGIC, name, file).authentic(config.key);
    const named = config.key === null ? body : config.key.openMetadata(name, body);
    const prefix = Buffer.from(`${name}\n`, 'utf8');
    if (named === null || Buffer.compare(prefix, named.subarray(0, prefix.length)) !== 0)
      throw corruptFile(name, 'the content of another file', name);
    return named.slice(prefix.length);
  }

  async removeTemporaries(): Promise<void> {
    for (const { name } of await this.#target.list()) if (isTemporary(name)) await this.#target.remove(name);
  }

  /**
   * What HEAD does not reach: segments published half, or by a writer that was fenced before it could rename its HEAD; and the HEADs
   * of older epochs.
   */
  async removeOrphans(head: Head): Promise<void> {
    for (const { name } of await this.#target.list()) {
      const epoch = parseHeadName(withoutReplaced(name));
      if (epoch !== null && epoch < head.epoch) await this.#target.remove(name);
      const segment = parseSegmentName(name);
      if (segment === null) continue;
      const orphan = segment.segment > head.segment || (segment.segment === head.segment && segment.epoch !== head.segmentEpoch);
      if (orphan) await this.#target.remove(name);
    }
  }

  /** A repository with segments but no HEAD was damaged: it is not taken for a new one. */
  async refuseLostHead(): Promise<void> {
    const segment = (await this.#target.list()).find(({ name }) => parseSegmentName(name) !== null);
    if (segment !== undefined) throw corruptFile('HEAD', `none, beside ${segment.name}`, 'a HEAD');
  }

  async #createConfig(options: BackupOpen): Promise<RepositoryConfig> {
    const names = (await this.#target.list()).map(({ name }) => name);
    refuseOccupied(this.#target.url, names);
    if (!options.create || options.readOnly === true) {
      throw new KeelsonError('BACKUP_MISSING', `there is no repository at ${this.#target.url}`, {
        found: 'an empty directory',
        expected: `a ${CONFIG_NAME} file`,
        action: 'mount the file system of the backup host, or correct backup.url',
      });
    }
    const key = this.#passphrase === '' ? null : RepositoryKey.generate();
    const createdAt = this.#ambient.wall();
    await this.#replace(CONFIG_NAME, encodeConfig(options.arrayUuid, createdAt, key, this.#passphrase, this.#scrypt));
    return { arrayUuid: options.arrayUuid, createdAt, key };
  }

  /** Temporary name, write, sync, rename, sync of the directory. */
  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const temporary = temporaryName(this.#ambient.unique());
    const file = await this.#target.create(temporary);
    try {
      await file.write(bytes);
      await file.sync();
    } catch (error) {
      await file.abandon();
      await this.#target.remove(temporary).catch(() => undefined);
      throw error;
    }
    await file.close();
    await this.#target.rename(temporary, name);
    await this.#target.syncDirectory();
  }

  async #optional(name: string): Promise<Uint8Array | null> {
    for (const candidate of [name, name + REPLACED_SUFFIX]) {
      try {
        return await readWhole(this.#target, candidate, SEALED_BYTES_MAX);
      } catch (error) {
        if (!(error instanceof KeelsonError && error.code === TARGET_FILE_MISSING)) throw error;
      }
    }
    return null;
  }
}

/** A new repository is made where nothing is but what an attempt to make one left. Throws BACKUP_FOREIGN, BACKUP_CORRUPT. */
export function refuseOccupied(url: string, names: readonly string[]): void {
  const foreign = names.filter((name) => !isRepositoryName(name));
  if (foreign.length === 0 && names.every((name) => isTemporary(name))) return;
  const found = names.slice(0, 3).join(', ');
  if (foreign.length === 0) throw corruptFile(CONFIG_NAME, `none, beside ${found}`, 'the file that makes the directory a repository');
  throw new KeelsonError('BACKUP_FOREIGN', `the directory at ${url} holds something else`, {
    found,
    expected: 'a repository or an empty directory',
    action: 'correct backup.url',
  });
}
