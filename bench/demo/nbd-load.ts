import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, type Bytes, MIB } from '../../src/base/units.js';
import { NbdClient } from '../../test/nbd/nbd-client.js';
import type { ContentModel } from './content-model.js';

const REQUEST_BYTES = MIB;
/** Requests in flight of a copy or a check. */
const DEPTH = 4;
const WRITER_DEPTH = 32;
/** The writer's pace: an application that keeps writing, not a benchmark that leaves no room for anything else. */
const WRITER_PAUSE_MS = 10;

/** Runs job(0) .. job(count - 1), DEPTH at a time. */
async function spread(count: number, job: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: DEPTH }, lane));
}

/** Copies a file to the front of the volume and flushes. The file is as large as whole requests. */
export async function copyIn(address: string, file: string, sizeBytes: Bytes, model: ContentModel): Promise<void> {
  const client = await NbdClient.open(address);
  const descriptor = openSync(file, 'r');
  try {
    await spread(sizeBytes / REQUEST_BYTES, async (index) => {
      const bytes = Buffer.alloc(REQUEST_BYTES);
      readSync(descriptor, bytes, 0, REQUEST_BYTES, index * REQUEST_BYTES);
      model.load((index * REQUEST_BYTES) / BLOCK_BYTES, bytes);
      await client.write(index * REQUEST_BYTES, bytes);
    });
    await client.flush();
  } finally {
    closeSync(descriptor);
    client.destroy();
  }
}

export interface Check {
  readonly bytes: Bytes;
  readonly seconds: number;
  /** Blocks whose content is not what the model says. */
  readonly wrong: readonly number[];
}

/** Reads the whole volume and compares it, block by block. Writes may go on meanwhile. Throws when a read fails. */
export async function checkAll(address: string, model: ContentModel): Promise<Check> {
  const client = await NbdClient.open(address);
  const bytes = model.blocks * BLOCK_BYTES;
  const wrong: number[] = [];
  const start = performance.now();
  model.beginCheck();
  try {
    await spread(Math.ceil(bytes / REQUEST_BYTES), async (index) => {
      const offset = index * REQUEST_BYTES;
      wrong.push(...model.wrong(offset / BLOCK_BYTES, await client.read(offset, Math.min(REQUEST_BYTES, bytes - offset))));
    });
  } finally {
    model.endCheck();
    client.destroy();
  }
  return { bytes, seconds: (performance.now() - start) / 1000, wrong };
}

/** Writes random blocks of a range, at a steady pace and over one connection, until it is stopped. */
export class Writer {
  readonly #address: string;
  readonly #model: ContentModel;
  readonly #range: { readonly first: number; readonly count: number };
  readonly #random: ReturnType<typeof seededRandom>;
  #client: NbdClient | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopping = false;
  /** Acknowledged, since the beginning. */
  writes = 0;
  /** The longest that one round of writes took. */
  slowest_ms = 0;
  /** A write that failed while the server was meant to be there. */
  failure: unknown = null;

  constructor(address: string, model: ContentModel, range: { readonly first: number; readonly count: number }, seed: number) {
    this.#address = address;
    this.#model = model;
    this.#range = range;
    this.#random = seededRandom(seed);
  }

  async start(): Promise<void> {
    this.#client = await NbdClient.open(this.#address);
    this.#stopping = false;
    this.#running = this.#run(this.#client).catch((error: unknown) => {
      this.failure ??= error;
    });
  }

  async #run(client: NbdClient): Promise<void> {
    while (!this.#stopping) {
      const start = performance.now();
      await Promise.all(Array.from({ length: WRITER_DEPTH }, () => this.#writeOne(client)));
      this.slowest_ms = Math.max(this.slowest_ms, performance.now() - start);
      await delay(WRITER_PAUSE_MS);
    }
  }

  /** One block, so that one write is one LSN. */
  async #writeOne(client: NbdClient): Promise<void> {
    let block: number;
    do block = this.#range.first + this.#random.below(this.#range.count);
    while (this.#model.isInFlight(block));
    const bytes = Buffer.alloc(BLOCK_BYTES);
    this.#random.fill(bytes);
    this.#model.sent(block, bytes);
    await client.write(block * BLOCK_BYTES, bytes);
    this.#model.acknowledged(block);
    this.writes++;
  }

  /** Resolves when every write is acknowledged. Throws what went wrong since start. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    this.#client?.destroy();
    if (this.failure !== null) throw this.failure;
  }

  /** The server is about to be killed: from here on failures are expected. */
  async abandon(): Promise<void> {
    this.#stopping = true;
    this.#client?.destroy();
    await this.#running;
    this.failure = null;
  }
}
