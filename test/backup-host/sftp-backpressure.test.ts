import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex, Writable } from 'node:stream';
import test from 'ava';
import { PacketWriter, REQUEST } from '../../src/backup-host/sftp-packets.js';
import { EXTENSIONS, serveSftp } from '../../src/backup-host/sftp-server.js';
import { scratchFolder } from '../repository/scratch.js';

const REQUESTS = 4000;
const REPLY_BYTES = 4096;
/** Requests that are worked on at once, and what the channel takes before it asks to wait. */
const HELD_REPLIES_MAX = 64 + 16;
const INIT = Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]);
const HANDLE = Buffer.from([0, 0, 0, 1]);

/** Opens a file, and asks for it again and again once it is open. */
async function askForMuch(channel: Duplex, replies: () => number): Promise<void> {
  channel.push(INIT);
  channel.push(new PacketWriter(REQUEST.open).u32(1).text('/file').u32(1).u32(0).finish());
  while (replies() < 2) await new Promise(setImmediate);
  for (let id = 2; id < 2 + REQUESTS; id++)
    channel.push(new PacketWriter(REQUEST.read).u32(id).blob(HANDLE).u64(0).u32(REPLY_BYTES).finish());
}

function folderWithFile(root: string): string {
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'file'), Buffer.alloc(REPLY_BYTES, 7));
  return root;
}

test('a client that reads its replies slowly is answered in full, and never has more than a bounded number of them waiting', async (t) => {
  const root = folderWithFile(join(scratchFolder(t), 'root'));
  let answered = 0;
  let replies = 0;
  let most = 0;
  const channel = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      answered += chunk.length;
      replies++;
      most = Math.max(most, channel.writableLength);
      // Replies are made faster than this client takes them.
      setImmediate(() => setImmediate(() => setImmediate(done)));
    },
  });
  const served = serveSftp(channel, root);
  await askForMuch(channel, () => replies);
  while (answered < REQUESTS * REPLY_BYTES) await new Promise(setImmediate);
  t.true(most <= HELD_REPLIES_MAX * (REPLY_BYTES + 64), `${most} bytes waited`);
  channel.destroy();
  await served;
});

test('a client that reads nothing is not served on, and its end ends the session', async (t) => {
  const root = folderWithFile(join(scratchFolder(t), 'root'));
  let replies = 0;
  const channel = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      if (++replies <= 2) done();
    },
  });
  const served = serveSftp(channel, root);
  await askForMuch(channel, () => replies);
  while (!channel.writableNeedDrain) await new Promise(setImmediate);
  for (let turn = 0; turn < 300; turn++) await new Promise(setImmediate);
  t.true(channel.writableLength <= HELD_REPLIES_MAX * (REPLY_BYTES + 64), `${channel.writableLength} bytes wait`);
  channel.destroy();
  await served;
});

test('a channel that takes everything is held back by the socket behind it', async (t) => {
  const root = folderWithFile(join(scratchFolder(t), 'root'));
  const socket = new Writable({ write() {} });
  let answered = 0;
  let replies = 0;
  // As an SSH channel does whose client said that its window has no end.
  const channel = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      answered += chunk.length;
      replies++;
      socket.write(chunk);
      done();
    },
  });
  const served = serveSftp(channel, root, EXTENSIONS, socket);
  await askForMuch(channel, () => replies);
  while (!socket.writableNeedDrain) await new Promise(setImmediate);
  for (let turn = 0; turn < 300; turn++) await new Promise(setImmediate);
  t.true(answered <= HELD_REPLIES_MAX * (REPLY_BYTES + 64), `${answered} bytes wait`);
  socket.destroy();
  channel.destroy();
  await served;
});
