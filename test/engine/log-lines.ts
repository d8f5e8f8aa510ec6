import type { EngineLog } from '../../src/engine/log.js';

/** Keeps what is logged: level, sentence, and of an alarm its code and action. */
export class LogLines implements EngineLog {
  readonly lines: string[] = [];
  debug(): void {}
  info = (figures: object, message: string): void => this.#add('info', figures, message);
  warn = (figures: object, message: string): void => this.#add('warn', figures, message);
  error = (figures: object, message: string): void => this.#add('error', figures, message);

  #add(level: string, figures: object, message: string): void {
    const { alarm, action } = figures as { alarm?: string; action?: string };
    this.lines.push(`${level} ${message}${alarm === undefined ? '' : ` (${[alarm, action].filter(Boolean).join(', ')})`}`);
  }

  of(part: string): string[] {
    return this.lines.filter((line) => line.includes(part));
  }
}
