import { BLOCK_BYTES } from '../base/units.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { computeLayout } from '../member/layout.js';
import type { MemberLayout } from '../member/member-api.js';
import type { ScenarioShape } from './scenario.js';
import type { SimulatedDisk } from './simulated-disk.js';

export const ZONES = ['superblock', 'checkpoint', 'integrity', 'journal', 'data'] as const;
export type Zone = (typeof ZONES)[number];

/**
 * What the promises cover, so that never more is done to the array than must be survived, and often exactly that much. A member is in harm's way from the moment something is
 * done to it until nothing of it is left: it is whole on its device and online in the engine.
 *
 *   stripe members    at most m in harm's way at a time, while everything that a crash tore is whole again
 *   journal copies    at most R - 1 members of the ring, at any time
 *   a crash           may come while stripe members are away, if the members' tables say so; not while they hold damage that nobody has found, since a row that is torn
 *                     and damaged at a time is two losses of one row: without a backup only parity beyond that covers it
 */
export class FaultAtlas {
  readonly #shape: ScenarioShape;
  readonly #disks: readonly SimulatedDisk[];
  readonly #layouts: readonly MemberLayout[];
  /** The engine while it runs. */
  engine: ArrayEngine | null = null;
  /** Members that the engine has recorded as failed: every other member's table says so. */
  readonly recorded = new Set<number>();

  constructor(shape: ScenarioShape, disks: readonly SimulatedDisk[]) {
    this.#shape = shape;
    this.#disks = disks;
    const ringBytes = shape.segmentBytes * shape.segments;
    this.#layouts = disks.map((disk, index) => {
      const role = index >= shape.dataMembers ? 'journal' : shape.journalMembers === 0 ? 'both' : 'data';
      return computeLayout({
        role,
        chunkBytes: shape.chunkBytes,
        stripes: shape.stripes,
        journalBytes: role === 'data' ? 0 : ringBytes,
        memberBytes: disk.sizeBytes,
      });
    });
  }

  /** Pages [from, to) of a zone of a member. */
  zone(index: number, zone: Zone): readonly [number, number] {
    const layout = this.#layouts[index] as MemberLayout;
    const pages = (from: number, to: number): readonly [number, number] => [from / BLOCK_BYTES, to / BLOCK_BYTES];
    switch (zone) {
      case 'superblock':
        return pages(0, 2 * BLOCK_BYTES);
      case 'checkpoint':
        return pages(layout.checkpointOffset[0], layout.integrityOffset);
      case 'integrity':
        return pages(layout.integrityOffset, layout.journalOffset);
      case 'journal':
        return pages(layout.journalOffset, layout.dataOffset);
      case 'data':
        return pages(layout.dataOffset, layout.dataOffset + layout.dataBytes);
    }
  }

  holdsData(index: number): boolean {
    return index < this.#shape.dataMembers;
  }

  holdsRing(index: number): boolean {
    return this.#shape.journalMembers === 0 || index >= this.#shape.dataMembers;
  }

  #damagedIn(index: number, zones: readonly Zone[]): boolean {
    const { damaged, unreadable } = this.#disks[index] as SimulatedDisk;
    if (damaged.size === 0 && unreadable.size === 0) return false;
    for (const zone of zones) {
      const [from, to] = this.zone(index, zone);
      for (const page of damaged) if (page >= from && page < to) return true;
      for (const page of unreadable) if (page >= from && page < to) return true;
    }
    return false;
  }

  #pending(index: number): boolean {
    const { failReads, failWrites, failSyncs, loseWrites, misdirectWrites } = (this.#disks[index] as SimulatedDisk).faults;
    return failReads + failWrites + failSyncs + loseWrites + misdirectWrites > 0;
  }

  /** Something is wrong with the member, or may be. */
  inHarm(index: number): boolean {
    const disk = this.#disks[index] as SimulatedDisk;
    return !disk.connected || disk.damaged.size > 0 || disk.unreadable.size > 0 || this.#pending(index) || !this.#online(index);
  }

  #online(index: number): boolean {
    return this.engine === null ? !this.recorded.has(index) : this.engine.state.members[index]?.state === 'online';
  }

  /** The array must survive that something is done to this member now. */
  mayHarm(index: number): boolean {
    const harmed = this.#disks.map((_, i) => i).filter((i) => i === index || this.inHarm(i));
    const { parity, copies } = this.#shape;
    if (this.holdsRing(index) && harmed.filter((i) => this.holdsRing(i)).length > copies - 1) return false;
    if (!this.holdsData(index)) return true;
    if (this.engine === null || this.engine.state.untrustedStripes > 0) return false;
    return harmed.filter((i) => this.holdsData(i)).length <= parity;
  }

  /** The array must survive that everything stops now. */
  mayCrash(): boolean {
    return this.#disks.every((disk, index) => {
      if (!this.holdsData(index)) return true;
      const state = this.engine?.state.members[index]?.state;
      if (this.engine !== null && state !== 'online' && state !== 'rebuilding') return this.recorded.has(index) || state === undefined;
      if (this.engine === null && this.recorded.has(index)) return true;
      return disk.connected && !this.#pending(index) && !this.#damagedIn(index, ['integrity', 'data']);
    });
  }

  /** Data and checksums on stripe members that a scrub would mend. */
  wantsScrub(): boolean {
    return this.#disks.some((_, index) => this.holdsData(index) && this.#online(index) && this.#damagedIn(index, ['data']));
  }
}
