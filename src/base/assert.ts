import { KeelsonError } from './errors.js';

/** An invariant of the engine does not hold: a bug, never bad input. Stays on in production. */
export class AssertionFailure extends KeelsonError {
  constructor(message: string) {
    super('ASSERTION', `assertion failed: ${message}`, {
      action: 'report this with the log; the data on the members are left as they are',
    });
    this.name = 'AssertionFailure';
  }
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Narrows away undefined where an index or a lookup cannot miss. */
export function known<T>(value: T | undefined | null, message: string): T {
  if (value === undefined || value === null) throw new AssertionFailure(message);
  return value;
}
