import type { RebuildPlan, RebuildStatus } from '../control/status.js';
import { bytesText, counted, secondsText } from '../base/quantity-text.js';
import { textTable } from './text-table.js';

/** More ranges than this are for programs: --json has them all. */
const RANGES_SHOWN_MAX = 40;

export function rebuildText(rebuild: RebuildStatus): string {
  if (rebuild.waitsFor !== undefined && rebuild.waitsFor > 0)
    return `nothing rebuilt yet: that begins when ${rebuild.waitsFor} more of the lost members ${rebuild.waitsFor === 1 ? 'is' : 'are'} replaced, or with keelson rebuild`;
  if (rebuild.totalBytes === 0) return 'nothing to rebuild: the device is in use';
  const lost = lostBlocks(rebuild);
  const given =
    lost === 0
      ? ''
      : `\n${lost} blocks were lost: neither members nor journal nor backup had them; reading them is an error until they are written again (keelson status lists them)`;
  return `rebuilt ${bytesText(rebuild.doneBytes)}: from survivors ${bytesText(rebuild.fromSurvivors)}, parity ${bytesText(rebuild.fromParity)}, journal ${bytesText(rebuild.fromJournal)}, backup ${bytesText(rebuild.fromBackup)}${given}`;
}

/** Blocks that it gave up; of an older server: none are known. */
export function lostBlocks(rebuild: RebuildStatus): number {
  return rebuild.lostBlocks ?? 0;
}

export function planText({ ranges, bytes, secondsEstimated }: RebuildPlan): string {
  if (ranges.length === 0) return 'nothing to rebuild\n';
  const rows = ranges.slice(0, RANGES_SHOWN_MAX).map(({ offset, length, from }) => [String(offset), bytesText(length), from]);
  const more =
    ranges.length > RANGES_SHOWN_MAX ? `  and ${counted(ranges.length - RANGES_SHOWN_MAX, 'more range')} (--json prints them all)\n` : '';
  const sums = Object.entries(bytes)
    .filter(([from, sum]) => from !== 'lost' || sum > 0)
    .map(([from, sum]) => `${from} ${bytesText(sum)}`);
  return `${textTable(['offset', 'length', 'from'], rows)}${more}in all: ${sums.join(', ')}; about ${secondsText(secondsEstimated)}\n`;
}
