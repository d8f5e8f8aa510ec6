import { KeelsonError } from '../../src/base/errors.js';
import { type Figure, counter } from '../../src/base/figure.js';
import type { ControlTarget, FailOptions, OnProgress, ReplaceOptions } from '../../src/control/control-target.js';
import type { ArrayStatus, RebuildPlan, RebuildStatus } from '../../src/control/status.js';

export const STATUS: ArrayStatus = {
  name: 'vault',
  uuid: '0f0e0d0c-0b0a-4908-8706-050403020100',
  state: 'online',
  protection: 'full',
  tolerance: { devices: 4, because: 'parity covers 2, and 2 journal copies outside the stripes' },
  volume: { bytes: 2 ** 30, blockBytes: 4096 },
  members: [
    { index: 0, path: '/dev/sdb', role: 'data', state: 'online', readErrors: 0, writeErrors: 0, checksumErrors: 0 },
    { index: 1, path: '/dev/<sdc>', role: 'data', state: 'failed', readErrors: 3, writeErrors: 1, checksumErrors: 2 },
    { index: 2, path: '/dev/nvme0', role: 'journal', state: 'online', readErrors: 0, writeErrors: 0, checksumErrors: 0 },
  ],
  journal: { copies: 2, bytes: 2 ** 28, usedBytes: 2 ** 26, fillRatio: 0.25, headLsn: 1200, destagedLsn: 1100 },
  drain: {
    drainedLsn: 1000,
    undrainedBytes: 3 * 2 ** 20,
    oldestUndrainedSeconds: 12.5,
    lastError: null,
    target: 'sftp://me@host/srv',
    state: 'idle',
  },
  rebuild: null,
  scrub: null,
  alarms: [],
};

export const PLAN: RebuildPlan = {
  ranges: [
    { offset: 0, length: 65536, from: 'parity' },
    { offset: 65536, length: 4096, from: 'journal' },
  ],
  bytes: { survivor: 0, parity: 65536, journal: 4096, backup: 0, lost: 0 },
  secondsEstimated: 61,
};

export const REBUILT: RebuildStatus = {
  doneBytes: 4096,
  totalBytes: 4096,
  fromSurvivors: 1024,
  fromParity: 3072,
  fromJournal: 0,
  fromBackup: 0,
  secondsLeft: 0,
  lostBlocks: 0,
  replaces: '/dev/sdb',
};

/** Remembers what it was asked, and answers with what its fields say. */
export class FakeTarget implements ControlTarget {
  readonly calls: string[] = [];
  current: ArrayStatus = STATUS;
  /** Long work waits for this after its first progress. */
  gate: Promise<void> = Promise.resolve();

  status(): ArrayStatus {
    return this.current;
  }

  figures(): Figure[] {
    return [counter('backpressure_seconds_total', 'Time writers waited for room in the ring.', 1.5)];
  }

  async flush(): Promise<void> {
    this.calls.push('flush');
  }

  async drain(wait: boolean, onProgress: OnProgress): Promise<{ drainedLsn: number }> {
    this.calls.push(`drain ${wait}`);
    onProgress({ task: 'drain', doneBytes: 1, totalBytes: 2 });
    await this.gate;
    onProgress({ task: 'drain', doneBytes: 2, totalBytes: 2 });
    return { drainedLsn: 1200 };
  }

  async fail(member: string, options: FailOptions): Promise<void> {
    this.calls.push(`fail ${member} ${options.force}`);
    if (!options.force) {
      throw new KeelsonError('WOULD_LOSE', 'failing it would lose data', {
        found: 'tolerance 0',
        expected: '1',
        action: 'insist with --force',
        exit: 3,
      });
    }
  }

  async replace(member: string, device: string, { force, giveUp }: ReplaceOptions, onProgress: OnProgress): Promise<RebuildStatus> {
    this.calls.push(`replace ${member} ${device} ${force}${giveUp === undefined ? '' : ` giving up ${giveUp}`}`);
    onProgress({ task: 'rebuild', doneBytes: 0, totalBytes: 4096 });
    await this.gate;
    if (device === '/bad') throw new KeelsonError('DEVICE_MISSING', 'no such device', { found: device });
    return device === '/lossy' ? { ...REBUILT, replaces: null, lostBlocks: 34 } : REBUILT;
  }

  async rebuildPlan(): Promise<RebuildPlan> {
    return PLAN;
  }

  async rebuild(): Promise<RebuildStatus | null> {
    this.calls.push('rebuild');
    return null;
  }
}
