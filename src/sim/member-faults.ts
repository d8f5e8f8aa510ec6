import type { Random } from '../base/random.js';
import { type FaultAtlas, ZONES, type Zone } from './fault-atlas.js';
import type { MemberFaultKind } from './scenario.js';
import type { Scheduler } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';

const STALL_US = 3_000_000;
const SLOWNESS_MAX = 60;

/** Does one thing to one member that the atlas permits. False when there is none, or nothing to do it to. */
export function strikeMember(
  kind: MemberFaultKind,
  random: Random,
  disks: readonly SimulatedDisk[],
  atlas: FaultAtlas,
  scheduler: Scheduler,
): boolean {
  if (kind === 'reconnect') return reconnect(random, disks);
  const index = choose(random, disks, atlas, kind === 'stall' || kind === 'slow-member');
  if (index < 0) return false;
  const disk = disks[index] as SimulatedDisk;
  const { faults } = disk;
  if (kind !== 'stall' && kind !== 'slow-member') disk.touched = true;
  switch (kind) {
    case 'stall':
      faults.stalledUntil_us = scheduler.now_us + random.below(STALL_US);
      return true;
    case 'slow-member':
      faults.slowness = faults.slowness > 1 ? 1 : 2 + random.below(SLOWNESS_MAX);
      return true;
    case 'read-error':
      faults.failReads += 1 + random.below(3);
      return true;
    case 'write-error':
      faults.failWrites += 1;
      return true;
    case 'sync-error':
      faults.failSyncs += 1;
      return true;
    case 'lost-write':
      faults.loseWrites += 1;
      return true;
    case 'misdirected-write':
      faults.misdirectWrites += 1;
      return true;
    case 'disconnect':
      atlas.unplugged.add(index);
      disk.disconnect(random);
      return true;
    case 'new-device':
      atlas.unplugged.add(index);
      disk.disconnect(random);
      disk.wipe();
      disk.connected = true;
      return true;
    case 'bit-rot':
    case 'latent-sector-error':
      return decay(kind, random, index, disk, atlas);
  }
}

/** A member that may be harmed; one that is harmed already as soon as another one, so that some come to a lot of grief. */
function choose(random: Random, disks: readonly SimulatedDisk[], atlas: FaultAtlas, harmless: boolean): number {
  const start = random.below(disks.length);
  for (let i = 0; i < disks.length; i++) {
    const index = (start + i) % disks.length;
    if (disks[index]?.connected === true && (harmless || atlas.mayHarm(index))) return index;
  }
  return -1;
}

function reconnect(random: Random, disks: readonly SimulatedDisk[]): boolean {
  const away = disks.filter(({ connected }) => !connected);
  if (away.length === 0) return false;
  (away[random.below(away.length)] as SimulatedDisk).connected = true;
  return true;
}

function decay(kind: 'bit-rot' | 'latent-sector-error', random: Random, index: number, disk: SimulatedDisk, atlas: FaultAtlas): boolean {
  // Half of all in the data zone; the rest anywhere.
  const zone: Zone = random.below(2) === 0 && atlas.holdsData(index) ? 'data' : (ZONES[random.below(ZONES.length)] as Zone);
  const [from, to] = atlas.zone(index, zone);
  const pages = disk.pagesWithContent(from, to);
  if (pages.length === 0) return false;
  // One page of superblock, checkpoint or integrity zone at a time: their copies stand for each other.
  const most = zone === 'data' || zone === 'journal' ? 1 + random.below(6) : 1;
  let struck = false;
  for (let i = 0; i < most; i++) {
    const page = pages[random.below(pages.length)] as number;
    if (kind === 'latent-sector-error') {
      disk.unreadable.add(page);
      struck = true;
    } else if (disk.rot(page, random)) struck = true;
  }
  if (struck) disk.onFault(`${kind}-in-${zone}`);
  return struck;
}
