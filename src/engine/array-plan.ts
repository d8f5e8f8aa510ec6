import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, roundDown } from '../base/units.js';
import { formatSize } from '../config/quantities.js';
import type { Settings } from '../config/settings.js';
import { computeLayout, MEMBER_BYTES_MAX, memberBytesFor, stripesFor, SUPERBLOCK_PAIR_BYTES } from '../member/layout.js';
import type { MemberLayout, MemberRole } from '../member/member-api.js';
import { type MemoryNeed, memoryNeed } from './memory-need.js';
import { fitRing, type Ring, shareOf } from './ring-size.js';
import { requireSlab } from './slab-plan.js';

/** Sizes of the members that there are; null: a file that is made to measure. In the order of the configuration. */
export interface MemberSizes {
  readonly stripe: readonly (Bytes | null)[];
  readonly journal: readonly (Bytes | null)[];
}

/** Bytes of a member, by what they are for; together its size. */
export interface MemberZones {
  readonly superblocks: Bytes;
  readonly checkpoints: Bytes;
  readonly integrity: Bytes;
  readonly journal: Bytes;
  readonly data: Bytes;
  /** Too little for another stripe, or rounding between the zones. */
  readonly unused: Bytes;
}

export interface PlannedMember {
  readonly index: number;
  readonly path: string;
  readonly role: MemberRole;
  readonly bytes: Bytes;
  readonly zones: MemberZones;
}

/** What `create` would make of a configuration and members of these sizes. */
export interface ArrayPlan extends Ring {
  readonly name: string;
  readonly dataShards: number;
  readonly parity: number;
  readonly chunkBytes: Bytes;
  readonly stripes: number;
  readonly volumeBytes: Bytes;
  /** Of the bytes of all stripe members. */
  readonly volumeShare: number;
  readonly journalCopies: number;
  /** The configuration leaves one of the ring's sizes out. */
  readonly ringFitted: boolean;
  readonly members: readonly PlannedMember[];
  /** Of `serve`, when every stripe has been written, and on an empty volume. */
  readonly memory: MemoryNeed;
  readonly memoryEmpty: MemoryNeed;
}

/**
 * The layout of a new array. volumeBytes: of the array that is restored; left out: as much as fits. Writes nothing and opens nothing.
 * Throws MEMBER_SIZE and SLAB_TOO_SMALL (exit 2).
 */
export function planArray(settings: Settings, sizes: MemberSizes, threads: number, volumeBytes?: Bytes): ArrayPlan {
  const { stripe, journal } = settings;
  const onStripes = journal.members.length === 0;
  const memberBytes = commonSize(settings, sizes.stripe);
  const wanted = volumeBytes === undefined ? undefined : volumeBytes / (stripe.dataShards * stripe.chunkBytes);
  const ring = onStripes ? fitRing(journal, Math.min(shareOf(memberBytes), roomBeside(memberBytes, stripe.chunkBytes, wanted))) : null;
  const stripes = stripesOf(settings, memberBytes, ring?.ringBytes ?? 0, volumeBytes, wanted);
  const { ringBytes, segmentBytes } = ring ?? fitRing(journal, roomOnJournals(sizes.journal, stripe.chunkBytes, stripes));
  requireSlab(settings.memory.slabBytes, segmentBytes, stripe.members.length * stripe.chunkBytes, threads);
  const shape = { dataMembers: stripe.members.length, chunkBytes: stripe.chunkBytes, stripes, ringBytes, segmentBytes };
  const planned = (path: string, index: number, role: MemberRole, size: Bytes | null): PlannedMember => {
    const journalBytes = role === 'data' ? 0 : ringBytes;
    const needed = memberBytesFor(role, stripe.chunkBytes, stripes, journalBytes);
    const bytes = size ?? needed;
    if (bytes < needed) throw journalTooSmall(path, bytes, needed, ringBytes);
    const layout = computeLayout({ role, chunkBytes: stripe.chunkBytes, stripes, journalBytes, memberBytes: bytes });
    return { index, path, role, bytes, zones: zonesOf(layout, bytes) };
  };
  const volume = stripes * stripe.dataShards * stripe.chunkBytes;
  return {
    name: settings.name,
    dataShards: stripe.dataShards,
    parity: stripe.parity,
    chunkBytes: stripe.chunkBytes,
    stripes,
    volumeBytes: volume,
    volumeShare: volume / (memberBytes * stripe.members.length),
    ringBytes,
    segmentBytes,
    journalCopies: journal.copies,
    ringFitted: journal.ringBytes === null || journal.segmentBytes === null,
    members: [
      ...stripe.members.map((path, i) => planned(path, i, onStripes ? 'both' : 'data', memberBytes)),
      ...journal.members.map((path, i) => planned(path, stripe.members.length + i, 'journal', sizes.journal[i] ?? null)),
    ],
    memory: memoryNeed(shape, settings.memory.slabBytes),
    memoryEmpty: memoryNeed(shape, settings.memory.slabBytes, 0),
  };
}

