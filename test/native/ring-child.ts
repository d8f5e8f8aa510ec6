/**
 * A process or worker that ends with a ring open. Modes: idle = one read, then nothing keeps the loop alive; busy = writes for ever until terminated;
 * exit = process.exit(3) with writes in flight; throw = an exception in the callback reaches the process's handler, which exits with 7; taken = the array of
 * completions is given away, which the handler learns: exit with 9.
 */
import { isMainThread, parentPort } from 'node:worker_threads';
import { RING_READ, RING_WRITE } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { alignedMemory, type Op, openDirect, operations } from './ring-fixture.js';

const [mode = '', path = ''] = process.argv.slice(2);
const addon = loadAddon();
const memory = alignedMemory(1 << 20);
const fd = openDirect(path);
const ring = new addon.Ring(memory, 64);
const count = mode === 'idle' ? 1 : 200;
const ops = operations(
  Array.from({ length: count }, (_, i): Op => [mode === 'idle' ? RING_READ : RING_WRITE, fd, (i % 200) * 4096, (i % 200) * 4096, 4096, i]),
);
let finished = 0;
process.on('uncaughtException', ({ message }) =>
  process.exit(message === 'thrown in the callback' ? 7 : /results are lost/.test(message) ? 9 : 8),
);
const completions = new Int32Array(256);
ring.listen(completions, (pairs) => {
  finished += pairs;
  if (mode === 'throw') throw new Error('thrown in the callback');
  if (mode === 'busy' && finished % count === 0) ring.submit(ops, 0, count);
});
ring.submit(ops, 0, count);
if (mode === 'taken') structuredClone(completions.buffer, { transfer: [completions.buffer] });
if (mode === 'exit') process.exit(3);
if (!isMainThread && mode === 'busy') parentPort?.postMessage('running');
