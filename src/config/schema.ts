import * as v from 'valibot';
import { GIB, KIB, MIB } from '../base/units.js';
import { BACKUP_FORM, HOST_NAME_FORM, HOST_PORT_FORM, NBD_FORM, parseBackupUrl, parseHostPort, parseNbdAddress } from './addresses.js';
import { CRON_FORM, parseCron } from './cron.js';
import { DURATION_FORM, formatSize, parseDuration, parseSize, SIZE_FORM } from './quantities.js';

/**
 * Each section of the file by itself; what concerns two keys is in cross-checks.ts. The message of every issue says what is allowed.
 */

/** Rows of the member table on every member: stripe and journal members together. */
export const MEMBERS_MAX = 64;
export const JOURNAL_MEMBERS_MAX = 16;
export const NBD_ADDRESSES_MAX = 16;
export const CHUNK_BYTES_MIN = 4 * KIB;
export const CHUNK_BYTES_MAX = MIB;
/** Below a MiB the header of a batch and the turn of the ring outweigh the payload. */
export const SEGMENT_BYTES_MIN = MIB;
export const SEGMENT_BYTES_MAX = 64 * MIB;
/** Its index in memory is a hash of a power of two of places, twice as many as blocks of the ring, whose numbers are taken as signed 32-bit integers. */
export const RING_BYTES_MAX = 4096 * GIB;
export const MEMBER_BYTES_MIN = 16 * MIB;
export const SLAB_BYTES_MIN = 64 * MIB;
/** A typed array of Node 20 has at most 2^32 elements: the slab is one of bytes, the checksums of a member (one a block) another. */
export const SLAB_BYTES_MAX = 4 * GIB;
export const MEMBER_BYTES_MAX = 16_384 * GIB;
const NAME_FORM = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const DAY_MS = 86_400_000;

const TEXT = 'text in quotes';

function parsed<T>(parse: (text: string) => T | undefined, allowed: string) {
  return v.pipe(
    v.string(allowed),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== undefined) return value;
      addIssue({ message: allowed });
      return NEVER;
    }),
  );
}

interface SizeRule {
  readonly min: number;
  readonly max?: number;
  readonly multiple?: number;
  readonly power?: boolean;
}

function size(rule: SizeRule) {
  const parts = [rule.max === undefined ? `at least ${formatSize(rule.min)}` : `from ${formatSize(rule.min)} to ${formatSize(rule.max)}`];
  if (rule.multiple !== undefined) parts.push(`a multiple of ${formatSize(rule.multiple)}`);
  if (rule.power === true) parts.push('a power of two');
  const allowed = `${SIZE_FORM}, ${parts.join(', ')}`;
  return parsed((text) => {
    const bytes = parseSize(text);
    if (bytes === undefined || bytes < rule.min || bytes > (rule.max ?? Number.MAX_SAFE_INTEGER)) return undefined;
    if (bytes % (rule.multiple ?? 1) !== 0) return undefined;
    if (rule.power === true && !Number.isInteger(Math.log2(bytes))) return undefined;
    return bytes;
  }, allowed);
}

function duration(min_ms: number, max_ms: number, range: string) {
  return parsed((text) => {
    const value = parseDuration(text);
    return value === undefined || value < min_ms || value > max_ms ? undefined : value;
  }, `${DURATION_FORM}, ${range}`);
}

function integer(min: number, max: number) {
  const allowed = `a whole number from ${min} to ${max}`;
  return v.pipe(v.number(allowed), v.integer(allowed), v.minValue(min, allowed), v.maxValue(max, allowed));
}

function choice<const Options extends readonly [string, ...string[]]>(...options: Options) {
  return v.picklist(options, options.map((option) => `"${option}"`).join(' or '));
}

const path = v.pipe(
  v.string('a path in quotes'),
  v.nonEmpty('a path that is not empty'),
  v.regex(/^[^\0]*$/, 'a path without a zero byte'),
);
const flag = v.boolean('true or false');

function paths(max: number) {
  return v.pipe(v.array(path, 'a list of paths, such as ["/dev/sdb", "/dev/sdc"]'), v.maxLength(max, `at most ${max} paths`));
}

export const name = v.pipe(
  v.string(TEXT),
  v.regex(NAME_FORM, '1 to 63 letters, digits, ".", "_" or "-", beginning with a letter or digit'),
);

const allowedTable = (section: string): string => `a table: [${section}]`;

export const stripe = v.strictObject(
  {
    members: paths(MEMBERS_MAX),
    memberSize: v.optional(size({ min: MEMBER_BYTES_MIN, max: MEMBER_BYTES_MAX, multiple: MIB })),
    parity: v.optional(integer(1, MEMBERS_MAX - 1), 2),
    chunk: v.optional(size({ min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX, power: true }), '64KiB'),
    spares: v.optional(v.pipe(paths(MEMBERS_MAX), v.maxLength(0, 'an empty list: spares are not built yet')), []),
  },
  allowedTable('stripe'),
);

