/**
 * npm run bench:volume [-- --json] [--quick] [--rounds N] [--seconds S] [--no-peers]
 *
 * Six loop devices over tmpfs (4+2, 64 KiB chunks) and two for the journal (2 copies), served over a unix socket and driven by fio; in the same run
 * btrfs raid6 on the same six devices and qemu-nbd on one. Each round starts from zeroed devices and takes them in turn; figures are medians over the rounds.
 * Needs root, fio, btrfs-progs, qemu-utils, openssh-server and about 6 GiB of memory (--quick: 1.5 GiB).
 */
import { parseArgs } from 'node:util';
import { MIB } from '../src/base/units.js';
import { loopDevice, loopDevices } from '../test/system/rig/loop-device.js';
import { OpensshServer } from '../test/system/rig/openssh-server.js';
import { Scratch } from '../test/system/rig/scratch.js';
import { type Bench, benchRecoveryAndDrain, benchVolumeAndRebuild } from './volume/keelson.js';
import { benchBtrfs, benchQemuNbd } from './volume/peers.js';
import { medians, table, type VolumeResult } from './volume/result.js';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: true },
    keelson: { type: 'boolean', default: true },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
  allowNegative: true,
});

const size = values.quick
  ? { memberBytes: 192 * MIB, ringBytes: 128 * MIB, bytes: 384 * MIB, seconds: 2, rounds: 1, slabBytes: 192 * MIB }
  : { memberBytes: 512 * MIB, ringBytes: 1024 * MIB, bytes: 1024 * MIB, seconds: 8, rounds: 3, slabBytes: 256 * MIB };
const rounds = Number(values.rounds ?? size.rounds);
const plan = { bytes: size.bytes, seconds: Number(values.seconds ?? size.seconds) };
/** What a journal member has beside the ring: superblocks and checkpoints. */
const JOURNAL_EXTRA_BYTES = 32 * MIB;

function progress(text: string): void {
  if (process.stderr.isTTY || !values.json) process.stderr.write(`${text}\n`);
}

const scratch = new Scratch();
try {
  const stripe = await loopDevices(scratch, 6, size.memberBytes);
  const bench: Bench = {
    scratch,
    stripe,
    spare: await loopDevice(scratch, size.memberBytes),
    journal: await loopDevices(scratch, 2, size.ringBytes + JOURNAL_EXTRA_BYTES),
    ringBytes: size.ringBytes,
    slabBytes: size.slabBytes,
  };
  const results: VolumeResult[] = [];
  for (let round = 1; round <= rounds; round++) {
    if (values.keelson) {
      progress(`round ${round} of ${rounds}: keelson`);
      results.push(...(await benchVolumeAndRebuild(bench, plan)));
    }
    if (values.peers) {
      progress(`round ${round} of ${rounds}: btrfs raid6`);
      results.push(...(await benchBtrfs(scratch, stripe, bench.spare, plan)));
      progress(`round ${round} of ${rounds}: qemu-nbd`);
      results.push(...(await benchQemuNbd(scratch, stripe[0] ?? bench.spare, plan)));
    }
  }
  if (values.keelson) {
    const sshd = await OpensshServer.start(scratch);
    for (let round = 1; round <= rounds; round++) {
      progress(`round ${round} of ${rounds}: recovery and drain`);
      results.push(...(await benchRecoveryAndDrain(bench, sshd)));
    }
  }
  const summary = medians(results);
  process.stdout.write(values.json ? `${JSON.stringify({ results: summary })}\n` : `${table(summary)}\n`);
} finally {
  scratch.close();
}
