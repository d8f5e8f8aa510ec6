import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { systemClock } from '../base/clock.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import { passphraseIn } from '../base/secrets.js';
import type { BackupSettings, BackupTarget, Settings } from '../config/settings.js';
import type { DeviceProvider } from '../device/device.js';
import { createDeviceProvider } from '../device/provider.js';
import { createBackupClient } from '../drain/backup-client.js';
import { arrayControl } from '../engine/array-control.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { arrayFigures } from '../engine/array-figures.js';
import { assembleArray } from '../engine/assemble.js';
import { attachBackup } from '../engine/backup-attach.js';
import { createArray, planNewArray } from '../engine/create.js';
import type { EngineLog } from '../engine/log.js';
import { restoreArray } from '../engine/restore-array.js';
import { wipeDevice } from '../engine/wipe-device.js';
import { type Inspection, inspectDevice } from '../member/inspect.js';
import { hostMemory } from '../memory/host-memory.js';
import { Slab } from '../memory/slab.js';
import { slabRegion } from '../memory/slab-region.js';
import { nbdFigures } from '../nbd/figures.js';
import { NbdServer } from '../nbd/server.js';
import type { EmbeddedServer } from '../backup-host/embedded-server.js';
import type { Backup } from '../repository/backup.js';
import { type BackupTrial, tryRepository } from '../repository/trial.js';
import { targetFor } from '../target/open-target.js';
import type { SftpCredentials } from '../target/sftp/sftp-session.js';
import type { BackupContact, EnginePort, RunningArray } from './engine-port.js';
import { bytesText } from '../base/quantity-text.js';

const INSPECT_SLAB_BYTES = 8 * 1024 * 1024;
/** As often as the server tells the progress of its work. */
const PROGRESS_MS = 250;

/** Where the command line meets the engine: real devices, real threads, the real clock. Loaded only by the verbs that need it. devices: of the served array. */
export async function loadEngine(devices: (slab: Slab) => DeviceProvider = createDeviceProvider): Promise<EnginePort> {
  return {
    createArray: (settings, options) =>
      createArray({ settings, ...options, clock: systemClock, provider: createDeviceProvider, memory: hostMemory() }),
    tryBackup,
    planArray: (settings) => planNewArray({ settings, provider: createDeviceProvider, memory: hostMemory() }),
    openArray: (settings, { log }) => openArray(settings, log, devices),
    restoreArray: restore,
    inspectDevice: inspect,
    wipeDevice: wipe,
  };
}

/** '' = not encrypted. The configuration looked at the file, which may be another one now. */
function passphraseOf({ passphraseFile }: BackupSettings): string {
  if (passphraseFile === null) return '';
  const passphrase = passphraseIn(passphraseFile);
  if (passphrase !== '') return passphrase;
  throw new KeelsonError('BACKUP_PASSPHRASE', 'the passphrase of the backup is empty', {
    found: `${passphraseFile}, which holds no passphrase`,
    expected: 'the passphrase that encrypts the repository',
    action: 'correct the file named by backup.passphraseFile',
    exit: EXIT.usage,
  });
}

function credentialsOf(target: BackupTarget): SftpCredentials {
  return target.kind === 'sftp' ? target : { identity: '', knownHosts: '' };
}

const tryBackup: EnginePort['tryBackup'] = async ({ backup }, { write, signal }): Promise<BackupTrial | null> => {
  if (backup === null) return null;
  const { target } = backup;
  // The demonstration's host is a thread of the server, over this directory.
  const asked = targetFor(target.kind === 'embedded' ? pathToFileURL(target.path).href : target.url, credentialsOf(target));
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  try {
    return await Promise.race([tryRepository(asked, passphraseOf(backup), write), aborted]);
  } finally {
    await asked.close();
  }
};

/** The backup as configured, and the demonstration's server where that is the target. */
async function openBackup(settings: BackupSettings): Promise<{ make: (slab: Slab) => Backup; server: EmbeddedServer | null }> {
  const { target, compression } = settings;
  const passphrase = passphraseOf(settings);
  if (target.kind !== 'embedded') {
    const ssh = credentialsOf(target);
    return { make: (slab) => createBackupClient({ slab, url: target.url, ...ssh, compression, passphrase }), server: null };
  }
  // Here, because it loads ssh2, which no other array needs on this thread.
  const { startEmbeddedServer } = await import('../backup-host/embedded-server.js');
  const server = await startEmbeddedServer({ directory: target.path, keys: join(dirname(target.path), 'backup-keys') });
  const { url, identity, knownHosts } = server;
  return { make: (slab) => createBackupClient({ slab, url, identity, knownHosts, compression, passphrase }), server };
}

