import { formatSize } from '../config/quantities.js';
import type { ArrayPlan } from '../engine/array-plan.js';
import { describeNeed, sizeText } from '../engine/memory-need.js';
import { bytesText } from '../base/quantity-text.js';
import { textTable } from './text-table.js';

const ZONES = ['superblocks', 'checkpoints', 'integrity', 'journal', 'data', 'unused'] as const;

/** What goes where on each member, what is left as volume, and the memory that `serve` takes. */
export function planText(plan: ArrayPlan): string {
  const { dataShards, parity, ringBytes, segmentBytes } = plan;
  const share = Math.round(plan.volumeShare * 100);
  const own = plan.members.some(({ role }) => role === 'journal');
  const where = own ? 'journal member' : 'stripe member';
  const fitted = plan.ringFitted ? '; fitted to the members: journal.size or journal.segment is left out' : '';
  const lines = [
    `volume   ${bytesText(plan.volumeBytes)}, ${share} % of the stripe members: ${dataShards} data and ${parity} parity chunks of ${formatSize(plan.chunkBytes)} in each of ${plan.stripes} stripes`,
    `journal  ${formatSize(ringBytes)} on each ${where}: ${ringBytes / segmentBytes} segments of ${formatSize(segmentBytes)}, each written to ${plan.journalCopies} of them${fitted}`,
    `memory   serve takes up to ${describeNeed(plan.memory, dataShards + parity)}; ${sizeText(plan.memoryEmpty.totalBytes)} while nothing is written`,
  ];
  const rows = plan.members.map(({ index, role, path, bytes, zones }) => [
    String(index),
    role,
    bytesText(bytes),
    ...ZONES.map((zone) => (zones[zone] === 0 ? '-' : bytesText(zones[zone]))),
    path,
  ]);
  return `${lines.map((line) => `  ${line}\n`).join('')}\n${textTable(['#', 'role', 'size', ...ZONES, 'device'], rows)}`;
}
