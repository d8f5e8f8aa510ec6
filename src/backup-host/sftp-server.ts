import { constants, type Dir, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, opendir, rename, rm, rmdir, statfs } from 'node:fs/promises';
import type { Duplex, Writable } from 'node:stream';
import { JailRefusal, PathJail } from './path-jail.js';
import { MalformedPacket, OPEN_FLAG, PacketReader, PacketSplitter, PacketWriter, REQUEST, RESPONSE, STATUS } from './sftp-packets.js';

/** Requests of one client that are being worked on; more wait in its channel. */
const REQUESTS_IN_FLIGHT_MAX = 64;
const HANDLES_MAX = 64;
const READ_BYTES_MAX = 128 * 1024;
const NAMES_A_REPLY = 64;

/** What OpenSSH's sftp-server announces and the backup needs. ssh2's own SFTP server cannot announce extensions, hence this one. */
export const EXTENSIONS: readonly (readonly [string, string])[] = [
  ['posix-rename@openssh.com', '1'],
  ['fsync@openssh.com', '1'],
  ['statvfs@openssh.com', '2'],
];

interface OpenFile {
  readonly file: FileHandle;
  readonly append: boolean;
}
interface OpenDirectory {
  readonly path: string;
  /** Read as it is asked for: its names are nowhere all at once. */
  readonly names: Dir;
}

/**
 * One client's SFTP session (version 3) on an SSH channel, confined to `root`. Ends with the channel; a malformed packet ends the channel. A client that does not read its replies is not
 * served on: what is held for it is what the channel takes before it asks to wait, and the replies of REQUESTS_IN_FLIGHT_MAX requests. behind: what the channel writes to, when that asks to
 * wait as well (the window of an SSH channel is the client's word).
 */
export async function serveSftp(channel: Duplex, root: string, extensions = EXTENSIONS, behind?: Writable): Promise<void> {
  const session = new SftpServerSession(channel, new PathJail(root), extensions);
  const splitter = new PacketSplitter();
  try {
    for await (const chunk of channel) {
      for (const packet of splitter.push(chunk as Buffer)) {
        await taken(channel);
        if (behind !== undefined) await taken(behind);
        await session.accept(packet);
      }
    }
  } catch (error) {
    if (!(error instanceof MalformedPacket) && !channel.destroyed) channel.destroy();
  } finally {
    await session.end();
    channel.end();
  }
}

/** Resolves when the stream takes more, or never will. */
function taken(stream: Writable): Promise<void> | undefined {
  if (!stream.writableNeedDrain || stream.destroyed) return undefined;
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'error', 'finish'];
    const over = (): void => {
      for (const event of events) stream.off(event, over);
      resolve();
    };
    for (const event of events) stream.on(event, over);
  });
}

class SftpServerSession {
  readonly #extensions: typeof EXTENSIONS;
  readonly #channel: Duplex;
  readonly #jail: PathJail;
  readonly #files = new Map<number, OpenFile | OpenDirectory>();
  readonly #running = new Set<Promise<void>>();
  #nextHandle = 1;
  #greeted = false;

  constructor(channel: Duplex, jail: PathJail, extensions: typeof EXTENSIONS) {
    this.#extensions = extensions;
    this.#channel = channel;
    this.#jail = jail;
  }