async function openArray(settings: Settings, log: EngineLog, devices: (slab: Slab) => DeviceProvider): Promise<RunningArray> {
  const engine = await assembleArray({ settings, clock: systemClock, log, provider: devices, memory: hostMemory() });
  let server: EmbeddedServer | null = null;
  let nbd: NbdServer | null = null;
  try {
    if (settings.backup !== null) {
      const opened = await openBackup(settings.backup);
      server = opened.server;
      attachBackup(engine, opened.make(engine.parts.slab));
    }
    engine.start();
    nbd = await NbdServer.start({
      volume: engine.volume,
      addresses: settings.export.nbd.map((address) =>
        address.kind === 'unix'
          ? `unix:${address.path}`
          : `tcp:${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`,
      ),
      onFault: (reason) => log.warn({ reason }, 'a client broke the protocol; its connection is closed'),
    });
  } catch (error) {
    await nbd?.close();
    await engine.stop();
    await server?.close();
    throw error;
  }
  const exported = nbd;
  const embedded = server;
  const control = arrayControl(engine);
  return {
    control: { ...control, figures: () => [...arrayFigures(engine), ...nbdFigures(exported.gauges())] },
    uris: exported.uris(),
    backup: firstContact(engine),
    fatal: engine.fatal,
    close: async () => {
      engine.beginStop();
      await exported.close();
      await engine.stop();
      await embedded?.close();
    },
  };
}

/** null: there is no backup. Never settles when the array is closed before the host answered. */
function firstContact(engine: ArrayEngine): Promise<BackupContact> | null {
  const { link } = engine;
  if (link === null) return null;
  return link.firstAttempt.then((error) => ({
    target: link.backup.target,
    reached: error === null,
    lsn: link.state?.headLsn ?? null,
    headLsn: engine.journal.nextLsn - 1,
    error: error?.toRecord() ?? null,
  }));
}

const restore: EnginePort['restoreArray'] = async (settings: Settings, options) => {
  if (settings.backup === null) {
    throw new KeelsonError('DRAIN_NO_TARGET', 'there is no backup to restore from', {
      found: 'no [backup] in the configuration',
      action: 'set backup.url',
      exit: EXIT.usage,
    });
  }
  const { make, server } = await openBackup(settings.backup);
  let told_ms = Number.NEGATIVE_INFINITY;
  try {
    return await restoreArray({
      settings,
      lookAgain: true,
      force: options.force,
      signal: options.signal,
      clock: systemClock,
      log: options.log,
      provider: createDeviceProvider,
      backup: make,
      onProgress: (doneBytes, totalBytes) => {
        const now_ms = systemClock.now();
        if (doneBytes < totalBytes && now_ms - told_ms < PROGRESS_MS) return;
        told_ms = now_ms;
        options.onProgress({ task: 'restore', doneBytes, totalBytes });
      },
    });
  } finally {
    await server?.close();
  }
};

const inspect: EnginePort['inspectDevice'] = async (path) => {
  const slab = Slab.allocate(INSPECT_SLAB_BYTES);
  const provider = createDeviceProvider(slab);
  try {
    const device = await provider.open(path, { exclusive: false, readOnly: true });
    try {
      const inspection = await inspectDevice(device, slabRegion(slab, 0, INSPECT_SLAB_BYTES));
      refuseForeign({ ...inspection, path });
      const { path: _, ...report } = inspection;
      return { path, ...(report as object) };
    } finally {
      await device.close();
    }
  } finally {
    await provider.close();
  }
};

/** Of what is no member there is nothing to report but what it is; one whose superblocks are damaged is reported as far as it can be read. */
function refuseForeign({ path, sizeBytes, holds, superblock, superblockCopies }: Inspection): void {
  if (superblock !== null || superblockCopies.some(({ error }) => error?.code !== 'SUPERBLOCK_ABSENT')) return;
  throw new KeelsonError('NOT_A_MEMBER', `${path} is no member of an array`, {
    found: `${holds ?? 'nothing that is recognised'} on ${bytesText(sizeBytes)}`,
    expected: 'a superblock of Keelson',
  });
}

const wipe: EnginePort['wipeDevice'] = async (path, approve) => {
  const slab = Slab.allocate(INSPECT_SLAB_BYTES);
  const provider = createDeviceProvider(slab);
  try {
    return await wipeDevice(provider, path, slabRegion(slab, 0, INSPECT_SLAB_BYTES), approve);
  } finally {
    await provider.close();
  }
};
