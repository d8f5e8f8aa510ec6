import { MATRIX_VERSION } from '../../src/erasure/matrix.js';
import type { ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { KIB, MIB } from '../../src/base/units.js';
import type { Device, DeviceProvider } from '../../src/device/device.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { computeLayout } from '../../src/member/layout.js';
import type { ArrayShape, Checkpoint, MemberRecord, MemberRole, Superblock } from '../../src/member/member-api.js';
import { newUuid } from '../../src/member/uuid.js';
import { Slab } from '../../src/memory/slab.js';
import { type SlabRegion, slabRegion } from '../../src/memory/slab-region.js';
import { scratchFile, scratchFolder } from '../device/scratch-files.js';

const random = seededRandom(1);

export const SHAPE: ArrayShape = {
  arrayUuid: newUuid(random),
  name: 'vault',
  createdAt: 1_790_000_000_000,
  dataMembers: 6,
  journalMembers: 2,
  parity: 2,
  chunkBytes: 64 * KIB,
  stripes: 200,
  ringBytes: 8 * MIB,
  segmentBytes: 1 * MIB,
  journalCopies: 2,
  matrixVersion: MATRIX_VERSION,
};

export const MEMBER_UUIDS: readonly string[] = Array.from({ length: 8 }, () => newUuid(random));

export function superblockOf(index: number, change: Partial<Superblock> = {}): Superblock {
  const role: MemberRole = index < SHAPE.dataMembers ? 'data' : 'journal';
  const shape = change.shape ?? SHAPE;
  return {
    shape,
    memberUuid: MEMBER_UUIDS[index] as string,
    index,
    role,
    layout: computeLayout({
      role,
      chunkBytes: shape.chunkBytes,
      stripes: shape.stripes,
      journalBytes: role === 'journal' ? shape.ringBytes : 0,
    }),
    epoch: 1,
    generation: 1,
    ...change,
  };
}

export function tableOf(change: Partial<MemberRecord>[] = []): MemberRecord[] {
  return MEMBER_UUIDS.map((uuid, index) => ({
    index,
    uuid,
    role: index < SHAPE.dataMembers ? ('data' as const) : ('journal' as const),
    state: 'online' as const,
    rebuiltStripes: 0,
    ...change.find((row) => row.index === index),
  }));
}

export function checkpointOf(change: Partial<Checkpoint> = {}): Checkpoint {
  return {
    epoch: 1,
    generation: 1,
    members: tableOf(),
    destagedSeq: 12,
    drainedSeq: 9,
    tailSeq: 9,
    destagedLsn: 123_456,
    drainedLsn: 2 ** 40 + 5,
    cleanShutdown: false,
    protection: 'full',
    stripeBitmap: new Uint8Array(Math.ceil(SHAPE.stripes / 8)),
    ...change,
  };
}

export interface MemberBench {
  readonly slab: Slab;
  readonly provider: DeviceProvider;
  readonly region: SlabRegion;
  readonly folder: string;
  /** A fresh file of this size, open. */
  device(name: string, bytes: number): Promise<Device>;
}

export function memberBench(t: ExecutionContext, regionBytes = 2 * MIB): MemberBench {
  const slab = Slab.allocate(regionBytes + MIB);
  const provider = createDeviceProvider(slab, 'fs');
  const folder = scratchFolder(t);
  t.teardown(() => provider.close());
  return {
    slab,
    provider,
    folder,
    region: slabRegion(slab, MIB, regionBytes),
    device: (name, bytes) => provider.open(scratchFile(folder, name, bytes)),
  };
}