export const journal = v.strictObject(
  {
    members: v.optional(paths(JOURNAL_MEMBERS_MAX), []),
    copies: v.optional(integer(1, JOURNAL_MEMBERS_MAX), 2),
    size: v.optional(size({ min: 8 * MIB, max: RING_BYTES_MAX })),
    segment: v.optional(size({ min: SEGMENT_BYTES_MIN, max: SEGMENT_BYTES_MAX, multiple: MIB })),
  },
  allowedTable('journal'),
);

export const backup = v.strictObject(
  {
    url: v.pipe(
      v.string(BACKUP_FORM),
      v.rawTransform<string, Exclude<ReturnType<typeof parseBackupUrl>, string>>(({ dataset, addIssue, NEVER }) => {
        const value = parseBackupUrl(dataset.value);
        if (typeof value !== 'string') return value;
        addIssue({ message: value });
        return NEVER;
      }),
    ),
    identity: v.optional(path),
    knownHosts: v.optional(path),
    compression: v.optional(choice('zstd', 'none'), 'zstd'),
    passphraseFile: v.optional(v.string('a path in quotes, or "" for no encryption'), ''),
    // A policy that is accepted and not followed would be found out at the worst moment.
    onUnreachable: v.optional(v.picklist(['stall'], '"stall"; "detach" is not built yet'), 'stall'),
    keepPoints: v.optional(duration(0, 36_500 * DAY_MS, 'at most 36500d'), '7d'),
  },
  allowedTable('backup'),
);

export const drain = v.strictObject(
  {
    maxAge: v.optional(duration(1_000, 30 * DAY_MS, 'from 1s to 30d'), '30s'),
    maxBytes: v.optional(size({ min: MIB }), '256MiB'),
    maxFill: v.optional(
      v.pipe(
        v.number('a fraction of the ring, from 0.05 to 0.95'),
        v.minValue(0.05, 'a fraction of the ring, from 0.05 to 0.95'),
        v.maxValue(0.95, 'a fraction of the ring, from 0.05 to 0.95'),
      ),
      0.5,
    ),
    schedule: v.optional(
      v.array(
        parsed((text) => (parseCron(text) === undefined ? undefined : text), CRON_FORM),
        `a list, each element ${CRON_FORM}`,
      ),
      [],
    ),
    onDegraded: v.optional(flag, true),
  },
  allowedTable('drain'),
);

export const exports = v.strictObject(
  {
    nbd: v.optional(
      v.pipe(
        v.array(parsed(parseNbdAddress, NBD_FORM), `a list, each element ${NBD_FORM}`),
        v.maxLength(NBD_ADDRESSES_MAX, `at most ${NBD_ADDRESSES_MAX} addresses`),
      ),
      ['unix:./keelson.sock'],
    ),
    durability: v.optional(choice('write-back', 'sync'), 'write-back'),
  },
  allowedTable('export'),
);

export const control = v.strictObject(
  {
    socket: v.optional(path, './keelson.ctl'),
    http: v.optional(
      parsed((text) => (text === '' ? null : parseHostPort(text, 0)), `${HOST_PORT_FORM}, or "" for none (port 0 takes a free one)`),
      '',
    ),
    hosts: v.optional(
      v.array(
        v.pipe(v.string(HOST_NAME_FORM), v.regex(/^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/, HOST_NAME_FORM)),
        `a list, each element ${HOST_NAME_FORM}`,
      ),
      [],
    ),
  },
  allowedTable('control'),
);

export const memory = v.strictObject(
  { slab: v.optional(size({ min: SLAB_BYTES_MIN, max: SLAB_BYTES_MAX, multiple: MIB }), '256MiB') },
  allowedTable('memory'),
);

/** Sections and top-level keys of the file, in the order of the documentation. */
export const SECTIONS = { stripe, journal, backup, drain, export: exports, control, memory } as const;
export const TOP_KEYS = ['name', ...Object.keys(SECTIONS)];

/** The sections as parsed; undefined where one has mistakes (or is left out: backup). */
export interface Parsed {
  readonly name: string | undefined;
  readonly stripe: v.InferOutput<typeof stripe> | undefined;
  readonly journal: v.InferOutput<typeof journal> | undefined;
  readonly backup: v.InferOutput<typeof backup> | undefined;
  readonly drain: v.InferOutput<typeof drain> | undefined;
  readonly export: v.InferOutput<typeof exports> | undefined;
  readonly control: v.InferOutput<typeof control> | undefined;
  readonly memory: v.InferOutput<typeof memory> | undefined;
}
