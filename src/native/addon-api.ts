/**
 * What the native addon offers. It knows nothing of arrays, journals or NBD.
 *
 * "memory" is always a Uint8Array over the slab (or any other) buffer; offsets are bytes from that view's start and are checked
 * against its length before anything is touched. A bad argument throws a TypeError or RangeError and touches nothing.
 */
export interface Addon {
  /** Which kernels this CPU can run, and which are chosen. KEELSON_ISA forces one. */
  cpu(): CpuReport;

  /** Smallest n >= 0 such that (address of view[0] + n) % alignment === 0. alignment is a power of two. */
  alignedOffset(view: Uint8Array, alignment: number): number;

  /**
   * Expands a rows x cols coefficient matrix over GF(2^8)/0x11D (row-major) into kernel tables. The handle is opaque, immutable, thread-local.
   * isa: '' = the chosen one, else one of cpu().available.
   */
  gfPrepare(coefficients: Uint8Array, rows: number, cols: number, isa: string): GfPlan;
  /**
   * For each of `groups` groups g: out[r] (^)= sum over c of M[r][c] * in[c], over `length` bytes each.
   * offsets: groups x (cols + rows) byte offsets into memory, per group the cols inputs and then the rows outputs.
   * accumulate: true xors into the outputs, false overwrites them. Any length; no alignment is required. Outputs must not overlap inputs.
   * nonTemporal: whether outputs bypass the cache; undefined: they do so when the call's shards are together 8 MiB or more and it does not accumulate.
   */
  gfApply(
    plan: GfPlan,
    memory: Uint8Array,
    offsets: Float64Array,
    groups: number,
    length: number,
    accumulate: boolean,
    nonTemporal: boolean | undefined,
  ): void;

  /** The same for one group whose shards are separate, equally long views: cols inputs, rows outputs. Slower to call (about 0.1 us a view). */
  gfApplyViews(plan: GfPlan, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[], accumulate: boolean): void;

  /**
   * Binds a plan to a memory that cannot be detached or resized, and to control words: the function returned applies the plan as control says,
   * [groups, length, flags, offsets...] (GF_CONTROL_*). A call without arguments is five times cheaper than gfApply's seven.
   */
  gfBind(plan: GfPlan, memory: Uint8Array, control: Float64Array): () => void;
  /**
   * For each group: firstWrong[g * rows + r] = the first byte at which sum over c of M[r][c] * in[c] is not zero, or -1. Reads only.
   * offsets: groups x cols.
   */
  gfCheck(plan: GfPlan, memory: Uint8Array, offsets: Float64Array, groups: number, length: number, firstWrong: Float64Array): void;

  /** CRC32C (Castagnoli, reflected, init and xorout 0xFFFFFFFF) of memory[offset, offset + length), continued from seed (0 at the start). */
  crc32c(memory: Uint8Array, offset: number, length: number, seed: number): number;
  /**
   * Address-seeded CRC32C of `count` 4096-byte blocks: block i lies at offsets[i] and its checksum is
   * crc32c(le64(addresses[i]) ++ block). Addresses are integers below 2^53. Results to out[outIndex + i].
   */
  crcBlocks(memory: Uint8Array, offsets: Float64Array, addresses: Float64Array, count: number, out: Uint32Array, outIndex: number): void;
  /** The same for `count` blocks that lie one after the other from offset, with addresses firstAddress, firstAddress + 1, ... */
  crcRun(memory: Uint8Array, offset: number, firstAddress: number, count: number, out: Uint32Array, outIndex: number): void;
  /**
   * Copies `count` blocks from source[sourceOffset ..] to memory[offset ..], checksummed as crcRun does, in one pass. From 64 KiB on past the cache. The two places do
   * not overlap.
   */
  copyCrcRun(
    source: Uint8Array,
    sourceOffset: number,
    memory: Uint8Array,
    offset: number,
    firstAddress: number,
    count: number,
    out: Uint32Array,
    outIndex: number,
  ): void;
  /** True when memory[offset, offset + length) is all zero bytes. */
  isZero(memory: Uint8Array, offset: number, length: number): boolean;

