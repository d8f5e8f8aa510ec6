import { parentPort } from 'node:worker_threads';

/** A backup thread that opens, and dies at anything else. */
parentPort?.on('message', (message: { readonly id: number; readonly call: { readonly verb: string } }) => {
  if (message.call.verb !== 'open') process.exit(1);
  const value = {
    arrayUuid: 'a',
    volumeBytes: 4096,
    epoch: 1,
    headLsn: 0,
    headTime: 0,
    segmentEpoch: 0,
    segments: 0,
    storedBytes: 0,
    weakness: '',
  };
  parentPort?.postMessage({ kind: 'result', id: message.id, value });
});
