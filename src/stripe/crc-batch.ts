import type { StripeKernels } from './workspace.js';

/** Checksums of many blocks in one native call: slots, memory offsets and addresses are gathered, and arrays grow and are reused. */
export class CrcBatch {
  readonly #memory: Uint8Array;
  readonly #kernels: Pick<StripeKernels, 'crcBlocks'>;
  /** Valid until the next add. */
  slots = new Int32Array(1024);
  #count = 0;
  #offsets = new Float64Array(1024);
  #addresses = new Float64Array(1024);
  #out = new Uint32Array(1024);

  constructor(memory: Uint8Array, kernels: Pick<StripeKernels, 'crcBlocks'>) {
    this.#memory = memory;
    this.#kernels = kernels;
  }

  add(slot: number, offset: number, address: number): void {
    const at = this.#count++;
    if (at === this.slots.length) this.#grow();
    this.slots[at] = slot;
    this.#offsets[at] = offset;
    this.#addresses[at] = address;
  }

  /** Puts the checksum of each gathered block at into[slot]; returns how many there were: slots[0 .. count - 1]. */
  run(into: Uint32Array): number {
    const count = this.#count;
    this.#count = 0;
    if (count === 0) return 0;
    this.#kernels.crcBlocks(this.#memory, this.#offsets, this.#addresses, count, this.#out, 0);
    for (let c = 0; c < count; c++) into[this.slots[c] as number] = this.#out[c] as number;
    return count;
  }

  clear(): void {
    this.#count = 0;
  }

  #grow(): void {
    const length = this.slots.length * 2;
    const slots = new Int32Array(length);
    slots.set(this.slots);
    const offsets = new Float64Array(length);
    offsets.set(this.#offsets);
    const addresses = new Float64Array(length);
    addresses.set(this.#addresses);
    this.slots = slots;
    this.#offsets = offsets;
    this.#addresses = addresses;
    this.#out = new Uint32Array(length);
  }
}
