import cliProgress from 'cli-progress';
import type { OnProgress, Progress } from '../control/control-target.js';
import type { CliContext } from './context.js';
import { bytesText, secondsText } from './quantity-text.js';

/** Where there is no terminal, a line now and then shows that it is alive. */
const PLAIN_INTERVAL_MS = 5_000;

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
      this.#draw(progress, bytesPerSecond, secondsLeft);
    } else if (now_ms - this.#plain_ms >= PLAIN_INTERVAL_MS) {
      this.#plain_ms = now_ms;
      const left = secondsLeft === null ? '' : `, ${secondsText(secondsLeft)} left`;
      this.#context.stderr.write(`${progress.task}: ${bytesText(progress.doneBytes)} of ${bytesText(progress.totalBytes)}${left}\n`);
    }
  };

  /** Ends the display when the work ends, well or badly. */
  async during<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      this.#bar?.stop();
    }
  }

  #draw({ task, doneBytes, totalBytes }: Progress, bytesPerSecond: number, secondsLeft: number | null): void {
    const figures = {
      task,
      done: bytesText(doneBytes),
      all: bytesText(totalBytes),
      rate: bytesText(bytesPerSecond),
      left: secondsLeft === null ? '-' : secondsText(secondsLeft),
    };
    if (this.#bar === null) {
      const format = '{task} [{bar}] {percentage} %  {done} of {all}  {rate}/s  {left} left';
      this.#bar = new cliProgress.SingleBar(
        { format, hideCursor: true, clearOnComplete: true, stream: process.stderr },
        cliProgress.Presets.legacy,
      );
      this.#bar.start(totalBytes, doneBytes, figures);
    }
    this.#bar.setTotal(totalBytes);
    this.#bar.update(doneBytes, figures);
  }
}
