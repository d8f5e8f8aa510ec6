import { type ExitStatus, EXIT } from '../base/errors.js';
import { loadSettings } from '../config/load-settings.js';
import type { Settings } from '../config/settings.js';
import { ControlClient } from '../control/control-client.js';
import type { EnginePort } from './engine-port.js';

/** A stream for people or programs. */
export interface Output {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width of the terminal at this moment; infinite where there is none: programs search whole lines. */
  readonly columns: number;
}

/** All that a verb takes from outside; tests hand in their own. */
export interface CliContext {
  readonly stdout: Output;
  readonly stderr: Output;
  engine(): Promise<EnginePort>;
  settings(path: string | undefined): Settings;
  client(settings: Settings): ControlClient;
  /** One line that somebody types; null where there is no terminal to ask on. */
  ask(question: string): Promise<string | null>;
  /** Resolves after delay_ms. */
  pause(delay_ms: number): Promise<void>;
  /** Calls back at each SIGTERM and SIGINT; the returned function ends that. */
  onSignal(callback: (signal: string) => void): () => void;
  /** Called by `serve` when clients can connect. */
  onServing?: (uris: readonly string[]) => void;
  /** Ends the process at once. */
  exit(status: number): void;
  /** Exit status of the verb when it ends without an error. */
  status: ExitStatus;
}

export function processContext(): CliContext {
  const output = (stream: NodeJS.WriteStream): Output => ({
    write: (text) => void stream.write(text),
    isTTY: stream.isTTY === true,
    get columns() {
      return stream.isTTY && stream.columns > 0 ? stream.columns : Number.POSITIVE_INFINITY;
    },
  });
  // `keelson status | head` closes the pipe early: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
  return {
    stdout: output(process.stdout),
    stderr: output(process.stderr),
    // Only when a verb asks for it: `status` starts without the addon and its threads.
    engine: async () => (await import('./engine.js')).loadEngine(),
    settings: loadSettings,
    client: (settings) => new ControlClient(settings.control.socket),
    ask,
    pause: (delay_ms) => new Promise((resolve) => setTimeout(resolve, delay_ms)),
    onSignal(callback) {
      const signals = ['SIGTERM', 'SIGINT'] as const;
      for (const signal of signals) process.on(signal, callback);
      return () => {
        for (const signal of signals) process.off(signal, callback);
      };
    },
    exit: (status) => process.exit(status),
    status: EXIT.done,
  };
}

async function ask(question: string): Promise<string | null> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return null;
  const { createInterface } = await import('node:readline/promises');
  const line = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await line.question(question);
  } finally {
    line.close();
  }
}
