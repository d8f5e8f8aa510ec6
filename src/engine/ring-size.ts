import { type Bytes, GIB, MIB, roundDown } from '../base/units.js';
import type { JournalSettings } from '../config/settings.js';

/** Of a stripe member a fitted ring takes an eighth: seven eighths of the member are volume, and a GiB of ring is reached at 8 GiB. */
const MEMBER_SHARE = 8;
/** A fitted ring is not larger: a GiB is some seconds of writes at the speed of a device, and a longer absence of the backup is worth a number of one's own. */
const RING_BYTES_FITTED_MAX = GIB;
/** Segments of a fitted ring, where it is large enough: destaging, draining and writing each have some to themselves. */
const SEGMENTS_WANTED = 16;
/** Fewer segments and those three block one another (config/cross-checks.ts holds a configured ring to the same). */
const SEGMENTS_MIN = 8;
/** The largest that leaves enough of them is taken: the larger, the fewer writes of a batch are cut in two. */
const SEGMENT_BYTES = [8 * MIB, 4 * MIB, 2 * MIB, MIB] as const;

export interface Ring {
  readonly ringBytes: Bytes;
  readonly segmentBytes: Bytes;
}

/** What a ring on the stripe members may take of each of them. */
export function shareOf(memberBytes: Bytes): Bytes {
  return Math.floor(memberBytes / MEMBER_SHARE);
}

/**
 * The ring of a new array: what the configuration says, and for what it leaves out the largest that `room` bytes of each member hold, up to a GiB. Never less than a ring
 * can work with: whether the members hold that is for the plan to say.
 */
export function fitRing(journal: Pick<JournalSettings, 'ringBytes' | 'segmentBytes'>, room: Bytes): Ring {
  const wanted = journal.ringBytes ?? Math.min(room, RING_BYTES_FITTED_MAX);
  const segmentBytes = journal.segmentBytes ?? fitSegment(wanted, journal.ringBytes !== null);
  const ringBytes = journal.ringBytes ?? Math.max(SEGMENTS_MIN * segmentBytes, roundDown(wanted, segmentBytes));
  return { ringBytes, segmentBytes };
}

/** exact: the ring is a whole number of them. */
function fitSegment(ringBytes: Bytes, exact: boolean): Bytes {
  const fits = (bytes: Bytes): boolean => ringBytes >= SEGMENTS_WANTED * bytes && (!exact || ringBytes % bytes === 0);
  return SEGMENT_BYTES.find(fits) ?? MIB;
}
