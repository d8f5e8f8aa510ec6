import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, scryptSync } from 'node:crypto';

/** Cost of scrypt for new repositories: 64 MiB and about 0.2 s, once per open (RFC 7914; OWASP's figure for N at r = 8). */
export const SCRYPT_DEFAULT: ScryptCost = { logN: 16, r: 8, p: 1 };
const SCRYPT_MEMORY_MAX = 512 * 1024 * 1024;
export const TAG_BYTES = 16;
const NONCE_BYTES = 12;
/** nonce + key + tag. */
export const WRAPPED_KEY_BYTES = NONCE_BYTES + 32 + TAG_BYTES;

export interface ScryptCost {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

/** True for costs that we would compute: a damaged or hostile config must not make us allocate gigabytes. */
export function scryptCostIsSane(cost: ScryptCost): boolean {
  return (
    cost.logN >= 10 &&
    cost.logN <= 20 &&
    cost.r >= 1 &&
    cost.r <= 32 &&
    cost.p >= 1 &&
    cost.p <= 4 &&
    128 * 2 ** cost.logN * cost.r <= SCRYPT_MEMORY_MAX
  );
}

function passphraseKey(passphrase: string, salt: Uint8Array, cost: ScryptCost): Buffer {
  return scryptSync(passphrase, salt, 32, { N: 2 ** cost.logN, r: cost.r, p: cost.p, maxmem: SCRYPT_MEMORY_MAX * 2 });
}

/**
 * The repository's random master key and what is derived from it (HKDF-SHA256, RFC 5869): one key for HMACs of small files, one for metadata,
 * and one for each segment, from that segment's random salt. So a nonce only has to be unique within its segment.
 */
export class RepositoryKey {
  readonly #master: Buffer;
  readonly #macKey: Buffer;

  private constructor(master: Buffer) {
    this.#master = master;
    this.#macKey = this.#derive('keelson mac', new Uint8Array(0));
  }

  static generate(): RepositoryKey {
    return new RepositoryKey(randomBytes(32));
  }

  /** The master key encrypted under the passphrase: nonce, ciphertext, tag. */
  wrap(passphrase: string, salt: Uint8Array, cost: ScryptCost): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', passphraseKey(passphrase, salt, cost), nonce);
    return Buffer.concat([nonce, cipher.update(this.#master), cipher.final(), cipher.getAuthTag()]);
  }

  /** null when the passphrase is wrong. */
  static unwrap(wrapped: Uint8Array, passphrase: string, salt: Uint8Array, cost: ScryptCost): RepositoryKey | null {
    const master = openBox(passphraseKey(passphrase, salt, cost), wrapped, new Uint8Array(0));
    return master === null ? null : new RepositoryKey(master);
  }

  authenticate(bytes: Uint8Array): Buffer {
    return createHmac('sha256', this.#macKey).update(bytes).digest();
  }

  segmentCipher(salt: Uint8Array): SegmentCipher {
    return new SegmentCipher(this.#derive('keelson segment', salt));
  }

  /** Encrypts a metadata body; its name is authenticated with it. The random nonce is unique enough for files that change a few times a day. */
  sealMetadata(name: string, body: Uint8Array): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#derive('keelson metadata', new Uint8Array(0)), nonce);
    cipher.setAAD(Buffer.from(name, 'utf8'));
    return Buffer.concat([nonce, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
  }

  /** null when it is not authentic. */
  openMetadata(name: string, sealed: Uint8Array): Uint8Array | null {
    return openBox(this.#derive('keelson metadata', new Uint8Array(0)), sealed, Buffer.from(name, 'utf8'));
  }

  #derive(purpose: string, salt: Uint8Array): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#master, salt, purpose, 32));
  }
}

const DOMAIN_FRAME = 0;
const DOMAIN_INDEX = 1;

/** AES-256-GCM with a segment's own key. The nonce of frame i is (0, i), that of the index (1, 0). */
export class SegmentCipher {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** Ciphertext and tag of the index; `covered` (header and trailer) is authenticated with it. */
  sealIndex(index: Uint8Array, covered: Uint8Array): Uint8Array {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(DOMAIN_INDEX, 0));
    cipher.setAAD(covered);
    return Buffer.concat([cipher.update(index), cipher.final(), cipher.getAuthTag()]);
  }

  openIndex(sealed: Uint8Array, covered: Uint8Array): Uint8Array | null {
    return this.#open(sealed, nonceOf(DOMAIN_INDEX, 0), covered);
  }

  sealFrame(ordinal: number, payload: Uint8Array): Uint8Array {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(DOMAIN_FRAME, ordinal));
    return Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  }

  openFrame(ordinal: number, sealed: Uint8Array): Uint8Array | null {
    return this.#open(sealed, nonceOf(DOMAIN_FRAME, ordinal), new Uint8Array(0));
  }

  #open(sealed: Uint8Array, nonce: Buffer, covered: Uint8Array): Uint8Array | null {
    if (sealed.length < TAG_BYTES) return null;
    return decrypt(this.#key, nonce, sealed, covered);
  }
}

function openBox(key: Buffer, box: Uint8Array, covered: Uint8Array): Buffer | null {
  if (box.length < NONCE_BYTES + TAG_BYTES) return null;
  return decrypt(key, Buffer.from(box.subarray(0, NONCE_BYTES)), box.subarray(NONCE_BYTES), covered);
}

function decrypt(key: Buffer, nonce: Buffer, sealed: Uint8Array, covered: Uint8Array): Buffer | null {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  decipher.setAAD(covered);
  const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return plain;
}

function nonceOf(domain: number, ordinal: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32LE(domain, 0);
  nonce.writeUInt32LE(ordinal >>> 0, 4);
  nonce.writeUInt32LE(Math.floor(ordinal / 0x1_0000_0000), 8);
  return nonce;
}
