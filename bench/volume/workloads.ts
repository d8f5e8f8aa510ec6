import { fio } from '../../test/system/rig/fio.js';
import { busyCpuSeconds } from './machine.js';
import type { VolumeResult } from './result.js';

/** How fio reaches what is measured: an NBD export, or a file of a mounted file system. */
export type Target = { readonly uri: string } | { readonly file: string };

export interface Plan {
  /** Bytes of the target that are used. The first workload writes all of them. */
  readonly bytes: number;
  readonly seconds: number;
}

interface Workload {
  readonly name: string;
  readonly options: Readonly<Record<string, string | number>>;
  /** Ends when all bytes were moved once instead of after a time. */
  readonly once: boolean;
}

/** Sequential writing comes first, so that the others find written data. */
const WORKLOADS: readonly Workload[] = [
  { name: 'seqwrite-1m', options: { rw: 'write', bs: '1m', iodepth: 8 }, once: true },
  { name: 'seqread-1m', options: { rw: 'read', bs: '1m', iodepth: 8 }, once: false },
  { name: 'randread-4k-qd32', options: { rw: 'randread', bs: '4k', iodepth: 32 }, once: false },
  { name: 'randwrite-4k-qd32', options: { rw: 'randwrite', bs: '4k', iodepth: 32 }, once: false },
];

export async function runWorkloads(target: Target, peer: string | null, plan: Plan): Promise<VolumeResult[]> {
  const results: VolumeResult[] = [];
  for (const { name, options, once } of WORKLOADS)
    results.push(await measure(target, peer, name, plan, { ...options, ...(once ? {} : { time_based: 1, runtime: plan.seconds }) }));
  return results;
}

async function measure(
  target: Target,
  peer: string | null,
  workload: string,
  plan: Plan,
  options: Readonly<Record<string, string | number>>,
): Promise<VolumeResult> {
  const engine = 'uri' in target ? { ioengine: 'nbd', uri: target.uri } : { ioengine: 'io_uring', filename: target.file, direct: 1 };
  const before = busyCpuSeconds();
  const figures = await fio({ ...engine, ...options, size: plan.bytes, norandommap: 1, randrepeat: 0, refill_buffers: 0 });
  return {
    workload,
    iops: figures.iops,
    gbPerSecond: figures.gbPerSecond,
    p50Us: figures.p50Us,
    p99Us: figures.p99Us,
    cpuSeconds: busyCpuSeconds() - before,
    peer,
  };
}
