/**
 * npm run demo [-- --seed N]
 *
 * The whole story with figures, in well under two minutes: a volume is filled over NBD, three of its six stripe members are destroyed while an application keeps
 * writing, everything is read back, rebuilt and read back again; then all members are destroyed, and the backup alone gives the volume back. Every step goes through
 * the command line and a real server process, which is killed with SIGKILL. Needs neither root nor any installed program, and works in a temporary folder.
 * Ends with 1 when a single block is not what it must be.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { seededRandom } from '../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../src/base/units.js';
import { bytesText } from '../src/base/quantity-text.js';
import { ControlClient } from '../src/control/control-client.js';
import type { RebuildPlan, RebuildStatus } from '../src/control/status.js';
import { type ArrayOptions, ArrayRig } from '../test/system/rig/array.js';
import type { KeelsonProcess } from '../test/system/rig/keelson-process.js';
import { Scratch } from '../test/system/rig/scratch.js';
import { ContentModel } from './demo/content-model.js';
import { makeImage } from './demo/image.js';
import { checkAll, copyIn, Writer } from './demo/nbd-load.js';
import { countOf, rateOf, Report, secondsOf } from './demo/report.js';

const MEMBER_MIB = 128;
const IMAGE_BYTES = 256 * MIB;
/** Stripe members that are destroyed: one more than the parity of 4+2 covers. */
const VICTIMS = [1, 3, 4] as const;
/** How long the application goes on between the events. */
const WRITING_MS = 2000;
/** After the last chapter's writes began, the whole array is lost. */
const LAST_WRITING_MS = 6000;
/** The whole story takes well under two minutes; when it says nothing for so long something hangs, and that is a failure. */
const SILENT_SECONDS_MAX = 200;
const ANSWER_MS = 5000;
/** Of the server's log, when something went wrong. */
const LOG_SHOWN_BYTES = 4000;

const { values } = parseArgs({ options: { seed: { type: 'string' } } });
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const report = new Report();
const scratch = new Scratch();
/** All that were started: they end with the demonstration, however that ends. */
const running: KeelsonProcess[] = [];

async function serve(array: ArrayRig): Promise<KeelsonProcess> {
  const server = array.spawn();
  running.push(server);
  return server.ready();
}

async function timed<T>(work: Promise<T>): Promise<{ readonly seconds: number; readonly value: T }> {
  const start = performance.now();
  const value = await work;
  return { seconds: (performance.now() - start) / 1000, value };
}

/** Every byte of the file becomes noise, as if the device had been overwritten; its name stays. */
function destroy(file: string): void {
  const noise = Buffer.alloc(MIB);
  seededRandom(seed).fill(noise);
  const descriptor = openSync(file, 'r+');
  const { size } = fstatSync(descriptor);
  for (let at = 0; at < size; at += MIB) writeSync(descriptor, noise, 0, Math.min(MIB, size - at), at);
  closeSync(descriptor);
}

async function verify(array: ArrayRig, model: ContentModel, when: string): Promise<void> {
  const { bytes, seconds, wrong } = await checkAll(`unix:${array.socket}`, model);
  const rate = `${bytesText(bytes)} read in ${secondsOf(seconds)}, ${rateOf(bytes, seconds)}`;
  report.must(
    'verified',
    wrong.length === 0,
    wrong.length === 0
      ? `${when}: ${rate}, every block as written`
      : `${when}: ${countOf(wrong.length)} blocks differ, the first is ${wrong[0]}`,
  );
}

function survives(devices: number): string {
  return `survives ${devices} more device ${devices === 1 ? 'loss' : 'losses'}`;
}

async function showState(array: ArrayRig): Promise<void> {
  const { state, tolerance, drain } = await array.status();
  report.line('status', `${state}; ${survives(tolerance.devices)}; ${bytesText(drain.undrainedBytes)} not yet on the backup`);
}