  /** Starts the request; waits only when too many are under way. Throws MalformedPacket. */
  async accept(packet: Buffer): Promise<void> {
    const reader = new PacketReader(packet);
    const type = reader.u8();
    if (!this.#greeted) {
      if (type !== REQUEST.init) throw new MalformedPacket(`a packet of type ${type} before the greeting`);
      this.#greeted = true;
      const version = new PacketWriter(RESPONSE.version).u32(3);
      for (const [name, data] of this.#extensions) version.text(name).text(data);
      this.#send(version);
      return;
    }
    const id = reader.u32();
    const request = this.#run(type, id, reader).finally(() => this.#running.delete(request));
    this.#running.add(request);
    while (this.#running.size >= REQUESTS_IN_FLIGHT_MAX) await Promise.race(this.#running);
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.#running);
    for (const open of this.#files.values()) await ('file' in open ? open.file : open.names).close().catch(() => undefined);
    this.#files.clear();
  }

  async #run(type: number, id: number, reader: PacketReader): Promise<void> {
    try {
      await this.#handle(type, id, reader);
    } catch (error) {
      this.#status(id, statusOf(error), error instanceof Error ? error.message : String(error));
    }
  }

  async #handle(type: number, id: number, reader: PacketReader): Promise<void> {
    switch (type) {
      case REQUEST.open:
        return this.#open(id, reader.text(), reader.u32());
      case REQUEST.close:
        return this.#close(id, reader.blob());
      case REQUEST.read:
        return this.#read(id, this.#file(reader.blob()), reader.u64(), reader.u32());
      case REQUEST.write:
        return this.#write(id, this.#file(reader.blob()), reader.u64(), reader.blob());
      case REQUEST.stat:
      case REQUEST.lstat:
        return this.#attributes(id, await lstat(await this.#jail.resolve(reader.text())));
      case REQUEST.fstat:
        return this.#attributes(id, await this.#file(reader.blob()).file.stat());
      case REQUEST.setstat:
      case REQUEST.fsetstat:
        // Modes and times are this server's business; a client that sets them after an upload is not refused for it.
        return this.#status(id, STATUS.ok, '');
      case REQUEST.opendir:
        return this.#openDirectory(id, await this.#jail.resolve(reader.text()));
      case REQUEST.readdir:
        return this.#readDirectory(id, reader.blob());
      case REQUEST.remove:
        await rm(await this.#jail.resolve(reader.text()));
        return this.#status(id, STATUS.ok, '');
      case REQUEST.mkdir:
        await mkdir(await this.#jail.resolve(reader.text()), { mode: 0o700 });
        return this.#status(id, STATUS.ok, '');
      case REQUEST.rmdir:
        await rmdir(await this.#jail.resolve(reader.text()));
        return this.#status(id, STATUS.ok, '');
      case REQUEST.realpath:
        return this.#send(new PacketWriter(RESPONSE.name).u32(id).u32(1).text(this.#jail.virtual(reader.text())).text('').u32(0));
      case REQUEST.rename:
        return this.#rename(id, reader.text(), reader.text(), false);
      case REQUEST.extended:
        return this.#extended(id, reader.text(), reader);
      default:
        return this.#status(id, STATUS.unsupported, `request ${type}`);
    }
  }

  async #extended(id: number, name: string, reader: PacketReader): Promise<void> {
    if (!this.#extensions.some(([known]) => known === name)) return this.#status(id, STATUS.unsupported, name);
    if (name === 'posix-rename@openssh.com') return this.#rename(id, reader.text(), reader.text(), true);
    if (name === 'fsync@openssh.com') {
      await this.#file(reader.blob()).file.sync();
      return this.#status(id, STATUS.ok, '');
    }
    if (name === 'statvfs@openssh.com') {
      const found = await statfs(await this.#jail.resolve(reader.text()));
      const fields = [found.bsize, found.bsize, found.blocks, found.bfree, found.bavail, found.files, found.ffree, found.ffree, 0, 0, 255];
      const reply = new PacketWriter(RESPONSE.extended).u32(id);
      for (const field of fields) reply.u64(field);
      return this.#send(reply);
    }
    return this.#status(id, STATUS.unsupported, name);
  }

  async #open(id: number, path: string, flags: number): Promise<void> {
    const real = await this.#jail.resolve(path);
    if (this.#files.size >= HANDLES_MAX) return this.#status(id, STATUS.failure, `${HANDLES_MAX} handles are open`);
    const writes = (flags & OPEN_FLAG.write) !== 0;
    let mode: number = writes ? ((flags & OPEN_FLAG.read) !== 0 ? constants.O_RDWR : constants.O_WRONLY) : constants.O_RDONLY;
    if ((flags & OPEN_FLAG.create) !== 0) mode |= constants.O_CREAT;
    if ((flags & OPEN_FLAG.truncate) !== 0) mode |= constants.O_TRUNC;
    if ((flags & OPEN_FLAG.exclusive) !== 0) mode |= constants.O_EXCL;
    const file = await open(real, mode | constants.O_NOFOLLOW, 0o600);
    this.#handleReply(id, { file, append: (flags & OPEN_FLAG.append) !== 0 });
  }

  async #close(id: number, blob: Buffer): Promise<void> {
    const key = handleKey(blob);
    const found = this.#files.get(key);
    if (found === undefined) return this.#status(id, STATUS.failure, 'no such handle');
    this.#files.delete(key);
    await ('file' in found ? found.file : found.names).close();
    this.#status(id, STATUS.ok, '');
  }

  async #read(id: number, open: OpenFile, offset: number, length: number): Promise<void> {
    const buffer = Buffer.allocUnsafe(Math.min(length, READ_BYTES_MAX));
    const { bytesRead } = await open.file.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0 && buffer.length > 0) return this.#status(id, STATUS.eof, 'end of file');
    this.#send(new PacketWriter(RESPONSE.data).u32(id).blob(buffer.subarray(0, bytesRead)));
  }

  async #write(id: number, open: OpenFile, offset: number, data: Buffer): Promise<void> {
    if (open.append) return this.#status(id, STATUS.unsupported, 'append');
    let done = 0;
    while (done < data.length) done += (await open.file.write(data, done, data.length - done, offset + done)).bytesWritten;
    this.#status(id, STATUS.ok, '');
  }

  async #rename(id: number, from: string, to: string, replace: boolean): Promise<void> {
    const source = await this.#jail.resolve(from);
    const destination = await this.#jail.resolve(to);
    if (!replace && (await lstat(destination).catch(() => null)) !== null) return this.#status(id, STATUS.failure, 'the new name exists');
    await rename(source, destination);
    this.#status(id, STATUS.ok, '');
  }

