import { BLOCK_BYTES, MIB } from '../base/units.js';
import type { BlockingIo } from '../device/device.js';
import { RING_OP_WORDS } from '../native/addon-api.js';

/** A merged operation stays below this, so that one slow device operation does not hold a whole batch. A choice, not a limit of the ring. */
const MERGED_BYTES_MAX = 4 * MIB;

/**
 * A batch of block operations for BlockingIo, built one block at a time: a block that follows the last one on the device and in memory
 * extends its operation. Every operation remembers the slot of its first block and its place (workspace.ts). Arrays grow and are reused.
 */
export class BlockOps {
  count = 0;
  ops = new Float64Array(256 * RING_OP_WORDS);
  results = new Int32Array(256);
  slots = new Int32Array(256);
  places = new Int32Array(256);

  clear(): void {
    this.count = 0;
  }

  /** One block. slot: index of the block in the workspace; -1 for none. Blocks of one operation have consecutive slots. */
  add(opcode: number, handle: number, page: number, deviceOffset: number, slot: number, place: number): void {
    const memory = page * BLOCK_BYTES;
    if (this.count > 0) {
      const last = this.count - 1;
      const at = last * RING_OP_WORDS;
      const length = this.ops[at + 4] as number;
      if (
        this.places[last] === place &&
        (this.ops[at + 2] as number) + length === memory &&
        (this.ops[at + 3] as number) + length === deviceOffset &&
        (this.slots[last] as number) + length / BLOCK_BYTES === slot &&
        length < MERGED_BYTES_MAX
      ) {
        this.ops[at + 4] = length + BLOCK_BYTES;
        return;
      }
    }
    this.#push(opcode, handle, memory, deviceOffset, BLOCK_BYTES, slot, place);
  }

  /** One block as an operation of its own. */
  addAlone(opcode: number, handle: number, page: number, deviceOffset: number, slot: number, place: number): void {
    this.#push(opcode, handle, page * BLOCK_BYTES, deviceOffset, BLOCK_BYTES, slot, place);
  }

  /** An operation without memory: RING_SYNC. */
  addControl(opcode: number, handle: number, place: number): void {
    this.#push(opcode, handle, 0, 0, 0, -1, place);
  }

  run(io: BlockingIo): void {
    if (this.count > 0) io.run(this.ops, this.count, this.results);
  }

  length(operation: number): number {
    return this.ops[operation * RING_OP_WORDS + 4] as number;
  }

  memory(operation: number): number {
    return this.ops[operation * RING_OP_WORDS + 2] as number;
  }

  /** True when operation ran to its full length. */
  succeeded(operation: number): boolean {
    return this.results[operation] === this.length(operation);
  }

  #push(opcode: number, handle: number, memory: number, deviceOffset: number, length: number, slot: number, place: number): void {
    if (this.count === this.results.length) this.#grow();
    const at = this.count * RING_OP_WORDS;
    this.ops[at] = opcode;
    this.ops[at + 1] = handle;
    this.ops[at + 2] = memory;
    this.ops[at + 3] = deviceOffset;
    this.ops[at + 4] = length;
    this.ops[at + 5] = this.count;
    this.slots[this.count] = slot;
    this.places[this.count] = place;
    this.count += 1;
  }

  #grow(): void {
    const ops = new Float64Array(this.ops.length * 2);
    ops.set(this.ops);
    this.ops = ops;
    const slots = new Int32Array(this.slots.length * 2);
    slots.set(this.slots);
    this.slots = slots;
    const places = new Int32Array(this.places.length * 2);
    places.set(this.places);
    this.places = places;
    this.results = new Int32Array(this.results.length * 2);
  }
}