  /**
   * Opens a block device or file for read and write with O_DIRECT (direct), O_CLOEXEC, flock(LOCK_EX | LOCK_NB) and, on a block device, O_EXCL.
   * Returns the descriptor or throws an Error with `code` (ENOENT, EBUSY = another holder, EACCES, EINVAL = no O_DIRECT here ...).
   */
  openDevice(path: string, direct: boolean, exclusive: boolean, readOnly: boolean): number;
  closeDevice(fd: number): void;
  /** Atomically makes fd refer to what `other` refers to (dup3); what fd was is closed. Fault injection kills a device this way, in every thread. */
  dupOver(fd: number, other: number): void;
  /** A second descriptor (close-on-exec) of what fd refers to, to be closed by itself. */
  duplicate(fd: number): number;
  geometry(fd: number): DeviceGeometry;

  /**
   * Moves the calling thread to the slot-th of the processors it may run on (slots beyond the last begin again), without binding it there. Returns the
   * processor that it runs on, or -1 where that cannot be known.
   */
  placeThread(slot: number): number;

  /** undefined where io_uring is not permitted: see ringAvailable(). */
  readonly Ring: RingConstructor;
  /** '' when io_uring with what we need works here, else the reason. */
  ringAvailable(): string;

  /** Known-answer tests of every kernel that this CPU can run. '' or what failed. */
  selfTest(): string;
}

export interface CpuReport {
  /** 'scalar' | 'ssse3' | 'avx2' | 'avx2-gfni' | 'avx512' | 'avx512-gfni' | 'neon' */
  readonly isa: string;
  readonly available: readonly string[];
  readonly crc: string;
  readonly model: string;
}

/** Words of gfBind's control, and the bits of its flags. */
export const GF_CONTROL_GROUPS = 0;
export const GF_CONTROL_LENGTH = 1;
export const GF_CONTROL_FLAGS = 2;
export const GF_CONTROL_OFFSETS = 3;
export const GF_ACCUMULATE = 1;
export const GF_NON_TEMPORAL = 2;
export const GF_CACHED = 4;

export type GfPlan = object & { readonly __gfPlan: never };

export interface DeviceGeometry {
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly isBlockDevice: boolean;
}

/**
 * Operations travel as descriptors of RING_OP_WORDS doubles: [opcode, fd, memoryOffset, deviceOffset, length, tag].
 * Memory offsets are bytes from the start of the view given to the constructor (registered as fixed buffers where the kernel permits).
 * A short read or write is continued by the ring itself; a result is the full length or -errno. (A read past the end of a file is -EIO.)
 */
export interface RingConstructor {
  /** memory must stay while operations are in flight: a SharedArrayBuffer's, or one that nobody transfers. Once it is detached or resized every call is refused. */
  new (memory: Uint8Array, entries: number): Ring;
}

export interface Ring {
  /** Asynchronous mode: queues count operations from ops[first * RING_OP_WORDS]. Never refuses: what the SQ cannot take waits inside. */
  submit(ops: Float64Array, first: number, count: number): void;
  /**
   * Arms asynchronous completion delivery on this thread's event loop: `completions` is filled with (tag, result) pairs and
   * callback(pairs) is called at most once a loop turn per completions.length / 2 completions. The ring keeps the loop alive only while operations are in flight.
   */
  listen(completions: Int32Array, callback: (pairs: number) => void): void;
  /** Blocking mode, for workers: runs count operations and returns when all are done; results[i] = length or -errno of operation i (tags are ignored). */
  run(ops: Float64Array, count: number, results: Int32Array): void;
  /** Closes; in-flight operations are waited for first. */
  close(): void;
}

export const RING_OP_WORDS = 6;
export const RING_READ = 1;
export const RING_WRITE = 2;
/** fdatasync; offsets and length are ignored. */
export const RING_SYNC = 3;
