import { parentPort, workerData } from 'node:worker_threads';
import { assert, known } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import type { SegmentPiece } from '../repository/backup.js';
import { targetFor } from '../target/open-target.js';
import { Repository } from '../repository/repository.js';
import type { BackupCall, BackupResults, BackupWorkerData, FromBackupWorker, ToBackupWorker } from './backup-messages.js';

/**
 * Entry of the backup thread: one repository on one target, with its connection, compression and encryption, for as long as the
 * array runs. The main thread sends calls (backup-client.ts); reads may run beside a publish.
 */
const port = known(parentPort, 'the backup worker runs in a worker thread');
const data = workerData as BackupWorkerData;
const repository = new Repository({
  target: targetFor(data.url, { identity: data.identity, knownHosts: data.knownHosts }),
  memory: Slab.attach(data.slab).view,
  checksums: loadAddon(),
  compression: data.compression,
  passphrase: data.passphrase,
});

interface PendingPiece {
  resolve(piece: SegmentPiece | null): void;
  reject(error: KeelsonError): void;
}
let awaited: PendingPiece | null = null;

function send(message: FromBackupWorker): void {
  port.postMessage(message);
}

function pull(): Promise<SegmentPiece | null> {
  assert(awaited === null, 'one pull at a time');
  return new Promise((resolve, reject) => {
    awaited = { resolve, reject };
    send({ kind: 'pull' });
  });
}

async function run(call: BackupCall): Promise<BackupResults[keyof BackupResults]> {
  switch (call.verb) {
    case 'open':
      return repository.open(call.options);
    case 'publish':
      return repository.publish(call.header, pull);
    case 'lookup': {
      const out = new Uint8Array(call.count);
      await repository.lookup(call.first, call.count, out);
      return out;
    }
    case 'read': {
      const crcs = new Uint32Array(call.blocks.length);
      return { fetched: await repository.read(call.blocks, call.into, crcs), crcs };
    }
    case 'allocated':
      return repository.allocated(call.from, call.limit);
    case 'confirm':
      await repository.confirm();
      return null;
    case 'putMetadata':
      await repository.putMetadata(call.name, call.bytes);
      return null;
    case 'getMetadata':
      return repository.getMetadata(call.name);
    case 'close':
      await repository.close();
      return null;
  }
}

port.on('message', (message: ToBackupWorker) => {
  if (message.kind === 'call') {
    const { id, call } = message;
    run(call).then(
      (value) => {
        send({ kind: 'result', id, value });
        if (call.verb === 'close') port.close();
      },
      (error: unknown) => send({ kind: 'failed', id, error: KeelsonError.from(error).toRecord() }),
    );
    return;
  }
  const waiting = awaited;
  awaited = null;
  if (message.kind === 'piece') waiting?.resolve(message.piece);
  else waiting?.reject(KeelsonError.fromRecord(message.error));
});
