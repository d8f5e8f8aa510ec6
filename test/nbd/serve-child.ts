import { NbdServer } from '../../src/nbd/server.js';
import { RamVolume } from './ram-volume.js';

/** Run as a process of its own, with limits that a test sets: serves a volume in memory on the unix socket that is its argument. */
const server = await NbdServer.start({ volume: new RamVolume(), addresses: [`unix:${process.argv[2]}`] });
process.stdout.write('serving\n');
process.once('SIGTERM', () => void server.close());
setInterval(() => undefined, 60_000);
