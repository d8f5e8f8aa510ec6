import { Gauge, Counter as PromCounter, Registry } from 'prom-client';
import { assert } from '../base/assert.js';
import { type Figure, counter, gauge, gauges } from '../base/figure.js';
import type { ArrayStatus } from './status.js';

const ARRAY_STATES = ['online', 'degraded', 'beyond-parity', 'failed'] as const;
const MEMBER_STATES = ['online', 'failed', 'missing', 'rebuilding', 'spare'] as const;
const PROTECTIONS = ['full', 'seeding', 'unprotected'] as const;
const DRAIN_STATES = ['idle', 'draining', 'connecting', 'unreachable', 'none'] as const;

/**
 * The array's figures in the Prometheus text format, version 0.0.4: every figure of status, and `more`. Base units; a state is
 * one series per value, 1 at the present one. A series is there from the start, so that an alarm on it never finds nothing.
 */
export async function metricsText(status: ArrayStatus, more: readonly Figure[]): Promise<string> {
  const registry = new Registry();
  const series = new Map<string, Gauge | PromCounter>();
  for (const figure of [...statusFigures(status), ...more]) {
    const { name, help, type, value, labels = {} } = figure;
    assert((type === 'counter') === name.endsWith('_total'), `${name}: counters, and they alone, end in _total`);
    let one = series.get(name);
    if (one === undefined) {
      const options = { name: `keelson_${name}`, help, labelNames: Object.keys(labels), registers: [registry] };
      one = type === 'counter' ? new PromCounter(options) : new Gauge(options);
      series.set(name, one);
    }
    if (one instanceof Gauge) one.set(labels, value);
    else one.inc(labels, value);
  }
  // prom-client 15 writes Nan, which is not in the format.
  return (await registry.metrics()).replaceAll(/ Nan$/gm, ' NaN');
}

function statusFigures(status: ArrayStatus): Figure[] {
  const { journal } = status;
  return [
    { ...gauge('array_info', 'Name and UUID of the array; always 1.', 1), labels: { name: status.name, uuid: status.uuid } },
    ...states('array_state', 'State of the array.', ARRAY_STATES, status.state),
    ...states('protection', 'Whether the backup covers the volume.', PROTECTIONS, status.protection),
    gauge('device_failures_tolerated', 'Devices that may still be lost without losing an acknowledged write.', status.tolerance.devices),
    gauge('volume_bytes', 'Size of the volume.', status.volume.bytes),
    gauge('block_bytes', 'Size of a block, the unit of addressing and checksums.', status.volume.blockBytes),
    gauge('journal_copies', 'Copies of each journaled write.', journal.copies),
    gauge('journal_bytes', 'Ring bytes of one copy.', journal.bytes),
    gauge('journal_used_bytes', 'Ring bytes in use.', journal.usedBytes),
    gauge('journal_fill_ratio', 'Used part of the ring, 0 to 1.', journal.fillRatio),
    gauge('journal_head_lsn', 'LSN of the newest journaled write.', journal.headLsn),
    gauge('destaged_lsn', 'Every write up to this LSN is in the stripes.', journal.destagedLsn),
    ...drainFigures(status),
    ...rebuildFigures(status),
    gauge('lost_bytes', 'Blocks that are lost for good: errors until they are written again.', status.lost?.bytes ?? 0),
    ...status.members.flatMap(memberFigures),
    gauge('alarms', 'Troubles that status lists.', status.alarms.length),
    ...alarmFigures(status),
  ];
}

function states(name: string, help: string, all: readonly string[], present: string): Figure[] {
  return gauges(name, help, 'state', Object.fromEntries(all.map((state) => [state, state === present ? 1 : 0])));
}

function drainFigures({ drain }: ArrayStatus): Figure[] {
  return [
    ...states('drain_state', 'State of the drain.', DRAIN_STATES, drain.state),
    gauge('drained_lsn', 'Every write up to this LSN is on the backup.', drain.drainedLsn),
    gauge('undrained_bytes', 'What losing everything but the backup would lose now.', drain.undrainedBytes),
    gauge('oldest_undrained_seconds', 'Age of the oldest write that is not on the backup.', drain.oldestUndrainedSeconds),
  ];
}

/** Zeroes while nothing is rebuilt: the last rebuild's figures would look like a rebuild that stands still. */
function rebuildFigures({ rebuild }: ArrayStatus): Figure[] {
  return [
    gauge('rebuild_running', '1 while a rebuild runs.', rebuild === null ? 0 : 1),
    gauge('rebuild_done_bytes', 'Rebuilt so far by the running rebuild.', rebuild?.doneBytes ?? 0),
    gauge('rebuild_bytes', 'To be rebuilt in all by the running rebuild.', rebuild?.totalBytes ?? 0),
    gauge('rebuild_left_seconds', 'Estimate for the running rebuild; NaN while there is none.', rebuild?.secondsLeft ?? Number.NaN),
    ...gauges('rebuild_source_bytes', 'Where the running rebuild had its bytes from.', 'source', {
      survivors: rebuild?.fromSurvivors ?? 0,
      parity: rebuild?.fromParity ?? 0,
      journal: rebuild?.fromJournal ?? 0,
      backup: rebuild?.fromBackup ?? 0,
    }),
  ];
}

function memberFigures(member: ArrayStatus['members'][number]): Figure[] {
  const own = { member: String(member.index), path: member.path, role: member.role };
  const labelled = (figure: Figure): Figure => ({ ...figure, labels: { ...own, ...figure.labels } });
  const errors = { read: member.readErrors, write: member.writeErrors, checksum: member.checksumErrors };
  return [
    ...states('member_state', 'State of a member.', MEMBER_STATES, member.state),
    ...Object.entries(errors).map(([kind, value]) => ({
      ...counter('member_errors_total', 'Errors met on a member.', value),
      labels: { kind },
    })),
    gauge('member_unrepaired_errors', 'Read and checksum errors of a member that were not repaired.', member.unrepairedErrors ?? 0),
  ].map(labelled);
}

/** Once for each code, however often status lists it. */
function alarmFigures({ alarms }: ArrayStatus): Figure[] {
  return gauges('alarm', 'Troubles that status lists, by code; none when there are none.', 'code', countBy(alarms.map(({ code }) => code)));
}

function countBy(codes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}
