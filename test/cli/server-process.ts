import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

const running = new Set<ChildProcess>();

// A test process that is told to end in the middle, by AVA or by Ctrl-C, runs no teardown: the servers would stay.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
process.once('SIGTERM', () => process.exit(1));

/** The child ends with the process of the test at the latest. The returned function ends it with the signal, and waits. */
export function endsWithTest(child: ChildProcess, signal: NodeJS.Signals): () => Promise<void> {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return async () => {
    if (!running.has(child)) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  };
}