  async #openDirectory(id: number, path: string): Promise<void> {
    if (this.#files.size >= HANDLES_MAX) return this.#status(id, STATUS.failure, `${HANDLES_MAX} handles are open`);
    this.#handleReply(id, { path, names: await opendir(path, { bufferSize: NAMES_A_REPLY }) });
  }

  async #readDirectory(id: number, blob: Buffer): Promise<void> {
    const directory = this.#files.get(handleKey(blob));
    if (directory === undefined || 'file' in directory) return this.#status(id, STATUS.failure, 'not a directory handle');
    const found: { readonly name: string; readonly stats: Stats }[] = [];
    while (found.length < NAMES_A_REPLY) {
      const name = (await directory.names.read())?.name;
      if (name === undefined) break;
      const stats = await lstat(`${directory.path}/${name}`).catch(() => null);
      if (stats !== null) found.push({ name, stats });
    }
    if (found.length === 0) return this.#status(id, STATUS.eof, 'end of directory');
    const reply = new PacketWriter(RESPONSE.name).u32(id).u32(found.length);
    for (const { name, stats } of found) appendAttributes(reply.text(name).text(name), stats);
    this.#send(reply);
  }

  #file(blob: Buffer): OpenFile {
    const found = this.#files.get(handleKey(blob));
    if (found === undefined || !('file' in found)) throw new Error('no such file handle');
    return found;
  }

  #handleReply(id: number, open: OpenFile | OpenDirectory): void {
    const key = this.#nextHandle++;
    this.#files.set(key, open);
    const handle = Buffer.alloc(4);
    handle.writeUInt32BE(key);
    this.#send(new PacketWriter(RESPONSE.handle).u32(id).blob(handle));
  }

  #attributes(id: number, stats: Stats): void {
    const reply = new PacketWriter(RESPONSE.attrs).u32(id);
    appendAttributes(reply, stats);
    this.#send(reply);
  }

  #status(id: number, code: number, message: string): void {
    this.#send(new PacketWriter(RESPONSE.status).u32(id).u32(code).text(message).text(''));
  }

  #send(packet: PacketWriter): void {
    if (!this.#channel.destroyed && this.#channel.writable) this.#channel.write(packet.finish());
  }
}

/** Size, owner, mode and times: flags 1 | 2 | 4 | 8. */
function appendAttributes(reply: PacketWriter, stats: Stats): void {
  const time = (ms: number): number => Math.floor(ms / 1000);
  reply.u32(15).u64(stats.size).u32(stats.uid).u32(stats.gid).u32(stats.mode).u32(time(stats.atimeMs)).u32(time(stats.mtimeMs));
}

function handleKey(blob: Buffer): number {
  return blob.length === 4 ? blob.readUInt32BE(0) : 0;
}

function statusOf(error: unknown): number {
  if (error instanceof JailRefusal) return STATUS.permissionDenied;
  if (error instanceof MalformedPacket) return STATUS.badMessage;
  const code = error instanceof Error && 'code' in error ? error.code : '';
  if (code === 'ENOENT' || code === 'ENOTDIR') return STATUS.noSuchFile;
  if (code === 'EACCES' || code === 'EPERM' || code === 'ELOOP' || code === 'EROFS') return STATUS.permissionDenied;
  return STATUS.failure;
}
