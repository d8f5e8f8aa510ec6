import { readFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector';
import { assert } from '../base/assert.js';
import { CODE_STATES, type CodeState } from './code-states.js';

/** Where a state's code ends in the text of its file; throws when it does not stand there exactly once. */
export function placeOf({ name, file, code }: CodeState, text: string): number {
  const words = code.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const found = [...text.matchAll(new RegExp(words.join('\\s+'), 'g'))];
  assert(found.length === 1, `the code of "${name}" stands ${found.length} times in ${file}, not once`);
  const [match] = found as [RegExpExecArray];
  return match.index + match[0].length - 1;
}

/** How often V8 came by an offset of a file: the innermost range says it. */
export function countAt(functions: readonly Profiler.FunctionCoverage[], offset: number): number {
  let count = 0;
  let narrowest = Number.POSITIVE_INFINITY;
  for (const { ranges } of functions) {
    for (const range of ranges) {
      const bytes = range.endOffset - range.startOffset;
      if (range.startOffset > offset || range.endOffset <= offset || bytes > narrowest) continue;
      narrowest = bytes;
      count = range.count;
    }
  }
  return count;
}

/**
 * Counts how often the states of code-states.ts are reached, by the engine of JavaScript itself: production code has no counters for it, and runs go the same way.
 * It has to be begun before the modules that it looks at are loaded.
 */
export class CodeCoverage {
  readonly #session: Session;

  private constructor(session: Session) {
    this.#session = session;
  }

  /** null while Node collects coverage for others: the counts are one set, and are cleared by whoever takes them. */
  static async begin(): Promise<CodeCoverage | null> {
    if (process.env.NODE_V8_COVERAGE !== undefined) return null;
    const coverage = new CodeCoverage(new Session());
    coverage.#session.connect();
    await coverage.#ask('Profiler.enable', {});
    await coverage.#ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    return coverage;
  }

  /** Every state with its count since the last call, 0 for those not reached. */
  async take(): Promise<Map<string, number>> {
    const { result } = (await this.#ask('Profiler.takePreciseCoverage', {})) as Profiler.TakePreciseCoverageReturnType;
    const counts = new Map<string, number>();
    for (const state of CODE_STATES) {
      const url = new URL(`../${state.file}`, import.meta.url);
      const functions = result.find((script) => script.url === url.href)?.functions ?? [];
      counts.set(state.name, countAt(functions, placeOf(state, readFileSync(url, 'utf8'))));
    }
    return counts;
  }

  end(): void {
    this.#session.disconnect();
  }

  #ask(method: string, parameters: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, parameters, (error: Error | null, answer?: unknown) => (error === null ? resolve(answer) : reject(error)));
    });
  }
}
