import type { ArrayEngine } from './array-engine.js';

/** Members that have no device in use: each of them wants one. */
export function absentMembers({ state }: ArrayEngine): number[] {
  return state.records.flatMap((_, index) => {
    const member = state.members[index];
    return member?.state === 'online' || member?.state === 'rebuilding' ? [] : [index];
  });
}

/** What helps against one lost member, as a command that can be given as it stands. Replacing is not advised while it would give up what can still be had. */
export function lostMemberAdvice(engine: ArrayEngine, index: number): string {
  const { state, parts } = engine;
  const { file } = parts.settings;
  if (index < state.shape.dataMembers) {
    const price = beforeReplacing(engine);
    if (price !== null) return `${price}keelson replace ${index} NEW-DEVICE`;
  }
  if (state.returned.has(index)) return `keelson replace ${index} ${state.paths[index]}: it is made whole again on its own device`;
  if (state.members[index] === null)
    return `keelson replace ${index} DEVICE: its own device, if that is here by another path, else a new one; then write DEVICE at its place in ${file}`;
  return `keelson replace ${index} NEW-DEVICE; then write NEW-DEVICE at its place in ${file}`;
}

/** The same for all that are lost. */
export function lostMembersAdvice(engine: ArrayEngine): string {
  const absent = absentMembers(engine);
  if (absent.length === 0) return 'wait for the rebuild: keelson rebuild';
  return `${beforeReplacing(engine) ?? ''}${absent.map((index) => `keelson replace ${index} NEW-DEVICE`).join(', ')}`;
}

/** null: a stripe member may be replaced without losing anything. Else what comes first. */
function beforeReplacing({ state, link }: ArrayEngine): string | null {
  if (state.lostDataMembers().length <= state.geometry.m) return null;
  if (state.protection !== 'full')
    return 'keep the lost devices; keelson rebuild --plan lists what replacing them loses for good; to give that up: ';
  return link?.isOpen === true ? null : 'bring the backup host back first, which has what the members have lost; then ';
}
