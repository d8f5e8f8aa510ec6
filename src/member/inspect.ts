import { type ErrorRecord, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { Device } from '../device/device.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { CHECKPOINT_SLOTS, readCheckpointSlot } from './checkpoint-io.js';
import { bitCount } from './stripe-bitmap.js';
import { IntegrityTable } from './integrity.js';
import { integrityZoneBytes } from './layout.js';
import type { Checkpoint, MemberLayout, Superblock } from './member-api.js';
import { recognise } from './signatures.js';
import { newestSuperblock, readSuperblockCopies, refuseShrunk } from './superblock-io.js';

export interface InspectedZone {
  readonly name: string;
  readonly offset: Bytes;
  readonly bytes: Bytes;
}

export interface InspectedCheckpoint extends Omit<Checkpoint, 'stripeBitmap'> {
  readonly stripesWritten: number;
}

export interface InspectedIntegrity {
  readonly pages: number;
  /** Pages that the newest checkpoint's bitmap covers, those of them without a whole copy, and reads that failed. */
  readonly lostPages: readonly number[];
  readonly readErrors: number;
  readonly writtenBlocks: number;
  readonly lostBlocks: number;
}

/** All that `keelson inspect` prints of one device. Plain data. */
export interface Inspection {
  readonly path: string;
  readonly sizeBytes: Bytes;
  /** What is recognised on it when it is not a member, or beside that. */
  readonly holds: string | null;
  /** The four places of the superblock: its generation, or why there is none. */
  readonly superblockCopies: readonly { readonly offset: Bytes; readonly generation: number | null; readonly error: ErrorRecord | null }[];
  readonly superblock: Superblock | null;
  readonly error: ErrorRecord | null;
  readonly zones: readonly InspectedZone[];
  readonly checkpoints: readonly {
    readonly slot: number;
    readonly checkpoint: InspectedCheckpoint | null;
    readonly error: ErrorRecord | null;
  }[];
  readonly integrity: InspectedIntegrity | null;
}

/** Reads what a device says of itself; writes nothing. What cannot be read is in the result. Needs SIGNATURE_TAIL_BYTES and INTEGRITY_REGION_BYTES of memory. */
export async function inspectDevice(device: Device, region: SlabRegion): Promise<Inspection> {
  const copies = await readSuperblockCopies(device, region);
  const superblockCopies = copies.map(({ offset, superblock, error }) => ({
    offset,
    generation: superblock?.generation ?? null,
    error: error?.toRecord() ?? null,
  }));
  const holds = await recognise(device, region).catch(() => null);
  const base = { path: device.path, sizeBytes: device.sizeBytes, holds, superblockCopies };
  let superblock: Superblock;
  try {
    superblock = newestSuperblock(device.path, copies);
  } catch (error) {
    return { ...base, superblock: null, error: recordOf(error), zones: [], checkpoints: [], integrity: null };
  }
  const { layout, shape } = superblock;
  const zones = zonesOf(layout);
  try {
    refuseShrunk(device, superblock);
  } catch (error) {
    return { ...base, superblock, error: recordOf(error), zones, checkpoints: [], integrity: null };
  }
  const checkpoints: { slot: number; checkpoint: InspectedCheckpoint | null; error: ErrorRecord | null }[] = [];
  let newest: Checkpoint | null = null;
  for (let slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
    try {
      const checkpoint = await readCheckpointSlot({ device, layout }, slot, shape, region);
      const { stripeBitmap, ...fields } = checkpoint;
      checkpoints.push({ slot, checkpoint: { ...fields, stripesWritten: bitCount(stripeBitmap) }, error: null });
      if (newest === null || checkpoint.generation > newest.generation) newest = checkpoint;
    } catch (error) {
      checkpoints.push({ slot, checkpoint: null, error: recordOf(error) });
    }
  }
  const integrity = newest === null || layout.integrityPages === 0 ? null : await inspectIntegrity(device, superblock, newest, region);
  return { ...base, superblock, error: null, zones, checkpoints, integrity };
}

async function inspectIntegrity(
  device: Device,
  superblock: Superblock,
  checkpoint: Checkpoint,
  region: SlabRegion,
): Promise<InspectedIntegrity> {
  const { shape, layout, memberUuid, index } = superblock;
  const table = new IntegrityTable(layout, { arrayUuid: shape.arrayUuid, memberUuid, index });
  const { lostPages, readErrors } = await table.load(device, checkpoint.stripeBitmap, shape.chunkBytes / BLOCK_BYTES, region);
  let writtenBlocks = 0;
  let lostBlocks = 0;
  for (const entry of table.entries) {
    if (entry > 1) writtenBlocks += 1;
    else if (entry === 1) lostBlocks += 1;
  }
  return { pages: table.pages, lostPages, readErrors, writtenBlocks, lostBlocks };
}

function zonesOf(layout: MemberLayout): InspectedZone[] {
  return [
    { name: 'checkpoint 0', offset: layout.checkpointOffset[0], bytes: layout.checkpointBytes },
    { name: 'checkpoint 1', offset: layout.checkpointOffset[1], bytes: layout.checkpointBytes },
    { name: 'integrity', offset: layout.integrityOffset, bytes: integrityZoneBytes(layout.integrityPages) },
    { name: 'journal', offset: layout.journalOffset, bytes: layout.journalBytes },
    { name: 'data', offset: layout.dataOffset, bytes: layout.dataBytes },
  ];
}

function recordOf(error: unknown): ErrorRecord {
  return KeelsonError.from(error).toRecord();
}
