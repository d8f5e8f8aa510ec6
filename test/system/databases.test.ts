import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { ArrayRig } from './rig/array.js';
import { attempt, type CommandResult, run } from './rig/command.js';
import { loopDevices } from './rig/loop-device.js';
import { mount, NbdDisk } from './rig/nbd-disk.js';
import { Postgres } from './rig/postgres.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';
import { YankableArray } from './rig/yankable-array.js';

const test = anyTest as TestFn<Scratch>;

/** Times that the server under the databases is killed. KEELSON_SYSTEM_CYCLES makes it a soak. */
const CYCLES = Number(process.env.KEELSON_SYSTEM_CYCLES ?? 4);
const MEMBER_BYTES = 96 * MIB;
/** mkfs.xfs wants 300 MiB, and there are two data shards. */
const XFS_MEMBER_BYTES = 176 * MIB;
const RUN_MS_MIN = 400;
const RUN_MS_MAX = 1500;
const ACCOUNTS = 64;
/** More than fit into a cycle. */
const TRANSFERS = 6000;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

/** A bank: each client moves money between accounts and writes a line into the ledger in the same transaction; what is moved sums up to nothing. */
const SCHEMA = `CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE ledger(client INTEGER NOT NULL, n INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (client, n));
CREATE INDEX ledger_body ON ledger(body);
`;
const OPEN_ACCOUNTS = Array.from({ length: ACCOUNTS }, (_, id) => `INSERT INTO account VALUES (${id}, 0);\n`).join('');

/** Transfers of one client. announce: prints a line once the transaction before it is committed; late: not before the next one has begun to write. */
function transfers(client: number, first: number, seed: number, announce: (n: number) => string, late = false): string {
  const random = seededRandom(seed ^ (client << 20) ^ first);
  const lines: string[] = [];
  for (let n = first; n < first + TRANSFERS; n++) {
    const [from, to] = [random.below(ACCOUNTS), random.below(ACCOUNTS)].sort((a, b) => a - b);
    const amount = random.below(1000);
    const body = `${random.u32().toString(16)}${'x'.repeat(random.below(400))}`;
    lines.push(`BEGIN; INSERT INTO ledger VALUES (${client}, ${n}, '${body}');`);
    if (late && n > first) lines.push(announce(n - 1));
    lines.push(
      `UPDATE account SET balance = balance - ${amount} WHERE id = ${from}; UPDATE account SET balance = balance + ${amount} WHERE id = ${to}; COMMIT;`,
    );
    if (!late) lines.push(announce(n));
  }
  return lines.join('\n');
}

/** The last transfer that was announced as committed, or `before`. */
function lastCommitted({ stdout }: CommandResult, before: number): number {
  const lines = stdout.split('\n').filter((line) => line.startsWith('committed '));
  return Math.max(before, ...lines.map((line) => Number(line.slice('committed '.length))));
}

/** A database under test, with as many clients as it takes at a time. */
interface Bank {
  readonly name: string;
  readonly clients: number;
  create(): Promise<void>;
  /** Recovers what is there. */
  open(): Promise<void>;
  load(client: number, first: number): Promise<CommandResult>;
  query(sql: string): Promise<string>;
  /** '' or what its own checker says. */
  check(): Promise<string>;
  /** Nothing of it holds the file system any more. */
  crash(): Promise<void>;
}

function postgresBank(scratch: Scratch, root: () => string): Bank {
  const postgres = new Postgres(scratch);
  const folder = (): string => join(root(), 'pg');
  return {
    name: 'PostgreSQL',
    clients: 2,
    create: async () => {
      await postgres.init(folder());
      await postgres.start(folder());
      await postgres.query(SCHEMA + OPEN_ACCOUNTS);
      await postgres.crash();
    },
    open: () => postgres.start(folder()),
    load: (client, first) => postgres.psql(transfers(client, first, SYSTEM_SEED, (n) => `\\echo committed ${n}`)),
    query: (sql) => postgres.query(sql),
    check: () => postgres.amcheck(),
    crash: () => postgres.crash(),
  };
}

