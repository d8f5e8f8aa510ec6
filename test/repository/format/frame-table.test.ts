import test from 'ava';
import { FrameTable } from '../../../src/repository/format/frame-table.js';

const MANY = 5000;

test('a table of more frames than it first has room for keeps every frame, and takes the rows of superseded ones again', (t) => {
  const table = new FrameTable();
  const rows = Array.from({ length: MANY }, (_, i) => table.add(i + 1, i % 9, i * 5000, 100 + i, i * 3, 2));
  t.is(new Set(rows).size, MANY);
  t.is(table.rows, MANY);
  for (const [i, row] of rows.entries()) {
    t.deepEqual(
      [table.segment(row), table.ordinal(row), table.offset(row), table.stored(row), table.first(row), table.count(row)],
      [i + 1, i % 9, i * 5000, 100 + i, i * 3, 2],
    );
  }
  const gone = rows.filter((_, i) => i % 10 === 0);
  for (const row of gone) {
    table.release(row);
    table.release(row);
  }
  const again = gone.map((_, i) => table.add(90_000 + i, 0, 0, 1, 0, 1));
  t.deepEqual(
    again.toSorted((a, b) => a - b),
    gone,
    'no new row while old ones are free',
  );
  t.is(table.rows, MANY);
  t.is(table.segment(rows[1] as number), 2, 'the others stay');
});
