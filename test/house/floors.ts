/**
 * The rooms of src/ from the top floor down (docs/architecture.md). A room is a folder. A folder inside another is a
 * room with a floor of its own. So is a file that is named here, such as target/target.ts: the interface of a room
 * whose inner rooms implement it. A file imports only from its own room and from rooms on floors below. The rooms of
 * one floor do not know each other. src/index.ts stands above them all: it only re-exports.
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
  ['repository', 'backup-host'],
  ['repository/format'],
  ['target'],
  ['target/sftp'],
  ['target/target'],
  ['config', 'native'],
  ['base'],
];

const ROOMS = FLOORS.flat();

/** src/engine/file.ts -> engine, src/repository/format/head.ts -> repository/format; '' for a file right in src/. */
export function roomOf(path: string): string {
  const file = path.replace(/^src\//, '').replace(/\.ts$/, '');
  if (ROOMS.includes(file)) return file;
  const slash = file.lastIndexOf('/');
  return slash < 0 ? '' : file.slice(0, slash);
}

export function floorOf(room: string): number {
  return FLOORS.findIndex((floor) => floor.includes(room));
}

/** '' when a file of `from` may import one of `to` (rooms of src/), else why not. */
export function objection(from: string, to: string): string {
  if (from === to) return '';
  const [above, below] = [floorOf(from), floorOf(to)];
  if (above < 0 || below < 0) return `src/${above < 0 ? from : to} is on no floor: give it its place in test/house/floors.ts`;
  if (below > above) return '';
  return below === above ? `${from} and ${to} are rooms of one floor and do not know each other` : `${to} lies above ${from}`;
}
