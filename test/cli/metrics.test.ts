import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Family, lint, readExposition } from '../control/exposition.js';
import { ROOT } from '../house/source-files.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { RealArray } from './real-server.js';

/** Names in the first column of the tables under "Metrics". */
function documented(): string[] {
  const text = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
  const section = /\n## Metrics\n([\s\S]*?)(?=\n## |$)/.exec(text)?.[1] ?? '';
  const cells = section.split('\n').map((line) => /^\|([^|]*)\|/.exec(line)?.[1] ?? '');
  return cells.flatMap((cell) => cell.match(/keelson_[a-zA-Z0-9_]+/g) ?? []);
}

async function scraped(base: string): Promise<ReadonlyMap<string, Family>> {
  return readExposition(await (await fetch(`${base}/metrics`)).text());
}

/** Of one series, its value for these labels. */
function seriesValue(families: ReadonlyMap<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined {
  const wanted = Object.entries(labels);
  return families.get(name)?.samples.find((sample) => wanted.every(([key, value]) => sample.labels[key] === value))?.value;
}

async function served(t: ExecutionContext): Promise<{ array: RealArray; base: string }> {
  const array = new RealArray(t);
  return { array, base: RealArray.pages(await array.serve(t)) };
}

/** Leaves of status that are figures, and the series that has each. '': told by a label, or by the sum of what it belongs to. */
const SERIES_OF: Readonly<Record<string, string>> = {
  'tolerance.devices': 'device_failures_tolerated',
  'volume.bytes': 'volume_bytes',
  'volume.blockBytes': 'block_bytes',
  'members.index': '',
  'members.readErrors': 'member_errors_total',
  'members.writeErrors': 'member_errors_total',
  'members.checksumErrors': 'member_errors_total',
  'members.unrepairedErrors': 'member_unrepaired_errors',
  // Whether the host answers is the drain's state.
  'drain.answeredSecondsAgo': '',
  'journal.copies': 'journal_copies',
  'journal.bytes': 'journal_bytes',
  'journal.usedBytes': 'journal_used_bytes',
  'journal.fillRatio': 'journal_fill_ratio',
  'journal.headLsn': 'journal_head_lsn',
  'journal.destagedLsn': 'destaged_lsn',
  'drain.drainedLsn': 'drained_lsn',
  'drain.undrainedBytes': 'undrained_bytes',
  'drain.oldestUndrainedSeconds': 'oldest_undrained_seconds',
  'rebuild.doneBytes': 'rebuild_done_bytes',
  'rebuild.totalBytes': 'rebuild_bytes',
  'rebuild.fromSurvivors': 'rebuild_source_bytes',
  'rebuild.fromParity': 'rebuild_source_bytes',
  'rebuild.fromJournal': 'rebuild_source_bytes',
  'rebuild.fromBackup': 'rebuild_source_bytes',
  'rebuild.secondsLeft': 'rebuild_left_seconds',
  'lost.bytes': 'lost_bytes',
  'lost.ranges.offset': '',
  'lost.ranges.length': '',
};

function numbersIn(value: unknown, path: string): string[] {
  if (typeof value === 'number') return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) =>
    numbersIn(part, Array.isArray(value) ? path : path === '' ? key : `${path}.${key}`),
  );
}

test('a real server exports every series that is documented, and none that is not; promtool would object to none', async (t) => {
  const { base } = await served(t);
  const families = await scraped(base);
  t.deepEqual([...families.keys()].sort(), documented().sort());
  t.deepEqual(lint(families), []);
});

test('every figure of status is in the metrics of a real server, with the same value', async (t) => {
  const { base, array } = await served(t);
  const client = await NbdClient.open(array.nbd);
  await client.write(0, Buffer.alloc(8192, 7));
  await client.disconnect();
  const status = JSON.parse((await array.run('status', '--json')).stdout) as Record<string, unknown>;
  const families = await scraped(base);
  for (const path of new Set(numbersIn(status, ''))) {
    const name = SERIES_OF[path];
    t.not(name, undefined, `${path} of status has no series: add it to the metrics, their table and this one`);
    if (name !== undefined && name !== '') t.true(families.has(`keelson_${name}`), name);
    const [section = '', field = ''] = path.split('.');
    const value = (status[section] as Record<string, unknown>)[field];
    if (typeof value === 'number' && name !== undefined && path !== 'drain.oldestUndrainedSeconds')
      t.is(seriesValue(families, `keelson_${name}`), value, path);
  }
  t.is(seriesValue(families, 'keelson_array_state', { state: status.state as string }), 1);
  t.is(seriesValue(families, 'keelson_alarm', { code: 'UNPROTECTED' }), 1);
  t.is(seriesValue(families, 'keelson_nbd_written_bytes_total'), 8192);
  t.is(seriesValue(families, 'keelson_written_bytes_total'), 8192);
  t.is(seriesValue(families, 'keelson_nbd_connections_total'), 1);
});
