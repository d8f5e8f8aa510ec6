import { EXIT, type KeelsonError } from '../base/errors.js';
import { exposures } from '../config/exposure.js';
import type { AddVerb, VerbOptions } from './define-verb.js';
import { contactText } from './backup-text.js';
import { defineVerb } from './define-verb.js';
import { eventLog } from './event-log.js';
import { hintText } from './hint-text.js';

export const addServe: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'serve',
    summary: 'assemble, recover and export the array; SIGTERM or SIGINT flush and stop it (log level: KEELSON_LOG)',
    examples: ['serve', 'serve -c /etc/keelson/keelson.toml'],
    json: 'print the URIs as JSON when clients can connect',
  }).action(async (options: VerbOptions) => {
    const settings = context.settings(options.config);
    const log = eventLog('info');
    const hints = exposures(settings);
    for (const { code, message, action } of hints) log.warn({ code, action }, message);
    let stop: () => void = () => undefined;
    let signals = 0;
    const stopped = new Promise<null>((resolve) => {
      stop = () => resolve(null);
    });
    const offSignal = context.onSignal((signal) => {
      signals++;
      // The second signal does not wait for anything.
      if (signals > 1) context.exit(EXIT.interrupted);
      log.info({ signal }, 'stopping: flushing and writing a clean checkpoint; a second signal ends the process at once');
      stop();
    });
    try {
      const engine = await context.engine();
      const array = await engine.openArray(settings, { log });
      const { socket, http, hosts } = settings.control;
      // Here, because the other verbs need no HTTP server and start faster without.
      const { startControlServer } = await import('../control/control-server.js');
      const control = await startControlServer({ target: array.control, socket, http, hosts, onStop: stop }).catch(
        async (error: unknown) => {
          await array.close();
          throw error;
        },
      );
      let fatal: KeelsonError | null;
      let closing = false;
      try {
        const figures = http === null ? null : `http://${http.host.includes(':') ? `[${http.host}]` : http.host}:${control.httpPort}/`;
        if (options.json === true)
          context.stdout.write(`${JSON.stringify({ serving: array.uris, figures, ...(hints.length === 0 ? {} : { hints }) })}\n`);
        else {
          for (const hint of hints) context.stdout.write(hintText(hint));
          for (const uri of array.uris) context.stdout.write(`serving ${uri}\n`);
          if (figures !== null) context.stdout.write(`figures on ${figures}\n`);
        }
        void array.backup?.then((contact) => {
          if (closing) return;
          const text = contactText(contact);
          if (contact.reached) log.info(contact, text.trimEnd());
          else log.warn(contact, text.trimEnd());
          context.stdout.write(options.json === true ? `${JSON.stringify({ backup: contact })}\n` : text);
        });
        context.onServing?.(array.uris);
        fatal = await Promise.race([stopped, array.fatal]);
        closing = true;
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
