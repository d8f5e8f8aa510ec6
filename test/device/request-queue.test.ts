import test from 'ava';
import { DEVICE_REQUESTS_MAX, type RequestBackend, RequestQueue } from '../../src/device/request-queue.js';
import { RING_READ } from '../../src/native/addon-api.js';

/** Begins what it is given and completes it only when told to. */
class PatientBackend implements RequestBackend {
  readonly depth = 4;
  readonly begun: number[] = [];
  batches = 0;

  begin(queue: RequestQueue, slots: Int32Array, count: number): void {
    this.batches += 1;
    for (let i = 0; i < count; i++) this.begun.push(slots[i] as number);
    if (queue.running > this.depth) throw new Error('more than the depth');
  }
}

const owner = { requestDone: () => undefined };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('requests of one turn are begun together, at most as many as the depth, the others in order as those complete', async (t) => {
  const backend = new PatientBackend();
  const queue = new RequestQueue(backend);
  const done: number[] = [];
  for (let i = 0; i < 10; i++) queue.push(owner, RING_READ, 3, 0, i, 1, (_, tag) => done.push(tag), 100 + i);
  t.deepEqual(backend.begun, [], 'not before the turn ends');
  await turn();
  t.is(backend.batches, 1);
  t.is(queue.running, 4);
  t.is(queue.waiting, 6);
  const offsets: number[] = [];
  while (backend.begun.length > 0) {
    const slot = backend.begun.shift() as number;
    offsets.push(queue.offset[slot] as number);
    queue.complete(slot, 1);
    await turn();
  }
  t.deepEqual(offsets, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.deepEqual(done, [100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
  t.is(queue.running + queue.waiting, 0);
});

test('a slot is used again at once, so the table never grows, and completing one twice is an assertion failure', async (t) => {
  const backend = new PatientBackend();
  const queue = new RequestQueue(backend);
  const slots = new Set<number>();
  for (let i = 0; i < 50; i++) {
    queue.push(owner, RING_READ, 3, 0, 0, 1, () => undefined, 0);
    await turn();
    const slot = backend.begun.shift() as number;
    slots.add(slot);
    queue.complete(slot, 1);
    t.throws(() => queue.complete(slot, 1), { code: 'ASSERTION' });
  }
  t.is(slots.size, 1);
});

test('more requests than the bound are an assertion failure, not a longer queue', (t) => {
  const queue = new RequestQueue(new PatientBackend());
  const done = (): void => undefined;
  for (let i = 0; i < DEVICE_REQUESTS_MAX; i++) queue.push(owner, RING_READ, 3, 0, 0, 1, done, 0);
  t.throws(() => queue.push(owner, RING_READ, 3, 0, 0, 1, done, 0), { code: 'ASSERTION' });
});
