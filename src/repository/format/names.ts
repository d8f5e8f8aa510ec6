import { assert } from '../../base/assert.js';
import { REPLACED_SUFFIX } from '../../target/target.js';

/** File names of a repository (docs/repository-format.md). Everything else in the directory is foreign. */
export const CONFIG_NAME = 'keelson-repository';
export const LEASE_NAME = 'lease';
const TEMPORARY_PREFIX = 'tmp-';
/** A UUID, or what the simulator has in its place: a user's tmp-2026 is none of ours, and is not removed. */
const TEMPORARY = /^tmp-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}-[0-9a-f]{8})$/;
const METADATA_PREFIX = 'metadata-';
/** Twelve digits. */
export const SEGMENTS_MAX = 999_999_999_999;
const SEGMENT = /^segment-(\d{12})-(\d{8,16})$/;
const HEAD = /^HEAD-(\d{8,16})$/;

/** One HEAD an epoch, and the newest epoch's counts: a fenced writer that is slow to notice writes a HEAD that nobody reads. */
export function headName(epoch: number): string {
  return `HEAD-${String(epoch).padStart(8, '0')}`;
}

export function parseHeadName(name: string): number | null {
  const match = HEAD.exec(name);
  if (match === null) return null;
  const epoch = Number(match[1]);
  return Number.isSafeInteger(epoch) && headName(epoch) === name ? epoch : null;
}

/** The writer's epoch is part of the name, so that a fenced writer can never replace a file of its successor. */
export function segmentName(segment: number, epoch: number): string {
  return `segment-${String(segment).padStart(12, '0')}-${String(epoch).padStart(8, '0')}`;
}

export function parseSegmentName(name: string): { readonly segment: number; readonly epoch: number } | null {
  const match = SEGMENT.exec(name);
  if (match === null) return null;
  const segment = Number(match[1]);
  const epoch = Number(match[2]);
  if (!Number.isSafeInteger(epoch) || segmentName(segment, epoch) !== name) return null;
  return { segment, epoch };
}

/** Unique for each attempt: a request of an attempt that was given up may still arrive later, and must find nothing to do. */
export function temporaryName(unique: string): string {
  return `${TEMPORARY_PREFIX}${unique}`;
}

export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name);
}

export function metadataName(name: string): string {
  assert(/^[a-z0-9][a-z0-9.-]{0,63}$/.test(name), 'a metadata name is 1 to 64 of a-z, 0-9, "." and "-", not starting with "." or "-"');
  return METADATA_PREFIX + name;
}

/** True for every name that a repository may hold. */
export function isRepositoryName(name: string): boolean {
  const base = withoutReplaced(name);
  if (base === CONFIG_NAME || base === LEASE_NAME || isTemporary(base) || base.startsWith(METADATA_PREFIX)) return true;
  return parseHeadName(base) !== null || parseSegmentName(base) !== null;
}

export function withoutReplaced(name: string): string {
  return name.endsWith(REPLACED_SUFFIX) ? name.slice(0, -REPLACED_SUFFIX.length) : name;
}
