import { MIB } from '../../../src/base/units.js';
import { type ArrayOptions, ArrayRig } from './array.js';
import { loopDevices } from './loop-device.js';
import type { Scratch } from './scratch.js';
import { YankableDisk } from './yankable-disk.js';

/** 2+2 and two journal members; two stripe members and a journal member hang by a thread. */
export class YankableArray {
  readonly array: ArrayRig;
  readonly #yankable: ReadonlyMap<number, YankableDisk>;
  readonly #paths: string[];

  private constructor(array: ArrayRig, yankable: ReadonlyMap<number, YankableDisk>, paths: string[]) {
    this.array = array;
    this.#yankable = yankable;
    this.#paths = paths;
  }

  static async create(scratch: Scratch, memberBytes: number): Promise<YankableArray> {
    const journalBytes = 32 * MIB;
    const yankable = new Map<number, YankableDisk>();
    for (const [index, bytes] of [
      [0, memberBytes],
      [2, memberBytes],
      [4, journalBytes],
    ] as const)
      yankable.set(index, await YankableDisk.create(scratch, `yankable-${index}`, bytes, index === 2 ? 2 : 0));
    const plain = await loopDevices(scratch, 2, memberBytes);
    const [journal] = await loopDevices(scratch, 1, journalBytes);
    const at = (index: number): string => (yankable.get(index) as YankableDisk).device;
    const paths = [at(0), plain[0]?.device ?? '', at(2), plain[1]?.device ?? '', at(4), journal?.device ?? ''];
    const array = new ArrayRig(scratch, {
      ...YankableArray.#members(paths),
      journalSize: '16MiB',
      segment: '1MiB',
      slab: '112MiB',
    });
    await array.create();
    return new YankableArray(array, yankable, paths);
  }

  static #members(paths: readonly string[]): Pick<ArrayOptions, 'stripeMembers' | 'journalMembers'> {
    return { stripeMembers: paths.slice(0, 4), journalMembers: paths.slice(4) };
  }

  get yankable(): number[] {
    return [...this.#yankable.keys()];
  }

  disk(index: number): YankableDisk {
    return this.#yankable.get(index) as YankableDisk;
  }

  /** Resolves when the array knows that the member is gone. */
  async noticed(index: number): Promise<void> {
    await this.array.until(`member ${index} is failed`, ({ members }) => ['failed', 'missing'].includes(members[index]?.state ?? ''));
  }

  /** The member comes back as another device, with what it held when it left, and is taken in again. */
  async takeBack(index: number): Promise<void> {
    const disk = this.disk(index);
    disk.stopErrors();
    await disk.yank();
    await disk.remove();
    await disk.plug();
    await this.array.must(['replace', String(index), disk.device]);
    this.#paths[index] = disk.device;
    this.array.configure({ ...this.array.options, ...YankableArray.#members(this.#paths) });
    await this.array.until(`member ${index} is whole again`, ({ state }) => state === 'online');
  }
}
