import { BLOCK_BYTES } from '../base/units.js';
import type { RangeSource, RebuildOutline } from '../rebuild/rebuild-plan.js';
import { CRC_LOST } from '../stripe/geometry.js';
import type { ArrayEngine } from './array-engine.js';

/** Blocks that are read to find out how fast it goes: 1 MiB, a moment even on a slow disk. */
const SAMPLE_BLOCKS = 256;

/** Where the seconds of a plan come from. */
export interface RebuildEstimate {
  readonly seconds: number;
  /** Data of the stripes that go through the stripe workers in a second: of the last rebuild of this process, or of a sample read now. null: nothing to measure. */
  readonly stripeBytesPerSecond: number | null;
  readonly measuredBy: 'rebuild' | 'sample';
  /** From the backup, by a sample read now. null: nothing of the plan comes from there. */
  readonly backupBytesPerSecond: number | null;
}

/** How long the plan would take, from rates measured on this array. Reads up to a MiB of its survivors, and as much of the backup when that is needed. */
export async function estimateRebuild(engine: ArrayEngine, { ranges, bytes }: RebuildOutline): Promise<RebuildEstimate> {
  const rebuilt = engine.rebuild.stripeBytesPerSecond;
  const stripes =
    rebuilt ??
    (await sampleSurvivors(
      engine,
      blocksOf(ranges, 'survivor', (block) => isStored(engine, block)),
    ));
  const backup =
    bytes.backup === 0
      ? null
      : await sampleBackup(
          engine,
          blocksOf(ranges, 'backup', () => true),
        );
  const all = bytes.survivor + bytes.parity + bytes.journal + bytes.backup + bytes.lost;
  return {
    seconds: (stripes === null ? 0 : all / stripes) + (backup === null ? 0 : bytes.backup / backup),
    stripeBytesPerSecond: stripes,
    measuredBy: rebuilt === null ? 'sample' : 'rebuild',
    backupBytesPerSecond: backup,
  };
}

function blocksOf(ranges: RebuildOutline['ranges'], from: RangeSource, wanted: (block: number) => boolean): number[] {
  const blocks: number[] = [];
  for (const range of ranges) {
    if (range.from !== from) continue;
    for (let at = range.offset; at < range.offset + range.length && blocks.length < SAMPLE_BLOCKS; at += BLOCK_BYTES)
      if (wanted(at / BLOCK_BYTES)) blocks.push(at / BLOCK_BYTES);
    if (blocks.length === SAMPLE_BLOCKS) break;
  }
  return blocks;
}

/** The block takes a device read, not only a look at the table. */
function isStored({ state }: ArrayEngine, block: number): boolean {
  const { geometry } = state;
  const stripe = geometry.stripeOf(block);
  const slot = geometry.slotOf(block);
  const member = geometry.memberOf(stripe, Math.floor(slot / geometry.rows));
  return (state.integrity[member]?.entries[geometry.memberBlock(stripe, slot % geometry.rows)] as number) > CRC_LOST;
}

/** A rebuild reads what a sample reads, and writes the lost shards besides; it does so on every thread. */
async function sampleSurvivors(engine: ArrayEngine, blocks: readonly number[]): Promise<number | null> {
  const { state, parts } = engine;
  if (blocks.length === 0) return null;
  const seconds = await timed(engine, async (offset) => {
    await parts.pool.recover({
      members: state.memberView(),
      blocks: Float64Array.from(blocks),
      pages: Uint32Array.from(blocks, (_, i) => offset / BLOCK_BYTES + i),
      repair: false,
    });
  });
  const written = 1 + state.lostDataMembers().length / state.geometry.k;
  return (blocks.length * BLOCK_BYTES * parts.pool.threads) / written / seconds;
}

async function sampleBackup(engine: ArrayEngine, blocks: readonly number[]): Promise<number | null> {
  const backup = engine.servingBackup();
  if (backup === null || blocks.length === 0) return null;
  const seconds = await timed(engine, async (offset) => {
    await backup.read(Float64Array.from(blocks), offset, new Uint32Array(blocks.length));
  });
  return (blocks.length * BLOCK_BYTES) / seconds;
}

/** Seconds that the work takes, on memory for a sample. */
async function timed({ fetchPages, parts }: ArrayEngine, work: (offset: number) => Promise<void>): Promise<number> {
  const offset = await new Promise<number>((granted) => fetchPages.allocate(SAMPLE_BLOCKS, granted));
  try {
    const start = parts.clock.now();
    await work(offset);
    // A clock may be too coarse for a sample.
    return Math.max(parts.clock.now() - start, 0.001) / 1000;
  } finally {
    fetchPages.free(offset, SAMPLE_BLOCKS);
  }
}