function sqliteBank(root: () => string, journal: 'WAL' | 'DELETE'): Bank {
  // EXTRA: with FULL the directory is not synced, and a rollback journal that comes back takes the last transaction back.
  const settings = `.bail on\n.timeout 10000\nPRAGMA journal_mode=${journal};\nPRAGMA synchronous=EXTRA;\n`;
  const file = (): string => join(root(), `${journal}.sqlite`);
  // A line that was printed has to arrive although sqlite3 dies after it.
  const sqlite = (input: string): Promise<CommandResult> => attempt('stdbuf', ['-oL', 'sqlite3', '-batch', file()], { input });
  const query = async (sql: string): Promise<string> => {
    const { status, stdout, stderr } = await sqlite(`.bail on\n${sql};\n`);
    if (status !== 0) throw new Error(`sqlite3: ${stderr}`);
    return stdout.trim();
  };
  return {
    name: `SQLite ${journal}`,
    clients: 1,
    create: async () => {
      await query(settings + SCHEMA + OPEN_ACCOUNTS);
    },
    open: () => Promise.resolve(),
    // A rollback journal ends by the sync of a directory, and that of ext4 may say that all is well when the commit which it waits for has just failed with the disk. The next
    // transaction makes a file, which a file system that was aborted refuses.
    load: (client, first) =>
      sqlite(settings + transfers(client, first, SYSTEM_SEED, (n) => `SELECT 'committed ${n}';`, journal === 'DELETE')),
    query,
    check: async () => {
      const answer = await query('PRAGMA integrity_check');
      return answer === 'ok' ? '' : answer;
    },
    crash: () => Promise.resolve(),
  };
}

async function audit(t: ExecutionContext<Scratch>, bank: Bank, committed: readonly number[], when: string): Promise<void> {
  t.is(await bank.check(), '', `${bank.name} is sound ${when}`);
  t.is(await bank.query('SELECT sum(balance) FROM account'), '0', `${bank.name}: transactions are whole ${when}`);
  for (const [client, last] of committed.entries()) {
    const [count = 0, max = 0] = (await bank.query(`SELECT count(*), coalesce(max(n), 0) FROM ledger WHERE client = ${client}`))
      .split('|')
      .map(Number);
    t.true(max >= last, `${bank.name}, client ${client}: transfer ${last} was committed, the last one there is ${max}, ${when}`);
    t.is(count, max, `${bank.name}, client ${client}: no transfer is missing before the last ${when}`);
  }
}

interface Course {
  readonly array: ArrayRig;
  readonly type: 'ext4' | 'xfs';
  readonly mkfs: readonly string[];
  readonly check: readonly [string, string];
  readonly cycles: number;
  /** Before the load of a cycle begins: what the last one left undone. */
  readonly before: (cycle: number) => Promise<void>;
  /** What happens under load before the server is killed. */
  readonly during: (cycle: number) => Promise<void>;
}

