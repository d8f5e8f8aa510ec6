/** A running hash of everything that happened: two runs with the same hash went the same way. FNV-1a over 32-bit words, two lanes. */
export class TraceHash {
  #a = 0x811c9dc5;
  #b = 0x9747b28c;

  add(...words: readonly number[]): void {
    for (const word of words) {
      // Times outgrow 32 bits.
      const low = word >>> 0;
      const high = Math.floor(word / 0x1_0000_0000) >>> 0;
      this.#a = Math.imul(this.#a ^ low, 0x01000193);
      this.#a = Math.imul(this.#a ^ (this.#a >>> 15) ^ high, 0x01000193);
      this.#b = Math.imul(this.#b ^ low, 0x85ebca6b);
      this.#b = Math.imul(this.#b ^ (this.#b >>> 13) ^ high, 0xc2b2ae35);
    }
  }

  toString(): string {
    return (this.#a >>> 0).toString(16).padStart(8, '0') + (this.#b >>> 0).toString(16).padStart(8, '0');
  }
}
