import { KIB, MIB, type Bytes } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import { memberPaths } from '../engine/assemble.js';
import { planSlab, slabBytesMin } from '../engine/slab-plan.js';
import { memberBytesFor } from '../member/layout.js';
import type { Slab } from '../memory/slab.js';
import type { ScenarioShape } from './scenario.js';
import { SimulatedDisk } from './simulated-disk.js';

/** Stripe threads that the slab is divided for, the same on every machine. */
export const STRIPE_THREADS = 1;

/** The configuration of a simulated array. */
export function settingsFor(shape: ScenarioShape): Settings {
  const { dataMembers, parity, journalMembers, copies, chunkBytes, stripes, segmentBytes } = shape;
  const ringBytes = segmentBytes * shape.segments;
  const role = journalMembers === 0 ? 'both' : 'data';
  return {
    file: '/simulated/keelson.toml',
    directory: '/simulated',
    name: 'simulated',
    stripe: {
      members: Array.from({ length: dataMembers }, (_, i) => `data-${i}`),
      memberBytes: memberBytesFor(role, chunkBytes, stripes, journalMembers === 0 ? ringBytes : 0),
      dataShards: dataMembers - parity,
      parity,
      chunkBytes,
      spares: [],
    },
    journal: { members: Array.from({ length: journalMembers }, (_, i) => `journal-${i}`), copies, ringBytes, segmentBytes },
    backup: shape.backup
      ? {
          target: { kind: 'file', url: 'file:///simulated/vault', path: '/simulated/vault' },
          compression: 'none',
          passphraseFile: null,
          onUnreachable: 'stall',
          keepPoints_ms: 604_800_000,
        }
      : null,
    drain: { maxAge_ms: 400, maxBytes: 512 * KIB, maxFill: 0.5, schedule: [], onDegraded: true },
    export: { nbd: [], durability: shape.sync ? 'sync' : 'write-back' },
    control: { socket: '/simulated/control', http: null, hosts: [] },
    memory: { slabBytes: slabFor(segmentBytes, chunkBytes * dataMembers, shape.buffers) },
  };
}

/** The empty devices of an array, data members first. */
export function membersFor(shape: ScenarioShape, settings: Settings): SimulatedDisk[] {
  const sizes = memberSizes(shape);
  return memberPaths(settings).map((path, index) => new SimulatedDisk(path, index, sizes[index] as Bytes));
}

function memberSizes(shape: ScenarioShape): Bytes[] {
  const { dataMembers, journalMembers, chunkBytes, stripes } = shape;
  const ringBytes = shape.segmentBytes * shape.segments;
  const role = journalMembers === 0 ? 'both' : 'data';
  return [
    ...new Array<Bytes>(dataMembers).fill(memberBytesFor(role, chunkBytes, stripes, journalMembers === 0 ? ringBytes : 0)),
    ...new Array<Bytes>(journalMembers).fill(memberBytesFor('journal', chunkBytes, stripes, ringBytes)),
  ];
}

/** The smallest slab that holds so many segments. */
function slabFor(segmentBytes: Bytes, stripeBytes: Bytes, buffers: number): Bytes {
  let bytes = slabBytesMin(segmentBytes, stripeBytes, STRIPE_THREADS);
  // Dividing needs no memory.
  while (planSlab({ bytes } as Slab, segmentBytes, stripeBytes, STRIPE_THREADS).segmentBuffers < buffers)
    bytes += Math.max(segmentBytes, MIB / 4);
  return bytes;
}
