import { KeelsonError } from '../base/errors.js';
import type { Settings } from '../config/settings.js';

/** Refusals of a start that only the backup helps against when nothing else does. */
const NEEDS_BACKUP = new Set(['JOURNAL_LOST', 'JOURNAL_DAMAGED', 'ARRAY_NO_CHECKPOINT', 'ARRAY_TABLE']);

/** Says what the backup can do about an array that does not start, if there is one: who meets the trouble knows nothing of it. */
export function withLastResort(error: KeelsonError, settings: Settings): KeelsonError {
  if (!NEEDS_BACKUP.has(error.code)) return error;
  const resort =
    settings.backup === null
      ? 'there is no backup in the configuration to restore from'
      : 'if that cannot be: keelson restore --force brings back what is on the backup, and gives up what was not drained';
  const { code, message, found, expected, exit, cause } = error;
  return new KeelsonError(code, message, {
    ...(found === undefined ? {} : { found }),
    ...(expected === undefined ? {} : { expected }),
    action: error.action === undefined ? resort : `${error.action}; ${resort}`,
    exit,
    cause,
  });
}
