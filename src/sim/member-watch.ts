import type { ArrayEngine } from '../engine/array-engine.js';
import type { Member } from '../member/member-api.js';
import { Administrator } from './administrator.js';
import { FAILURE_US, type FaultAtlas } from './fault-atlas.js';
import { EVENT, type Scheduler } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

/** What the watch tells the run. */
export interface MemberNews {
  readonly fail: (finding: Finding) => void;
  readonly count: (promise: string, times?: number) => void;
  readonly fired: (kind: string) => void;
  readonly broke: (error: unknown) => void;
  readonly repair_ms: () => number;
  /** The place is given a device. */
  readonly replacing: (index: number) => void;
}

/** Follows what the engine makes of each member, from one process to the next: who is stale, who may take part (P10), and who gets another device. */
export class MemberWatch {
  readonly #disks: readonly SimulatedDisk[];
  readonly #atlas: FaultAtlas;
  readonly #scheduler: Scheduler;
  readonly #news: MemberNews;
  /** Members that were called failed when a write was acknowledged: what is on them is stale. */
  readonly stale: ReadonlySet<number>;
  readonly #stale = new Set<number>();
  /** Members whose writes or fdatasync failed, until they are failed themselves. */
  readonly #owed = new Map<Member, number>();
  #admin: Administrator | null = null;
  #goingHome = false;
  /** A crash may find the device a member already. */
  readonly #replacing = new Set<number>();

  constructor(disks: readonly SimulatedDisk[], atlas: FaultAtlas, scheduler: Scheduler, news: MemberNews) {
    this.stale = this.#stale;
    this.#disks = disks;
    this.#atlas = atlas;
    this.#scheduler = scheduler;
    this.#news = news;
  }

  /** All members were made anew. */
  renewed(): void {
    this.#stale.clear();
  }

  /** P10: a member that missed acknowledged writes does not take part; one to which nothing was done does. */
  judge(engine: ArrayEngine): void {
    this.#atlas.judged();
    this.#replacing.clear();
    this.#owed.clear();
    for (const [index, disk] of this.#disks.entries()) {
      const state = engine.state.members[index]?.state ?? 'missing';
      this.#news.count('P10');
      if (state === 'online' && this.#stale.has(index))
        this.#news.fail({ promise: 'P10', message: `member ${index} was away while writes went on, and takes part` });
      if (state !== 'online' && !disk.touched)
        this.#news.fail({ promise: 'P10', message: `member ${index}, to which nothing was done, is ${state}` });
      if (state === 'missing' || state === 'failed') this.#atlas.recorded.add(index);
    }
  }

  /** Looks at who failed, and has lost members replaced, for as long as the process lives. */
  lookAfter(engine: ArrayEngine, process: SimulatedProcess): void {
    const admin = new Administrator(engine, this.#disks, this.#atlas);
    this.#admin = admin;
    this.#goingHome = false;
    const again = (): void => {
      this.#scheduler.after(this.#news.repair_ms() * 1000, process, EVENT.driver, look);
    };
    const told = {
      replacing: (index: number): void => {
        this.#replacing.add(index);
        this.#news.replacing(index);
        this.#stale.delete(index);
      },
      replaced: (index: number): void => this.#replaced(index),
      refused: (index: number): void => void this.#replacing.delete(index),
    };
    const look = (): void => {
      // Another process may have taken the array from one that stood still.
      if (this.#admin !== admin) return;
      this.#noteFailures(engine);
      if (this.#goingHome) return;
      void admin.look(told).catch((error: unknown) => process.alive && this.#news.broke(error));
      again();
    };
    again();
  }

  /** A request to a member failed. P2: after a write or an fdatasync that failed the member is not relied on any more. */
  requestFailed(index: number, kind: string): void {
    this.#atlas.requestFailed(index, kind);
    const member = this.#atlas.engine?.state.members[index];
    if (member && kind !== 'read-error' && !this.#owed.has(member)) this.#owed.set(member, this.#scheduler.now_us);
  }

  /** patience_us: how long ago the request may have failed at most. */
  checkOwed(patience_us: number): void {
    for (const [member, since] of this.#owed) {
      if (member.state !== 'online' && member.state !== 'rebuilding') this.#owed.delete(member);
      else if (this.#scheduler.now_us - since > patience_us)
        this.#news.fail({ promise: 'P2', message: `member ${member.index} failed a write or an fdatasync and is still relied on` });
    }
  }

  /** Nothing new is begun. True when nothing is under way either. */
  goHome(): boolean {
    this.#goingHome = true;
    return this.#admin?.busy !== true;
  }

  #noteFailures(engine: ArrayEngine): void {
    this.checkOwed(FAILURE_US);
    for (const member of engine.state.members)
      if (member?.state === 'failed' && !this.#atlas.recorded.has(member.index))
        void engine.failureRecorded(member).then(() => this.#atlas.recorded.add(member.index));
  }

  #replaced(index: number): void {
    this.#replacing.delete(index);
    this.#atlas.replaced(index);
    const disk = this.#disks[index] as SimulatedDisk;
    disk.damaged.clear();
    disk.touched = true;
    this.#news.fired('replaced');
  }

  /** A write was acknowledged: whoever is failed now has missed it. */
  acknowledged(engine: ArrayEngine): void {
    for (const member of engine.state.members)
      if (member?.state === 'failed' && !this.#replacing.has(member.index)) this.#stale.add(member.index);
  }
}
