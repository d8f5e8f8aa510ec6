import cliProgress from 'cli-progress';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { OnProgress, Progress } from '../control/control-target.js';
import type { CliContext } from './context.js';
import { errorJson } from './error-output.js';
import { bytesText, secondsText } from '../base/quantity-text.js';

/** Where there is no terminal, a line now and then shows that it is alive. */
const PLAIN_INTERVAL_MS = 5_000;
/** Signs of the bar. */
const BAR_MIN = 10;
const BAR_MAX = 40;

/** What becomes of the server's work when the command that follows it is interrupted. */
export const SERVER_GOES_ON = 'the server goes on with it; keelson status shows how far it is';

/** Done, total, rate and time left: a bar on a terminal, one JSON object a line with --json, else a plain line now and then. */
export class ProgressDisplay {
  readonly #context: CliContext;
  readonly #json: boolean;
  #bar: cliProgress.SingleBar | null = null;
  #started_ms = 0;
  #startBytes = 0;
  #plain_ms = 0;

  constructor(context: CliContext, json: boolean) {
    this.#context = context;
    this.#json = json;
  }

  readonly onProgress: OnProgress = (progress) => {
    const now_ms = performance.now();
    if (this.#started_ms === 0) {
      this.#started_ms = this.#plain_ms = now_ms;
      this.#startBytes = progress.doneBytes;
    }
    const seconds = (now_ms - this.#started_ms) / 1000;
    // What was done before this command looked is no part of its rate.
    const bytesPerSecond = seconds > 0 ? Math.round((progress.doneBytes - this.#startBytes) / seconds) : 0;
    const secondsLeft = bytesPerSecond > 0 ? Math.round((progress.totalBytes - progress.doneBytes) / bytesPerSecond) : null;
    if (this.#json) {
      this.#context.stdout.write(`${JSON.stringify({ ...progress, bytesPerSecond, secondsLeft })}\n`);
    } else if (this.#context.stderr.isTTY) {
      this.#draw({ ...progress, bytesPerSecond, secondsLeft });
    } else if (now_ms - this.#plain_ms >= PLAIN_INTERVAL_MS) {
      this.#plain_ms = now_ms;
      const left = secondsLeft === null ? '' : `, ${secondsText(secondsLeft)} left`;
      this.#context.stderr.write(`${progress.task}: ${bytesText(progress.doneBytes)} of ${bytesText(progress.totalBytes)}${left}\n`);
    }
  };

  /** Ends the display when the work ends, well or badly. interrupted: what becomes of the work when the command is interrupted; null: it ends by itself. */
  async during<T>(work: Promise<T>, interrupted: string | null): Promise<T> {
    const offSignal = this.#context.onSignal(() => {
      this.#bar?.stop();
      if (interrupted === null) return;
      const error = new KeelsonError('INTERRUPTED', `interrupted: ${interrupted}`);
      this.#context.stderr.write(this.#json ? errorJson(error, EXIT.interrupted) : `keelson: ${error.message}\n`);
      this.#context.exit(EXIT.interrupted);
    });
    try {
      return await work;
    } finally {
      offSignal();
      this.#bar?.stop();
    }
  }

  #draw(figures: Figures): void {
    if (this.#bar === null) {
      this.#bar = new cliProgress.SingleBar(
        {
          format: (_options, _parameters, payload: Figures) => progressLine(payload, this.#context.stderr.columns),
          hideCursor: true,
          clearOnComplete: true,
          stream: process.stderr,
        },
        cliProgress.Presets.legacy,
      );
      this.#bar.start(figures.totalBytes, figures.doneBytes, figures);
    }
    this.#bar.setTotal(figures.totalBytes);
    this.#bar.update(figures.doneBytes, figures);
  }
}

export interface Figures extends Progress {
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | null;
}

/** One line that fits into the terminal: the time left before the amount, the amount before the rate, and a bar in the room that remains. */
export function progressLine({ task, doneBytes, totalBytes, bytesPerSecond, secondsLeft }: Figures, columns: number): string {
  const ratio = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
  const parts = [`${task} ${Math.floor(ratio * 100)} %`];
  const optional = [
    secondsLeft === null ? '' : `${secondsText(secondsLeft)} left`,
    `${bytesText(doneBytes)} of ${bytesText(totalBytes)}`,
    `${bytesText(bytesPerSecond)}/s`,
  ];
  for (const part of optional) if (part !== '' && [...parts, part].join('  ').length < columns) parts.push(part);
  const text = parts.join('  ');
  // One column stays free: a sign in the last one moves some terminals to the next line.
  const room = Math.min(BAR_MAX, columns - text.length - 6);
  if (room < BAR_MIN) return text;
  const full = Math.floor(ratio * room);
  return `${text}  [${'='.repeat(full)}${' '.repeat(room - full)}]`;
}
