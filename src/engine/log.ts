/** Structured log, as pino has it: figures first, then the sentence. Handed in. */
export interface EngineLog {
  debug(figures: object, message: string): void;
  info(figures: object, message: string): void;
  warn(figures: object, message: string): void;
  error(figures: object, message: string): void;
}
