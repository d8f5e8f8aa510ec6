/**
 * The folders of src/ from the top floor down (DESIGN, "Layers"; docs/architecture.md). A file imports only from its own folder and from folders on
 * floors below; the rooms of one floor do not know each other. src/index.ts stands above them all: it only re-exports.
 */
export const FLOORS: readonly (readonly string[])[] = [
  ['cli'],
  ['nbd', 'control', 'sim'],
  ['engine'],
  ['drain', 'destage', 'rebuild'],
  ['journal', 'stripe'],
  ['member'],
  ['device', 'erasure'],
  ['memory'],
  ['repository', 'config', 'native'],
  ['base'],
];

export function floorOf(folder: string): number {
  return FLOORS.findIndex((floor) => floor.includes(folder));
}

/** '' when a file of `from` may import one of `to` (folders of src/), else why not. */
export function objection(from: string, to: string): string {
  if (from === to) return '';
  const [above, below] = [floorOf(from), floorOf(to)];
  if (above < 0 || below < 0) return `src/${above < 0 ? from : to} is on no floor: give it its place in test/house/floors.ts`;
  if (below > above) return '';
  return below === above ? `${from} and ${to} are rooms of one floor and do not know each other` : `${to} lies above ${from}`;
}
