import type { Alarm } from '../control/status.js';
import { wrapText } from './text-wrap.js';

/** What should be known and is no trouble, and what would change it. Lines of at most `columns` signs. */
export function hintText({ code, message, action }: Alarm, columns = Number.POSITIVE_INFINITY): string {
  return `${wrapText(`note: ${message} (${code})`, columns, '  ', '    ')}${wrapText(`do: ${action}`, columns, '    ', '        ')}`;
}
