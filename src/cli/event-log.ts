import pino from 'pino';
import { EXIT, KeelsonError } from '../base/errors.js';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Lines of JSON on stderr: stdout has what was asked for. level: unless KEELSON_LOG names another; throws LOG_LEVEL when that names none. */
export function eventLog(level: 'info' | 'warn'): pino.Logger {
  const asked = process.env.KEELSON_LOG ?? level;
  if (!LEVELS.includes(asked)) {
    throw new KeelsonError('LOG_LEVEL', 'KEELSON_LOG names no log level', { found: asked, expected: LEVELS.join(', '), exit: EXIT.usage });
  }
  return pino({ level: asked, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }));
}
