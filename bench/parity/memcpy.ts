import { COLD_BYTES, type MemorySet, SAMPLE_BYTES } from './figure.js';
import { medianRate } from './timing.js';

const PAGE_BYTES = 65_536;

/**
 * (func (export "c") (param $to $from $step $span $times i32) ... memory.copy ...): copies $step bytes $times times, going on by $step within $span.
 * memory.copy is the C library's memmove, here without a call from JavaScript for each copy; copyWithin on shared memory would be a loop over words.
 */
function copyModule(pages: number): Uint8Array<ArrayBuffer> {
  const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
  const section = (id: number, ...bytes: number[]): number[] => [id, ...leb(bytes.length), ...bytes];
  const [to, from, step, span, times, at] = [0, 1, 2, 3, 4, 5].map((local) => [0x20, local]) as [
    number[],
    number[],
    number[],
    number[],
    number[],
    number[],
  ];
  const [ADD, SUB, GE_U] = [0x6a, 0x6b, 0x4f];
  const body = [
    ...[1, 1, 0x7f], // one local: at
    ...[0x03, 0x40], // loop
    ...[...to, ...at, ADD, ...from, ...at, ADD, ...step, 0xfc, 10, 0, 0], // memory.copy(to + at, from + at, step)
    ...[...at, ...step, ADD, 0x22, 5, ...span, GE_U, 0x04, 0x40, 0x41, 0, 0x21, 5, 0x0b], // at += step; if (at >= span) at = 0
    ...[...times, 0x41, 1, SUB, 0x22, 4, 0x0d, 0], // if (--times) continue
    ...[0x0b, 0x0b],
  ];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 5, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0),
    ...section(3, 1, 0),
    ...section(5, 1, 0, ...leb(pages)),
    ...section(7, 2, 1, 0x6d, 2, 0, 1, 0x63, 0, 0),
    ...section(10, 1, ...leb(body.length), ...body),
  ]);
}

/** What is used of it: the types of Node 20 leave it to those of browsers. */
interface WebAssemblyOfNode {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: { readonly m: { readonly buffer: ArrayBuffer }; readonly c: Copy } };
}

type Copy = (to: number, from: number, step: number, span: number, times: number) => void;

/** memcpy of this machine and moment, in GB/s of bytes copied. */
export class Memcpy {
  readonly #copy: Copy;

  constructor() {
    const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyOfNode };
    const instance = new WebAssembly.Instance(new WebAssembly.Module(copyModule(COLD_BYTES / PAGE_BYTES)));
    const { m, c } = instance.exports;
    // Pages that were never written would all be the one page of zeroes.
    new Uint8Array(m.buffer).fill(0x5a);
    this.#copy = c;
  }

  /** hot: `step` bytes to the same place again and again; cold: one half of 256 MiB to the other. */
  async rate(step: number, set: MemorySet, sampling_ms: number): Promise<number> {
    const half = COLD_BYTES / 2;
    const span = set === 'cold' ? half : step;
    const times = Math.max(1, (set === 'cold' ? half : SAMPLE_BYTES) / step);
    return medianRate(times * step, sampling_ms, () => this.#copy(half, 0, step, span, times));
  }
}
