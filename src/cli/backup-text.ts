import { counted } from '../base/quantity-text.js';
import type { BackupTrial } from '../repository/trial.js';
import type { BackupContact } from './engine-port.js';

const MADE = { there: '', made: '; its directory was not there and has been made', missing: '', unknown: '' } as const;

/** What came of asking the backup before an array is made: one line, and nothing in it that was not tried. */
export function trialText(trial: BackupTrial | null, parity: number): string {
  if (trial === null) return `backup   none: UNPROTECTED; the array survives ${counted(parity, 'failed member')} and no more\n`;
  const { target, reached, written, directory, weakness } = trial;
  if (!reached) return `backup   ${target}: NOT REACHED\n`;
  const weak = weakness === '' ? '' : `; weaker than it should be: ${weakness}`;
  if (written) return `backup   ${target}: reached, and a file written there, read back and removed${MADE[directory]}${weak}\n`;
  const found = directory === 'missing' ? 'its directory is not there; create makes it' : 'its directory holds nothing';
  return `backup   ${target}: reached; ${found}; nothing was written there, create tries that${weak}\n`;
}

/** For stderr, where the backup was not reached; '' where it was. made: there is an array now. */
export function trialWarning(trial: BackupTrial | null, made: boolean): string {
  if (trial === null || trial.error === null) return '';
  const { message, found, code } = trial.error;
  const then = made
    ? 'nothing is protected until it is reached: what is written stays on this host alone'
    : 'create would make the array all the same, and nothing would be protected until it is reached';
  const test = made
    ? 'keelson serve says whether it reaches it; once it runs, keelson drain --wait asks it again'
    : 'try it again with keelson create --dry-run';
  return `warning: ${message}${found === undefined ? '' : `: ${found}`} (${code})\n  ${then}\n  do: check the network and the backup host; ${test}\n`;
}

/** What came of the first attempt of a server to reach the backup: one line. */
export function contactText({ target, reached, lsn, headLsn, error }: BackupContact): string {
  if (!reached) {
    const why = error === null ? '' : `: ${error.message}${error.found === undefined ? '' : `: ${error.found}`} (${error.code})`;
    return `backup ${target} is NOT REACHED${why}; the ring keeps everything that is not there\n`;
  }
  if (lsn === null) return `backup ${target} is reached\n`;
  const behind = headLsn > lsn ? `; the ring keeps the rest, up to LSN ${headLsn}` : ', which is everything';
  return `backup ${target} is reached: it holds everything up to LSN ${lsn}${behind}\n`;
}
