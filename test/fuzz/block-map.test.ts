import test from 'ava';
import { BlockMap, ROW_LOST } from '../../src/repository/format/block-map.js';
import { type SegmentIndex, STORED_LOST } from '../../src/repository/format/segment-index.js';
import { fuzz } from './mutation.js';

/** Two groups of pages and a bit. */
const VOLUME_BLOCKS = 2 * 2 ** 20 + 3000;

interface Entry {
  readonly first: number;
  readonly count: number;
  readonly stored: number;
}

function indexOf(entries: readonly Entry[], crcs: readonly number[] = []): SegmentIndex {
  return {
    entries: entries.length,
    first: Float64Array.from(entries, ({ first }) => first),
    count: Uint32Array.from(entries, ({ count }) => count),
    stored: Uint32Array.from(entries, ({ stored }) => stored),
    offset: new Float64Array(entries.length),
    crcs: Uint32Array.from(crcs),
  };
}

test('the map of the image says what a plain list of blocks says, whatever frames, holes and losses lie over one another, across pages and groups', (t) => {
  const owner = new Uint32Array(VOLUME_BLOCKS);
  const sums = new Uint32Array(VOLUME_BLOCKS);
  fuzz(t, 12, (random) => {
    owner.fill(0);
    sums.fill(0);
    const map = new BlockMap(VOLUME_BLOCKS);
    const edges = new Set<number>([0, VOLUME_BLOCKS - 1]);
    const borders = [0, 1024, 4096, 2 ** 20 - 1024, 2 ** 20, 2 ** 20 + 1024, 2 ** 21, 2 ** 21 + 2048];
    let frames = 0;
    let live = 0;
    for (let segment = 0; segment < 25; segment++) {
      const entries: Entry[] = [];
      const crcs: number[] = [];
      for (let i = random.below(6); i >= 0; i--) {
        const near = (borders[random.below(borders.length)] as number) + random.below(41) - 20;
        const first = Math.min(VOLUME_BLOCKS - 1, Math.max(0, random.below(3) === 0 ? random.below(VOLUME_BLOCKS) : near));
        const kind = random.below(3);
        const longest = kind === 0 ? 64 : [3, 1100, 2 ** 20 + 1100, 2 ** 32 - 1][random.below(4)];
        const count = Math.min(1 + random.below(longest as number), VOLUME_BLOCKS - first);
        entries.push({ first, count, stored: kind === 0 ? 100 : kind === 1 ? 0 : STORED_LOST });
        const mark = kind === 0 ? ++frames : kind === 1 ? 0 : ROW_LOST;
        owner.fill(mark, first, first + count);
        const own = Array.from({ length: kind === 0 ? count : 0 }, () => random.u32());
        crcs.push(...own);
        if (kind === 0) sums.set(own, first);
        else sums.fill(0, first, first + count);
        for (const edge of [first - 1, first, first + count - 1, first + count]) if (edge >= 0 && edge < VOLUME_BLOCKS) edges.add(edge);
      }
      map.apply(segment, indexOf(entries, crcs));
      for (const block of edges) {
        const row = map.row(block);
        const mark = owner[block] as number;
        if ((row === 0) !== (mark === 0) || (row === ROW_LOST) !== (mark === ROW_LOST))
          throw new Error(`block ${block}: ${row} for ${mark}`);
        if (map.crc(block) !== sums[block]) throw new Error(`the checksum of block ${block}`);
        if (row === 0 || row === ROW_LOST) continue;
        if (block < map.frames.first(row) || block >= map.frames.first(row) + map.frames.count(row)) throw new Error('another frame');
      }
    }
    const seen = new Set<number>();
    for (let at = map.next(0, true); at < VOLUME_BLOCKS; ) {
      const end = map.next(at, false);
      if (at > 0 && isFrame(owner[at - 1] as number)) throw new Error(`data begin before ${at}`);
      for (let block = at; block < end; block++) {
        if (!isFrame(owner[block] as number)) throw new Error(`block ${block} has no data`);
        seen.add(owner[block] as number);
        live++;
      }
      at = map.next(end, true);
    }
    let expected = 0;
    for (let block = 0; block < VOLUME_BLOCKS; block++) if (isFrame(owner[block] as number)) expected++;
    if (live !== expected) throw new Error(`${live} blocks with data for ${expected}`);
    // Frames of which nothing is left give their rows back.
    if (map.frames.rows > 150) throw new Error(`${map.frames.rows} rows for ${seen.size} frames`);
  });
  t.pass();
});

test('a volume of 2^53 bytes, and entries over 2^32 - 1 blocks of it, take neither memory nor time', (t) => {
  const blocks = 2 ** 41 - 1;
  const before = process.memoryUsage().arrayBuffers;
  const map = new BlockMap(blocks);
  const giant = Array.from({ length: 200 }, (_, i) => ({
    first: i * 2 ** 32 + 77,
    count: 2 ** 32 - 100,
    stored: i % 2 === 0 ? STORED_LOST : 0,
  }));
  for (let segment = 0; segment < 3; segment++) map.apply(segment, indexOf(giant));
  t.is(map.row(77), ROW_LOST);
  t.is(map.row(76), 0);
  t.is(map.row(2 ** 32 + 77), 0);
  t.is(map.row(2 ** 33 + 77 + 2 ** 32 - 101), ROW_LOST);
  t.is(map.next(0, true), blocks);
  map.apply(3, indexOf([{ first: 2 ** 40, count: 2, stored: 9 }], [5, 6]));
  t.is(map.next(0, true), 2 ** 40);
  t.is(map.crc(2 ** 40 + 1), 6);
  const grown = process.memoryUsage().arrayBuffers - before;
  t.true(grown < 16 * 2 ** 20, `${grown} bytes`);
});

function isFrame(mark: number): boolean {
  return mark !== 0 && mark !== ROW_LOST;
}
