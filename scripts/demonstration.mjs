// The demonstration array of npm start: eight small files, and an SFTP server inside the process as the backup host.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const MEMBERS = 6;
const JOURNALS = 2;

/** Paths of the demonstration under `where`/keelson-data. */
export function demonstration(where) {
  const folder = join(where, 'keelson-data');
  const created = join(folder, 'created');
  return {
    folder,
    created,
    config: join(folder, 'keelson.toml'),
    socket: join(folder, 'keelson.sock'),
    markCreated: () => writeFileSync(created, 'The array described by keelson.toml exists. Remove the whole folder to begin again.\n'),
  };
}

function list(name, count) {
  return Array.from({ length: count }, (_, index) => `"${name}${index}.img"`).join(', ');
}

const CONFIG = `# The demonstration array made by npm start. Paths are relative to this file.
name = "demo"

[stripe]
members = [${list('member', MEMBERS)}]
memberSize = "256MiB"
parity = 2
chunk = "64KiB"

[journal]
members = [${list('journal', JOURNALS)}]
copies = 2
size = "256MiB"
segment = "8MiB"

[backup]
url = "embedded"

[drain]
maxAge = "10s"

[export]
nbd = ["unix:./keelson.sock"]

[control]
socket = "./keelson.ctl"

[memory]
slab = "256MiB"
`;

export function writeDemonstration(own) {
  mkdirSync(own.folder, { recursive: true });
  if (!existsSync(own.config)) writeFileSync(own.config, CONFIG);
}

/** uri: of the export that takes clients now. */
export function hints(own, uri) {
  return `The demonstration array is in ${relative(process.cwd(), own.folder) || '.'}: ${MEMBERS} stripe members (4+2), ${JOURNALS} journal members, an embedded backup host.
NBD URI: ${uri}
In another terminal, try:
  nbdinfo '${uri}'
  nbdcopy some.img '${uri}'         # as large as the volume at most
  npm start -- status               # members, journal, drain, how many losses it survives
  npm start -- fail 0               # then read on: degraded
  npm start -- replace 0 keelson-data/new.img    # then put new.img for member0.img in keelson-data/keelson.toml
Ctrl-C flushes and stops. \`npm run demo\` plays the whole story, losses beyond the parity included.
`;
}
