import type { ArrayEngine } from '../engine/array-engine.js';
import { EVENT, type Scheduler } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';

/** What an engine that has stopped still holds, as text; '' for nothing. */
export function heldByEngine(engine: ArrayEngine): string {
  const { readPages, fetchPages, locks, volume, writes, journal, state } = engine;
  return text([
    ['slab pages for reads', readPages.usedPages],
    ['requests that wait for them', readPages.waiting],
    ['slab pages for fetched blocks', fetchPages.usedPages],
    ['requests that wait for those', fetchPages.waiting],
    ['pins of ring segments', journal.table.pins.reduce((sum, pins) => sum + pins, 0)],
    ['locks on stripes', locks.held + locks.queued],
    ['requests of clients', volume.inFlight],
    ['writes that wait for room', writes.waiting],
    ['requests to devices', state.members.reduce((sum, member) => sum + (member?.device.inFlight ?? 0), 0)],
  ]);
}

/** The same of a simulated process, whose engine has stopped: nothing of it may happen any more but what the driver of the run does. */
export function heldByProcess(process: SimulatedProcess, scheduler: Scheduler): string {
  return text([
    ['devices', process.openDevices],
    ['files on the backup host', process.openFiles],
    ['timers', scheduler.pendingOf(process, [EVENT.timer])],
    ['requests to devices on their way', scheduler.pendingOf(process, [EVENT.read, EVENT.write, EVENT.sync])],
    ['stripe tasks', scheduler.pendingOf(process, [EVENT.task])],
    ['requests to the backup host', scheduler.pendingOf(process, [EVENT.target])],
  ]);
}

function text(held: readonly (readonly [what: string, count: number])[]): string {
  return held
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ');
}
