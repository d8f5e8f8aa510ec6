import { Gauge, Counter as PromCounter, Registry } from 'prom-client';
import type { Counter } from './control-target.js';
import type { ArrayStatus } from './status.js';

const ARRAY_STATES = ['online', 'degraded', 'beyond-parity', 'failed'] as const;
const MEMBER_STATES = ['online', 'failed', 'missing', 'rebuilding', 'spare'] as const;
const PROTECTIONS = ['full', 'seeding', 'unprotected'] as const;
const DRAIN_STATES = ['idle', 'draining', 'unreachable', 'none'] as const;

/** The array's figures in the Prometheus text format, version 0.0.4. Base units; a state is one series per value, 1 at the present one. */
export async function metricsText(status: ArrayStatus, counters: readonly Counter[]): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string, value: number): void => {
    new Gauge({ name: `keelson_${name}`, help, registers: [registry] }).set(value);
  };
  const states = (name: string, help: string, all: readonly string[], present: string): void => {
    const series = new Gauge({ name: `keelson_${name}`, help, labelNames: ['state'], registers: [registry] });
    for (const state of all) series.set({ state }, state === present ? 1 : 0);
  };

  states('array_state', 'State of the array.', ARRAY_STATES, status.state);
  states('protection', 'Whether the backup covers the volume.', PROTECTIONS, status.protection);
  gauge('device_failures_tolerated', 'Devices that may still be lost without losing an acknowledged write.', status.tolerance.devices);
  gauge('volume_bytes', 'Size of the volume.', status.volume.bytes);
  gauge('journal_copies', 'Copies of each journaled write.', status.journal.copies);
  gauge('journal_bytes', 'Ring bytes of one copy.', status.journal.bytes);
  gauge('journal_used_bytes', 'Ring bytes in use.', status.journal.usedBytes);
  gauge('journal_fill_ratio', 'Used part of the ring, 0 to 1.', status.journal.fillRatio);
  gauge('journal_head_lsn', 'LSN of the newest journaled write.', status.journal.headLsn);
  gauge('destaged_lsn', 'Every write up to this LSN is in the stripes.', status.journal.destagedLsn);
  states('drain_state', 'State of the drain.', DRAIN_STATES, status.drain.state);
  gauge('drained_lsn', 'Every write up to this LSN is on the backup.', status.drain.drainedLsn);
  gauge('undrained_bytes', 'What losing everything but the backup would lose now.', status.drain.undrainedBytes);
  gauge('oldest_undrained_seconds', 'Age of the oldest write that is not on the backup.', status.drain.oldestUndrainedSeconds);
  gauge('alarms', 'Troubles that status lists.', status.alarms.length);
  if (status.rebuild !== null) {
    gauge('rebuild_done_bytes', 'Rebuilt so far.', status.rebuild.doneBytes);
    gauge('rebuild_bytes', 'To be rebuilt in all.', status.rebuild.totalBytes);
  }
  memberMetrics(registry, status);
  for (const { name, help, value } of counters) new PromCounter({ name, help, registers: [registry] }).inc(value);
  return registry.metrics();
}

function memberMetrics(registry: Registry, status: ArrayStatus): void {
  const labelNames = ['member', 'path', 'role'] as const;
  const registers = [registry];
  const state = new Gauge({ name: 'keelson_member_state', help: 'State of a member.', labelNames: [...labelNames, 'state'], registers });
  const errors = new PromCounter({
    name: 'keelson_member_errors_total',
    help: 'Errors met on a member.',
    labelNames: [...labelNames, 'kind'],
    registers,
  });
  for (const member of status.members) {
    const labels = { member: String(member.index), path: member.path, role: member.role };
    for (const value of MEMBER_STATES) state.set({ ...labels, state: value }, value === member.state ? 1 : 0);
    errors.inc({ ...labels, kind: 'read' }, member.readErrors);
    errors.inc({ ...labels, kind: 'write' }, member.writeErrors);
    errors.inc({ ...labels, kind: 'checksum' }, member.checksumErrors);
  }
}