async function commitsSurvive(t: ExecutionContext<Scratch>, { array, type, mkfs, check, cycles, before, during }: Course): Promise<void> {
  t.timeout(600_000);
  t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the transactions and the moments`);
  const scratch = t.context;
  let root = '';
  const banks = [postgresBank(scratch, () => root), sqliteBank(() => root, 'WAL'), sqliteBank(() => root, 'DELETE')];
  const committed = banks.map(({ clients }) => new Array<number>(clients).fill(0));
  for (let cycle = 0; cycle <= cycles; cycle++) {
    const when = `after kill ${cycle} of seed ${SYSTEM_SEED}`;
    const server = await array.serve();
    const disk = await NbdDisk.attach(scratch, array.socket);
    if (cycle === 0) await run(mkfs[0] as string, [...mkfs.slice(1), disk.device]);
    const mounted = await mount(scratch, disk.device, type);
    root = mounted.folder;
    for (const [i, bank] of banks.entries()) {
      if (cycle === 0) await bank.create();
      await bank.open();
      await audit(t, bank, committed[i] ?? [], when);
    }
    await before(cycle);
    if (cycle < cycles) {
      const loads = await loadAll(banks, committed);
      await during(cycle);
      await server.kill();
      await Promise.all(loads);
    }
    for (const bank of banks) await bank.crash();
    await mounted.umount();
    if (cycle === cycles) {
      const found = await attempt(check[0], [check[1], disk.device]);
      t.is(found.status, 0, found.stdout + found.stderr);
    }
    await disk.detach();
    if (cycle === cycles) await server.stop();
  }
  for (const [i, bank] of banks.entries()) {
    t.log(`${bank.name}: ${committed[i]?.join(' + ')} transfers committed over ${cycles} kills`);
    t.true(
      (committed[i] ?? []).every((last) => last > 0),
      `${bank.name} got nothing done`,
    );
  }
}

/** Lets every client of every bank loose, each from where it is; a load that ends notes down what was committed. */
async function loadAll(banks: readonly Bank[], committed: number[][]): Promise<Promise<void>[]> {
  const loads: Promise<void>[] = [];
  for (const [i, bank] of banks.entries()) {
    const row = committed[i] as number[];
    for (let client = 0; client < bank.clients; client++) {
      const first = Number(await bank.query(`SELECT coalesce(max(n), 0) + 1 FROM ledger WHERE client = ${client}`));
      loads.push(
        bank.load(client, first).then((result) => {
          row[client] = lastCommitted(result, row[client] as number);
        }),
      );
    }
  }
  return loads;
}

const nothing = (): Promise<void> => Promise.resolve();

test.serial(
  'P1, P2: PostgreSQL and SQLite on ext4 lose no commit when the server under them is killed, and their own checkers find nothing',
  async (t) => {
    const random = seededRandom(SYSTEM_SEED);
    const stripe = await loopDevices(t.context, 6, MEMBER_BYTES);
    const journal = await loopDevices(t.context, 2, 48 * MIB);
    const array = new ArrayRig(t.context, {
      stripeMembers: stripe.map((disk) => disk.device),
      journalMembers: journal.map((disk) => disk.device),
      journalSize: '32MiB',
      segment: '1MiB',
    });
    await array.create();
    const during = (): Promise<void> => delay(RUN_MS_MIN + random.below(RUN_MS_MAX - RUN_MS_MIN));
    await commitsSurvive(t, {
      array,
      type: 'ext4',
      mkfs: ['mkfs.ext4', '-q', '-F'],
      check: ['e2fsck', '-fn'],
      cycles: CYCLES,
      before: nothing,
      during,
    });
  },
);

test.serial(
  'P1, P2, P10: PostgreSQL and SQLite on xfs lose no commit while members fail and return and the server is killed, before or after they are back',
  async (t) => {
    const random = seededRandom(SYSTEM_SEED);
    const rig = await YankableArray.create(t.context, XFS_MEMBER_BYTES);
    let away: number | null = null;
    const takeBack = async (): Promise<void> => {
      if (away === null) return;
      await rig.noticed(away);
      await rig.takeBack(away);
      away = null;
    };
    await commitsSurvive(t, {
      array: rig.array,
      type: 'xfs',
      mkfs: ['mkfs.xfs', '-q', '-f'],
      check: ['xfs_repair', '-n'],
      cycles: Math.max(2, Math.floor(CYCLES / 2)),
      before: takeBack,
      during: async (cycle) => {
        away = rig.yankable[random.below(rig.yankable.length)] as number;
        await delay(random.below(RUN_MS_MIN));
        rig.disk(away).startErrors();
        await delay(random.below(RUN_MS_MIN));
        await rig.disk(away).yank();
        // Back before the server is killed, and after.
        if (cycle % 2 === 0) await takeBack();
        else await delay(random.below(RUN_MS_MAX));
      },
    });
  },
);
