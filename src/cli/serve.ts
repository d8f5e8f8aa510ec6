import pino from 'pino';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { defineVerb } from './define-verb.js';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];
/** As shells count a death by SIGINT: the second signal does not wait for anything. */
const EXIT_INTERRUPTED = 130;

export const addServe: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'serve',
    summary: 'assemble, recover and export the array; SIGTERM or SIGINT flush and stop it (log level: KEELSON_LOG)',
    example: 'serve -c /etc/keelson/keelson.toml',
  }).action(async (options: VerbOptions) => {
    const settings = context.settings(options.config);
    const log = serverLog();
    let stop: () => void = () => undefined;
    let signals = 0;
    const stopped = new Promise<null>((resolve) => {
      stop = () => resolve(null);
    });
    const offSignal = context.onSignal((signal) => {
      signals++;
      if (signals > 1) context.exit(EXIT_INTERRUPTED);
      log.info({ signal }, 'stopping: flushing and writing a clean checkpoint; a second signal ends the process at once');
      stop();
    });
    try {
      const engine = await context.engine();
      const array = await engine.openArray(settings, { log });
      const { socket, http } = settings.control;
      // Here, because the other verbs need no HTTP server and start faster without.
      const { startControlServer } = await import('../control/control-server.js');
      const control = await startControlServer({ target: array.control, socket, http, onStop: stop }).catch(async (error: unknown) => {
        await array.close();
        throw error;
      });
      let fatal: KeelsonError | null;
      try {
        for (const uri of array.uris) context.stdout.write(`serving ${uri}\n`);
        if (http !== null) context.stdout.write(`figures on http://${http.host}:${control.httpPort}/\n`);
        fatal = await Promise.race([stopped, array.fatal]);
        await array.close();
      } finally {
        // Last, so that `keelson stop` sees the end of the work.
        await control.close();
      }
      if (fatal !== null) throw fatal;
    } finally {
      offSignal();
    }
  });
};

/** Lines of JSON on stderr: stdout has the URIs. Throws when KEELSON_LOG names no level. */
function serverLog(): pino.Logger {
  const level = process.env.KEELSON_LOG ?? 'info';
  if (!LEVELS.includes(level)) {
    throw new KeelsonError('LOG_LEVEL', 'KEELSON_LOG names no log level', { found: level, expected: LEVELS.join(', '), exit: EXIT.usage });
  }
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }));
}
