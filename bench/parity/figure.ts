/** One figure, as `keelson bench parity --json` prints it. GB is 10^9 bytes. */
export interface Figure {
  readonly op: 'encode' | 'update' | 'reconstruct' | 'crc32c';
  readonly k: number;
  readonly m: number;
  /** Shards reconstructed. */
  readonly lost: number;
  readonly shardBytes: number;
  /** The same stripe again and again, or cycling over 256 MiB. */
  readonly set: MemorySet;
  readonly isa: string;
  readonly threads: number;
  /** native: many stripes in one call; codec: ErasureCodec, one stripe a call; pool: ErasurePool. */
  readonly via: 'native' | 'codec' | 'pool';
  /** Of data: k shards (for reconstruct too), one shard for an update, the bytes themselves for crc32c. */
  readonly gbPerSecond: number;
  /** To memcpy of one shard's bytes after another in the same set, in the same run. */
  readonly memcpyRatio: number;
  readonly peer: string | null;
  /** Only of encoding on several threads of the pool: to one thread of it, measured in turns; the median of the rounds. */
  readonly speedup?: number;
}

export type MemorySet = 'hot' | 'cold';

export interface Shape {
  readonly k: number;
  readonly m: number;
}

/** What a run measures. */
export interface Scope {
  readonly shapes: readonly Shape[];
  readonly shardBytes: readonly number[];
  readonly sets: readonly MemorySet[];
  /** Each figure is the median of what fits into this time. */
  readonly sampling_ms: number;
  /** In which encoding on one thread of the pool and on all of them take turns. */
  readonly poolRounds: number;
  /** Kernels besides the fastest. */
  readonly otherKernels: boolean;
  readonly peers: boolean;
}

const SHAPES: readonly Shape[] = [
  { k: 4, m: 1 },
  { k: 4, m: 2 },
  { k: 8, m: 2 },
  { k: 8, m: 3 },
  { k: 10, m: 4 },
  { k: 17, m: 3 },
];

export const FULL: Scope = {
  shapes: SHAPES,
  shardBytes: [4096, 65_536, 1 << 20],
  sets: ['hot', 'cold'],
  sampling_ms: 24,
  poolRounds: 5,
  otherKernels: true,
  peers: true,
};

/** A look within seconds. */
export const QUICK: Scope = { ...FULL, shardBytes: [65_536], sampling_ms: 15, poolRounds: 3, otherKernels: false };

/** Larger than any cache this is likely to meet. */
export const COLD_BYTES = 256 << 20;
/** Data handled between two looks at the clock: long against its resolution. */
export const SAMPLE_BYTES = 4 << 20;

export const shapeName = ({ k, m }: Shape): string => `${k}+${m}`;