/** 1. An array is made and filled. */
async function fill(array: ArrayRig): Promise<{ server: KeelsonProcess; model: ContentModel }> {
  report.chapter('1. Six stripe members (4 data + 2 parity), two journal members, a backup host behind SFTP');
  const made = await timed(array.create());
  report.line('create', `${secondsOf(made.seconds)}: superblocks only, whatever the size`);
  const started = await timed(serve(array));
  const { volume } = await array.status();
  report.line('serve', `${secondsOf(started.seconds)}: a volume of ${bytesText(volume.bytes)} at ${array.uri}`);
  const model = new ContentModel(volume.bytes / BLOCK_BYTES);
  const file = scratch.path('image');
  const image = makeImage(file, IMAGE_BYTES, fileURLToPath(new URL('../../node_modules', import.meta.url)));
  const address = `unix:${array.socket}`;
  const copied = await timed(copyIn(address, file, IMAGE_BYTES, model));
  rmSync(file);
  report.line(
    'written',
    `${image.kind} with ${countOf(image.files)} files: ${bytesText(IMAGE_BYTES)} in ${secondsOf(copied.seconds)}, ${rateOf(IMAGE_BYTES, copied.seconds)}, flushed`,
  );
  await verify(array, model, 'healthy');
  await showState(array);
  return { server: started.value, model };
}

/** 2. More members are destroyed than the parity covers, while writes go on. */
async function loseThree(array: ArrayRig, model: ContentModel, writer: Writer): Promise<void> {
  report.chapter(`2. An application keeps writing; stripe members ${VICTIMS.join(', ')} are destroyed, one more than the parity covers`);
  await writer.start();
  await delay(WRITING_MS);
  for (const victim of VICTIMS) {
    await array.must(['fail', String(victim)]);
    destroy(array.options.stripeMembers[victim] as string);
    const { state, tolerance } = await array.status();
    report.line(`fail ${victim}`, `overwritten; ${state}; ${survives(tolerance.devices)}`);
  }
  await delay(WRITING_MS);
  await verify(array, model, 'three lost, online');
  const plan = JSON.parse(await array.must(['rebuild', '--plan', '--json'])) as RebuildPlan;
  const { survivor, parity, journal, backup } = plan.bytes;
  report.line(
    'plan',
    `of the stripes' data survivors have ${bytesText(survivor)}, parity gives ${bytesText(parity)}, the journal ${bytesText(journal)}, the backup ${bytesText(backup)}`,
  );
}

/** 3. New members take their places. */
async function rebuild(array: ArrayRig, model: ContentModel, writer: Writer): Promise<void> {
  report.chapter('3. New members take their places, and the application still writes');
  const members = [...array.options.stripeMembers];
  for (const victim of VICTIMS) {
    const device = scratch.path(`new-member${victim}.img`);
    const { seconds, value } = await timed(array.must(['replace', String(victim), device, '--json']));
    const done = JSON.parse(value.trim().split('\n').at(-1) ?? '{}') as RebuildStatus;
    rmSync(members[victim] as string);
    members[victim] = device;
    report.line(
      `replace ${victim}`,
      `${bytesText(done.doneBytes)} in ${secondsOf(seconds)}: from survivors and parity ${bytesText(done.fromParity)}, journal ${bytesText(done.fromJournal)}, backup ${bytesText(done.fromBackup)}`,
    );
  }
  array.configure({ ...array.options, stripeMembers: members });
  await writer.stop();
  report.line(
    'writer',
    `${countOf(writer.writes)} writes of 4 KiB since chapter 2, none failed; the slowest round of 32 took ${secondsOf(writer.slowest_ms / 1000)}`,
  );
  await verify(array, model, 'rebuilt');
  const { state } = await array.status();
  report.must('state', state === 'online', state);
}

interface Loss {
  /** LSN of the last write before the mark of the model. */
  readonly baseLsn: number;
  /** Already on the backup when it was last asked, so it must come back. */
  readonly drainedLsn: number;
  readonly acknowledged: number;
}

/** 4. The server is killed and every member destroyed, in the middle of writing. */
async function loseEverything(array: ArrayRig, model: ContentModel, writer: Writer, server: KeelsonProcess): Promise<Loss> {
  report.chapter('4. The application writes on; then the server is killed and all eight members are destroyed');
  await array.must(['flush']);
  const baseLsn = (await array.status()).journal.headLsn;
  model.mark();
  const before = writer.writes;
  await writer.start();
  await delay(LAST_WRITING_MS);
  const { drain } = await array.status();
  const killed = server.kill();
  await writer.abandon();
  await killed;
  for (const file of [...array.options.stripeMembers, ...(array.options.journalMembers ?? [])]) rmSync(file);
  report.line(
    'kill -9',
    `after ${countOf(writer.writes - before)} more writes; status had just said: ${bytesText(drain.undrainedBytes)} not yet on the backup`,
  );
  return { baseLsn, drainedLsn: drain.drainedLsn, acknowledged: writer.writes - before };
}

