import { median } from './machine.js';

/** One line of `bench volume --json`. Fields that a workload does not have are 0. */
export interface VolumeResult {
  readonly workload: string;
  readonly iops: number;
  readonly gbPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Busy CPU seconds of the whole machine, load generator included. */
  readonly cpuSeconds: number;
  /** null = Keelson. */
  readonly peer: string | null;
  /** Duration of what is one piece of work: a rebuild, a recovery, a drain. */
  readonly seconds?: number;
  /** Bytes of memory, or of data that the work was about. */
  readonly bytes?: number;
}

const FIELDS = ['iops', 'gbPerSecond', 'p50Us', 'p99Us', 'cpuSeconds', 'seconds', 'bytes'] as const;

/** The median of every field over the rounds, workload by workload and peer by peer, in order of first appearance. */
export function medians(rounds: readonly VolumeResult[]): VolumeResult[] {
  const groups = new Map<string, VolumeResult[]>();
  for (const result of rounds) {
    const key = `${result.workload}\0${result.peer ?? ''}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [VolumeResult];
    const summary: Record<string, unknown> = { workload: first.workload };
    for (const field of FIELDS)
      if (first[field] !== undefined) summary[field] = Number(median(group.map((result) => result[field] ?? 0)).toPrecision(5));
    summary.peer = first.peer;
    return summary as unknown as VolumeResult;
  });
}

export function table(results: readonly VolumeResult[]): string {
  const rows = results.map((r) => [
    r.workload,
    r.peer ?? 'keelson',
    r.iops > 0 ? Math.round(r.iops).toString() : '',
    r.gbPerSecond > 0 ? r.gbPerSecond.toFixed(3) : '',
    r.p50Us > 0 ? Math.round(r.p50Us).toString() : '',
    r.p99Us > 0 ? Math.round(r.p99Us).toString() : '',
    r.cpuSeconds > 0 ? r.cpuSeconds.toFixed(2) : '',
    r.seconds === undefined ? '' : r.seconds.toFixed(3),
    r.bytes === undefined ? '' : `${Math.round(r.bytes / 1048576)} MiB`,
  ]);
  const head = ['workload', 'what', 'ops/s', 'GB/s', 'p50 us', 'p99 us', 'CPU s', 'seconds', 'bytes'];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), ...rows.map(line)].join('\n');
}
