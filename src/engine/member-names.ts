import { existsSync, fstatSync, realpathSync, statSync } from 'node:fs';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { isUuid } from '../member/uuid.js';
import type { Membership } from '../member/membership.js';
import type { ArrayState } from './array-state.js';

/** The path of a member whose device is not there, when no path is known to be its own. */
export const PATH_UNKNOWN = 'unknown';

/**
 * Where a member that is not there would be looked for: the path of its own device when that was found and left out, else its place in the configuration, unless another member
 * is there. A path that another member has says nothing of this one.
 */
export function pathOfAbsent({ verdicts }: Membership, configured: readonly string[], index: number): string {
  const own = verdicts.find(({ record }) => record?.index === index);
  if (own !== undefined) return own.found.path;
  const path = configured[index] as string;
  return verdicts.some(({ found, record }) => found.path === path && record !== null) ? PATH_UNKNOWN : path;
}

/** A member's place for people. The UUID tells which device belonged there, wherever it is plugged in. */
export function describePlace(path: string, uuid: string): string {
  return `${path === PATH_UNKNOWN ? 'path unknown' : path}, UUID ${uuid}`;
}

/**
 * The member that M of the command line names: its index, its UUID, or its path as status shows it. Throws MEMBER_UNKNOWN, and MEMBER_AMBIGUOUS (exit 3) for a path at which the
 * configuration has another member than the one that is there. configured: its paths, in index order.
 */
export function memberNamed(state: ArrayState, configured: readonly string[], name: string): number {
  const { records, paths } = state;
  const count = records.length;
  if (/^\d+$/.test(name) && Number(name) < count) return Number(name);
  if (isUuid(name.toLowerCase())) {
    const index = records.findIndex(({ uuid }) => uuid === name.toLowerCase());
    if (index >= 0) return index;
  }
  const holders = paths.flatMap((path, index) => (path !== PATH_UNKNOWN && samePath(path, name) ? [index] : []));
  const meant = configured.flatMap((path, index) => (samePath(path, name) ? [index] : []));
  const [holder] = holders;
  if (holder !== undefined && holders.length === 1 && meant.every((index) => index === holder)) return holder;
  if (holder !== undefined) throw ambiguous(name, holders, meant);
  throw new KeelsonError('MEMBER_UNKNOWN', `there is no member ${name}`, {
    found: name,
    expected: `an index from 0 to ${count - 1}, a UUID that status shows, or one of ${paths.filter((path) => path !== PATH_UNKNOWN).join(', ')}`,
    exit: EXIT.usage,
  });
}

function ambiguous(name: string, holders: readonly number[], meant: readonly number[]): KeelsonError {
  const list = (indices: readonly number[]): string => indices.map((index) => `member ${index}`).join(' and ');
  return new KeelsonError('MEMBER_AMBIGUOUS', `${name} could mean ${list([...new Set([...holders, ...meant])])}`, {
    found: `${list(holders)} is at this path; the configuration has it at the place of ${list(meant)}`,
    expected: 'the index or the UUID of one member',
    action: 'name the member by the index that keelson status shows',
    exit: EXIT.refused,
  });
}

/** The path of the configuration that no member is at any more: in its place belongs that of the device which member `index` has now. null: there are several. */
export function pathToReplace({ paths }: ArrayState, configured: readonly string[], index: number): string | null {
  const free = configured.filter((path) => !paths.some((held, other) => other !== index && samePath(held, path)));
  const own = configured[index] as string;
  if (free.includes(own)) return own;
  return free.length === 1 ? (free[0] as string) : null;
}

export function samePath(a: string, b: string): boolean {
  if (a === b) return true;
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : path);
  return real(a) === real(b);
}

/** The open device is what is at the path. One whose name was taken over by another device, or that has none any more, is not. */
export function isAtPath(provider: DeviceProvider, device: Device, path: string): boolean {
  if (provider.kind === 'simulated') return device.path === path;
  try {
    const held = fstatSync(device.handle);
    const there = statSync(path);
    if (there.isBlockDevice()) return held.isBlockDevice() && held.rdev === there.rdev;
    return held.dev === there.dev && held.ino === there.ino;
  } catch {
    return false;
  }
}

/** In place of the alarm of the device before it: from now on this one is meant. */
export function raiseRebuilding(state: ArrayState, index: number): void {
  state.clear(`MEMBER_FAILED_${index}`);
  state.raise(
    `MEMBER_REBUILDING_${index}`,
    `member ${index} (${state.paths[index]}) is being rebuilt: until it is whole it counts as lost`,
    'keelson rebuild follows it to its end; it goes on by itself, also after a restart',
  );
}

/** The member is whole. */
export function clearMemberAlarms(state: ArrayState, index: number): void {
  state.clear(`MEMBER_FAILED_${index}`);
  state.clear(`MEMBER_REBUILDING_${index}`);
}
