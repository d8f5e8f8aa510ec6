import type { Alarm } from './array-state.js';
import type { EngineLog } from './log.js';

/**
 * The one place that says in the log which alarms are raised and cleared: those that a part of the engine raises, and those that follow from how things stand. It compares what
 * there is with what there was, at each raise and clear and at a tick of the engine, whether anybody asks for a status or not. An alarm is the same as long as its code is.
 */
export class AlarmLog {
  readonly #alarms: () => readonly Alarm[];
  readonly #log: EngineLog;
  readonly #known = new Map<string, Alarm>();
  #running = false;
  #soon = false;

  constructor(alarms: () => readonly Alarm[], log: EngineLog) {
    this.#alarms = alarms;
    this.#log = log;
  }

  start(): void {
    this.#running = true;
    this.look();
  }

  /** When whoever raises or clears has ended: half of a change looks like troubles that never were. */
  lookSoon(): void {
    if (this.#soon || !this.#running) return;
    this.#soon = true;
    queueMicrotask(() => {
      this.#soon = false;
      this.look();
    });
  }

  look(): void {
    if (!this.#running) return;
    const now = new Map(this.#alarms().map((alarm) => [alarm.code, alarm]));
    for (const [code, alarm] of now) {
      if (!this.#known.has(code)) this.#log.warn({ alarm: code, action: alarm.action }, `alarm raised: ${alarm.message}`);
      this.#known.set(code, alarm);
    }
    for (const code of this.#known.keys()) {
      if (now.has(code)) continue;
      this.#known.delete(code);
      this.#log.info({ alarm: code }, 'alarm cleared');
    }
  }

  stop(): void {
    this.#running = false;
  }
}