function commonSize(settings: Settings, sizes: readonly (Bytes | null)[]): Bytes {
  const members = settings.stripe.members.map((path, i) => ({ path, bytes: (sizes[i] ?? settings.stripe.memberBytes) as Bytes }));
  const [first] = members;
  if (first !== undefined && members.every(({ bytes }) => bytes === first.bytes)) return first.bytes;
  throw new KeelsonError('MEMBER_SIZE', `${settings.file}: stripe.members: the members have different sizes`, {
    found: members.map(({ path, bytes }) => `${path} ${bytes} bytes`).join(', '),
    expected: 'stripe members of one size',
    action: 'use partitions or files of the same size',
    exit: EXIT.usage,
  });
}

function stripesOf(settings: Settings, memberBytes: Bytes, journalBytes: Bytes, volumeBytes?: Bytes, wanted?: number): number {
  const { chunkBytes } = settings.stripe;
  if (memberBytes > MEMBER_BYTES_MAX) {
    throw new KeelsonError('MEMBER_SIZE', `${settings.file}: stripe.members: the members are too large`, {
      found: `${memberBytes} bytes each`,
      expected: `at most ${formatSize(MEMBER_BYTES_MAX)} (${MEMBER_BYTES_MAX} bytes): the checksums of one member are one table in memory`,
      action: `use partitions of at most ${formatSize(MEMBER_BYTES_MAX)}, and more of them`,
      exit: EXIT.usage,
    });
  }
  const fits = stripesFor(memberBytes, chunkBytes, journalBytes);
  const stripes = wanted ?? fits;
  if (fits >= 1 && fits >= stripes && Number.isInteger(stripes)) return stripes;
  const least = memberBytesFor('data', chunkBytes, Math.max(1, Math.ceil(wanted ?? 1)), journalBytes);
  throw new KeelsonError('MEMBER_SIZE', `${settings.file}: stripe.members: the members are too small`, {
    found: `${memberBytes} bytes each`,
    expected:
      volumeBytes === undefined
        ? `at least ${least} bytes: superblocks, checkpoints, ${formatSize(journalBytes)} of journal and one chunk of ${formatSize(chunkBytes)}`
        : `at least ${least} bytes: a volume of ${volumeBytes} bytes in whole stripes beside ${formatSize(journalBytes)} of journal`,
    action: journalBytes === 0 ? 'use larger members' : 'use larger members, a smaller journal.size, or journal members of their own',
    exit: EXIT.usage,
  });
}

/** What a stripe member of a restored array has for a ring beside the chunks of its volume. */
function roomBeside(memberBytes: Bytes, chunkBytes: Bytes, stripes: number | undefined): Bytes {
  if (stripes === undefined || !Number.isInteger(stripes) || stripes < 1) return Number.MAX_SAFE_INTEGER;
  return Math.max(0, roundDown(memberBytes, BLOCK_BYTES) - memberBytesFor('data', chunkBytes, stripes, 0));
}

/** The ring has the same size on all journal members: the smallest that exists bounds it. */
function roomOnJournals(sizes: readonly (Bytes | null)[], chunkBytes: Bytes, stripes: number): Bytes {
  const smallest = Math.min(...sizes.map((bytes) => bytes ?? Number.MAX_SAFE_INTEGER));
  return Math.max(0, roundDown(smallest, BLOCK_BYTES) - memberBytesFor('journal', chunkBytes, stripes, 0));
}

function journalTooSmall(path: string, bytes: Bytes, needed: Bytes, ringBytes: Bytes): KeelsonError {
  return new KeelsonError('MEMBER_SIZE', `${path} is too small for the journal`, {
    found: `${bytes} bytes`,
    expected: `at least ${needed} bytes for a ring of ${formatSize(ringBytes)}`,
    action: 'use a larger device or lower journal.size',
    exit: EXIT.usage,
  });
}

function zonesOf(layout: MemberLayout, bytes: Bytes): MemberZones {
  const checkpoints = 2 * layout.checkpointBytes;
  // From the first superblock to the first checkpoint, and the pair at the end.
  const superblocks = layout.checkpointOffset[0] + SUPERBLOCK_PAIR_BYTES;
  const integrity = layout.journalOffset - layout.integrityOffset;
  const journal = layout.dataOffset - layout.journalOffset;
  const unused = bytes - superblocks - checkpoints - integrity - journal - layout.dataBytes;
  return { superblocks, checkpoints, integrity, journal, data: layout.dataBytes, unused };
}