/** 5. The backup gives it all back, up to the drained LSN. */
async function restore(array: ArrayRig, model: ContentModel, loss: Loss): Promise<void> {
  report.chapter('5. Everything from the backup, onto new members');
  const { seconds, value } = await timed(array.must(['restore', '--json']));
  const { lsn, restoredBytes } = JSON.parse(value.trim().split('\n').at(-1) ?? '{}') as { lsn: number; restoredBytes: number };
  report.line(
    'restore',
    `${bytesText(restoredBytes)} in ${secondsOf(seconds)}, ${rateOf(restoredBytes, seconds)}: the volume at LSN ${lsn}`,
  );
  const restoredWrites = lsn - loss.baseLsn;
  const lost = Math.max(0, loss.acknowledged - restoredWrites);
  report.must(
    'point',
    lsn >= loss.drainedLsn && restoredWrites >= 0,
    `what was drained is there (LSN ${loss.drainedLsn} and more); the last ${countOf(lost)} writes, ${bytesText(lost * BLOCK_BYTES)}, were not yet drained and are lost`,
  );
  const server = await serve(array);
  await verify(array, model.asOf(Math.max(0, restoredWrites)), `exactly LSN ${lsn}, nothing older or newer`);
  await showState(array);
  await server.stop();
}

async function story(): Promise<void> {
  const member = (name: string): string => scratch.path(`${name}.img`);
  const options: ArrayOptions = {
    name: 'demo',
    stripeMembers: Array.from({ length: 6 }, (_, index) => member(`member${index}`)),
    journalMembers: [member('journal0'), member('journal1')],
    memberSize: `${MEMBER_MIB}MiB`,
    journalSize: '96MiB',
    segment: '2MiB',
    backup: { url: 'embedded' },
    // Not at once when degraded, as one would have it: then the journal would have nothing to give.
    drain: { maxAge: '4s', onDegraded: false },
    slab: '160MiB',
  };
  const array = new ArrayRig(scratch, options);
  report.plain(`Keelson keeps every write twice until it is safe on a backup host. Working in ${scratch.folder}; seed ${seed}.`);
  const { server, model } = await fill(array);
  const imageBlocks = IMAGE_BYTES / BLOCK_BYTES;
  const writer = new Writer(`unix:${array.socket}`, model, { first: imageBlocks, count: model.blocks - imageBlocks }, seed);
  await loseThree(array, model, writer);
  await rebuild(array, model, writer);
  const loss = await loseEverything(array, model, writer, server);
  await restore(array, model, loss);
}

/** Resolves only when the story hangs: with what the array says of itself then. */
async function hangs(): Promise<never> {
  for (let left_s = SILENT_SECONDS_MAX; left_s > 0; left_s = SILENT_SECONDS_MAX - report.silentSeconds)
    await delay(left_s * 1000, undefined, { ref: false });
  // It may not even answer.
  const answer = new ControlClient(scratch.path('keelson.ctl')).status().catch(() => 'refused');
  const status = await Promise.race([answer, delay(ANSWER_MS, 'no answer')]);
  throw new Error(`no progress for ${SILENT_SECONDS_MAX} s; status: ${JSON.stringify(status, null, 1)}`);
}

try {
  await Promise.race([story(), hangs()]);
} catch (error) {
  report.failures++;
  report.plain(`\n${error instanceof Error ? error.message : String(error)}`);
}
const log = scratch.path('keelson.toml.log');
if (report.failures > 0 && existsSync(log))
  report.plain(`\nthe server's last words:\n${readFileSync(log, 'utf8').slice(-LOG_SHOWN_BYTES)}`);
for (const server of running) await server.kill();
scratch.close();
report.plain(
  report.failures === 0
    ? `\nNothing differed. ${secondsOf(report.seconds)} in all.`
    : `\n${report.failures} things were wrong (seed ${seed}).`,
);
process.exit(report.failures === 0 ? 0 : 1);
