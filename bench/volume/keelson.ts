import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MIB } from '../../src/base/units.js';
import { ArrayRig } from '../../test/system/rig/array.js';
import { fio } from '../../test/system/rig/fio.js';
import type { KeelsonProcess } from '../../test/system/rig/keelson-process.js';
import type { LoopDevice } from '../../test/system/rig/loop-device.js';
import type { OpensshServer } from '../../test/system/rig/openssh-server.js';
import type { Scratch } from '../../test/system/rig/scratch.js';
import { busyCpuSeconds, peakResidentBytes } from './machine.js';
import { blank } from './peers.js';
import type { VolumeResult } from './result.js';
import { type Plan, runWorkloads } from './workloads.js';

export interface Bench {
  readonly scratch: Scratch;
  readonly stripe: readonly LoopDevice[];
  readonly spare: LoopDevice;
  readonly journal: readonly LoopDevice[];
  readonly ringBytes: number;
  readonly slabBytes: number;
}

const SEGMENT_BYTES = 8 * MIB;
/** A ring this full counts as full: above 0.95 the drain begins by itself. */
const FULL_RING = 0.93;
const FILL_STALL_MS = 3000;
const NEVER = { maxAge: '10h', maxBytes: '1024GiB', maxFill: 0.95, onDegraded: false } as const;

function arrayOf(bench: Bench, file: string, backup?: Record<string, string>): ArrayRig {
  for (const disk of [...bench.stripe, bench.spare, ...bench.journal]) blank(disk);
  return new ArrayRig(
    bench.scratch,
    {
      stripeMembers: bench.stripe.map((disk) => disk.device),
      journalMembers: bench.journal.map((disk) => disk.device),
      journalSize: `${bench.ringBytes / MIB}MiB`,
      segment: `${SEGMENT_BYTES / MIB}MiB`,
      slab: `${bench.slabBytes / MIB}MiB`,
      ...(backup === undefined ? {} : { backup, drain: NEVER }),
    },
    file,
  );
}

/** One figure that is not operations a second: work of `seconds` over `bytes`. */
function work(workload: string, seconds: number, bytes: number, cpuSeconds: number): VolumeResult {
  return {
    workload,
    iops: 0,
    gbPerSecond: seconds > 0 ? bytes / seconds / 1e9 : 0,
    p50Us: 0,
    p99Us: 0,
    cpuSeconds,
    peer: null,
    seconds,
    bytes,
  };
}

function memory(workload: string, server: KeelsonProcess): VolumeResult {
  return { workload, iops: 0, gbPerSecond: 0, p50Us: 0, p99Us: 0, cpuSeconds: 0, peer: null, bytes: peakResidentBytes(server.pid) };
}

/** The four fio workloads, then one member is failed and rebuilt onto the spare. No backup: nothing competes with what is measured. */
export async function benchVolumeAndRebuild(bench: Bench, plan: Plan): Promise<VolumeResult[]> {
  const array = arrayOf(bench, 'volume');
  await array.create();
  const server = await array.serve();
  const results = await runWorkloads({ uri: array.uri }, null, plan);
  await array.until(
    'everything destaged',
    (status) => status.journal.destagedLsn >= status.journal.headLsn || status.journal.usedBytes === 0,
    120_000,
  );

  const victim = bench.stripe[2] as LoopDevice;
  await array.must(['fail', victim.device]);
  const cpu = busyCpuSeconds();
  const start = performance.now();
  await array.client.replace('2', bench.spare.device, { force: false }, () => undefined);
  const seconds = (performance.now() - start) / 1000;
  // Of what was written, each of the data members holds an equal share, parity included.
  results.push(work('rebuild-member', seconds, plan.bytes / (bench.stripe.length - 2), busyCpuSeconds() - cpu));
  results.push(memory('resident-memory', server));
  await server.stop();
  return results;
}

/** The ring is filled with 4 KiB writes while nothing can be drained, the server is killed, and the time until it serves again is taken. Then everything drains. */
export async function benchRecoveryAndDrain(bench: Bench, sshd: OpensshServer): Promise<VolumeResult[]> {
  // On tmpfs, as the members are: the system disk's own rate is not what is measured.
  const repository = join(bench.scratch.memory, 'bench-repository');
  const array = arrayOf(bench, 'recovery', sshd.backup(repository));
  await array.create();
  const server = await array.serve();
  await fillRing(array, bench.ringBytes);
  const { usedBytes } = (await array.client.status()).journal;
  await server.kill();

  const cpu = busyCpuSeconds();
  const start = performance.now();
  const recovered = await array.serve(120_000);
  const results = [work('recovery-full-ring', (performance.now() - start) / 1000, usedBytes, busyCpuSeconds() - cpu)];

  const { undrainedBytes } = (await array.client.status()).drain;
  const drainCpu = busyCpuSeconds();
  const drainStart = performance.now();
  await array.client.drain(true, () => undefined);
  results.push(work('drain-openssh-4k', (performance.now() - drainStart) / 1000, undrainedBytes, busyCpuSeconds() - drainCpu));

  // The rate that matters for a backup window: data written in large pieces.
  const bytes = Math.floor((bench.ringBytes * 0.7) / MIB) * MIB;
  await fio({ ioengine: 'nbd', uri: array.uri, rw: 'write', bs: '1m', iodepth: 8, size: bytes, refill_buffers: 1 });
  const secondCpu = busyCpuSeconds();
  const secondStart = performance.now();
  await array.client.drain(true, () => undefined);
  results.push(work('drain-openssh-1m', (performance.now() - secondStart) / 1000, bytes, busyCpuSeconds() - secondCpu));
  results.push(memory('resident-memory-drain', recovered));
  await recovered.stop();
  rmSync(repository, { recursive: true, force: true });
  return results;
}

/** Writes random blocks until the ring is full or takes no more. */
async function fillRing(array: ArrayRig, ringBytes: number): Promise<void> {
  const stop = new AbortController();
  const volumeBytes = (await array.client.status()).volume.bytes;
  const writing = fio(
    {
      ioengine: 'nbd',
      uri: array.uri,
      rw: 'randwrite',
      bs: '4k',
      iodepth: 32,
      size: volumeBytes,
      io_size: ringBytes,
      norandommap: 1,
      randrepeat: 0,
    },
    120_000,
    stop.signal,
  ).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  let used = -1;
  let since = performance.now();
  let ended = false;
  const watch = async (): Promise<void> => {
    while (!ended) {
      const { journal } = await array.client.status();
      if (journal.usedBytes !== used) since = performance.now();
      used = journal.usedBytes;
      if (journal.fillRatio >= FULL_RING || performance.now() - since > FILL_STALL_MS) break;
      await delay(100);
    }
    stop.abort();
  };
  await Promise.all([writing.finally(() => (ended = true)), watch()]);
}
