import { attempt } from './command.js';

export interface FioResult {
  readonly iops: number;
  readonly gbPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly bytes: number;
  /** Of reads alone: a job that only verifies counts its writes too, as if they were made. */
  readonly bytesRead: number;
  readonly runtime_ms: number;
  readonly errors: number;
}

interface FioSide {
  readonly io_bytes: number;
  readonly bw_bytes: number;
  readonly iops: number;
  readonly runtime: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}

interface FioOutput {
  readonly jobs: readonly { readonly error: number; readonly total_err?: number; readonly read: FioSide; readonly write: FioSide }[];
}

/** Runs one fio job given as key=value options (its verify state is left in the working folder only when they say so) and returns its figures. Throws, with what fio said, when it reports an error. */
export async function fio(
  options: Readonly<Record<string, string | number>>,
  timeout_ms = 300_000,
  signal?: AbortSignal,
  cwd?: string,
): Promise<FioResult> {
  const args = [
    '--output-format=json',
    '--name=job',
    ...Object.entries({ verify_state_save: 0, ...options }).map(([key, value]) => `--${key}=${value}`),
  ];
  const result = await attempt('fio', args, { timeout_ms, ...(signal && { signal }), ...(cwd !== undefined && { cwd }) });
  // Warnings come before the JSON on the same stream.
  const start = result.stdout.indexOf('{');
  if (result.status !== 0 || start < 0)
    throw new Error(`fio ${args.join(' ')} ended with ${result.status}\n${result.stderr.slice(-3000)}\n${result.stdout.slice(-3000)}`);
  const job = (JSON.parse(result.stdout.slice(start)) as FioOutput).jobs[0];
  if (job === undefined) throw new Error('fio reported no job');
  if (job.error !== 0) throw new Error(`fio reports error ${job.error}\n${result.stderr.slice(-3000)}`);
  const side = job.write.io_bytes >= job.read.io_bytes ? job.write : job.read;
  const percentile = (name: string): number => (side.clat_ns.percentile?.[name] ?? 0) / 1000;
  return {
    iops: side.iops,
    gbPerSecond: side.bw_bytes / 1e9,
    p50Us: percentile('50.000000'),
    p99Us: percentile('99.000000'),
    bytes: side.io_bytes,
    bytesRead: job.read.io_bytes,
    runtime_ms: side.runtime,
    errors: job.total_err ?? 0,
  };
}
