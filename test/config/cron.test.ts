import test from 'ava';
import { nextCronTime, parseCron } from '../../src/config/cron.js';

const at = (text: string): number => new Date(text).getTime();

function next(expression: string, after: string): string | undefined {
  const schedule = parseCron(expression);
  const time = schedule === undefined ? undefined : nextCronTime(schedule, at(after));
  if (time === undefined) return undefined;
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

test('the next time of a schedule is strictly later, in local time', (t) => {
  t.is(next('0 3 * * *', '2026-11-22T02:59:59'), '2026-11-22 03:00');
  t.is(next('0 3 * * *', '2026-11-22T03:00:00'), '2026-11-23 03:00');
  t.is(next('*/15 8-18 * * mon-fri', '2026-11-20T18:50:00'), '2026-11-23 08:00');
  t.is(next('5/20 * * * *', '2026-11-20T18:26:00'), '2026-11-20 18:45');
  t.is(next('0 0 29 2 *', '2025-01-01T00:00:00'), '2028-02-29 00:00');
  t.is(next('30 12 31 dec 7', '2026-12-26T13:00:00'), '2026-12-27 12:30', 'either day field suffices when both are restricted');
  t.is(next('30 12 * jan sun', '2026-12-26T13:00:00'), '2027-01-03 12:30');
});

for (const wrong of [
  '',
  '* * * *',
  '* * * * * *',
  '60 * * * *',
  '* 24 * * *',
  '* * 0 * *',
  '* * * 13 *',
  '* * * * 8',
  '5-2 * * * *',
  '*/0 * * * *',
  '*-5 * * * *',
  'a * * * *',
  '1,,2 * * * *',
  '0 0 31 feb *',
  '@daily',
]) {
  test(`not a cron expression: ${JSON.stringify(wrong)}`, (t) => t.is(parseCron(wrong), undefined));
}
