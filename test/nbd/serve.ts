import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { NbdServer, type NbdServerOptions } from '../../src/nbd/server.js';
import { ManualClock } from './manual-clock.js';
import { NbdError } from './nbd-client.js';
import { RamVolume, type RamVolumeOptions } from './ram-volume.js';

export interface Served {
  readonly server: NbdServer;
  readonly volume: RamVolume;
  /** The unix address, as an option of the server. */
  readonly address: string;
  readonly path: string;
  readonly faults: string[];
  readonly bugs: unknown[];
}

/** A directory of the test's own, removed at its end. */
export function scratch(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'keelson-nbd-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * Serves a RAM volume on a unix socket until the test ends; then every payload must have been released and nothing be in flight. Time stands still, unless a clock is
 * given: deadlines are for peers that hang, not for a slow machine.
 */
export async function serve(
  t: ExecutionContext,
  volumeOptions: RamVolumeOptions = {},
  options: Partial<NbdServerOptions> = {},
): Promise<Served> {
  const path = join(scratch(t), 'nbd.sock');
  const volume = new RamVolume(volumeOptions);
  const address = `unix:${path}`;
  const faults: string[] = [];
  const bugs: unknown[] = [];
  const server = await NbdServer.start({
    volume,
    addresses: [address],
    onFault: (reason) => faults.push(reason),
    onBug: (error) => bugs.push(error),
    clock: new ManualClock(),
    ...options,
  });
  t.teardown(async () => {
    volume.completes = 'now';
    volume.release();
    await server.close();
    const gauges = server.gauges();
    const left = [
      volume.payloadsOut,
      gauges.connections,
      gauges.requestsInFlight,
      gauges.bytesInFlight,
      gauges.payloadBytes,
      gauges.payloadWaiters,
      gauges.pausedConnections,
    ];
    if (left.some((count) => count !== 0)) throw new Error(`left behind after the server closed: ${left.join(' ')}`);
  });
  return { server, volume, address, path, faults, bugs };
}

/** The error number an NBD request was answered with; 0 when it succeeded. */
export async function errnoOf(request: Promise<unknown>): Promise<number> {
  try {
    await request;
    return 0;
  } catch (error) {
    if (error instanceof NbdError) return error.errno;
    throw error;
  }
}

/** Waits, turn by turn, until the condition holds; the test's own timeout bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** Bytes that tell their own position, so that a misplaced block shows. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2654435761) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
