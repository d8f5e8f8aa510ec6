/** Five cron fields (minute hour day-of-month month day-of-week) in local time, as in crontab(5): lists, ranges, steps, three-letter names. */
export interface CronSchedule {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly daysOfMonth: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly daysOfWeek: ReadonlySet<number>;
  /** When both day fields are restricted, either one suffices (crontab(5)). */
  readonly eitherDay: boolean;
}

export const CRON_FORM =
  'a cron expression of five fields: minute hour day-of-month month day-of-week, such as "0 3 * * *" or "*/15 8-18 * * mon-fri"';

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
/** The rarest date, 29 February, comes back within eight years (1896-1904, 2096-2104). */
const SEARCH_DAYS_MAX = 366 * 8 + 1;

/** undefined: not a cron expression, or one that names no date at all (30 February). */
export function parseCron(text: string): CronSchedule | undefined {
  const fields = text.trim().split(/\s+/);
  const [minute, hour, day, month, weekday] = fields;
  if (fields.length !== 5 || !minute || !hour || !day || !month || !weekday) return undefined;
  const minutes = parseField(minute, 0, 59, []);
  const hours = parseField(hour, 0, 23, []);
  const daysOfMonth = parseField(day, 1, 31, []);
  const months = parseField(month, 1, 12, MONTHS);
  const daysOfWeek = parseField(weekday, 0, 7, DAYS);
  if (!minutes || !hours || !daysOfMonth || !months || !daysOfWeek) return undefined;
  if (daysOfWeek.delete(7)) daysOfWeek.add(0);
  const eitherDay = !day.startsWith('*') && !weekday.startsWith('*');
  const schedule = { minutes, hours, daysOfMonth, months, daysOfWeek, eitherDay };
  return nextCronTime(schedule, Date.UTC(2024, 0, 1)) === undefined ? undefined : schedule;
}

function parseField(text: string, low: number, high: number, names: readonly string[]): Set<number> | undefined {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d+))?$/i.exec(part);
    if (match === null) return undefined;
    const [, start = '', end, stepText] = match;
    if (start === '*' && end !== undefined) return undefined;
    const first = start === '*' ? low : fieldValue(start, low, names);
    // "5/10" runs from 5 to the end of the field.
    const last =
      end !== undefined ? fieldValue(end, low, names) : start === '*' || stepText !== undefined ? (high === 7 ? 6 : high) : first;
    const step = stepText === undefined ? 1 : Number(stepText);
    if (first === undefined || last === undefined || first < low || last > high || first > last || step < 1) return undefined;
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function fieldValue(text: string, low: number, names: readonly string[]): number | undefined {
  if (/^\d+$/.test(text)) return Number(text);
  const index = names.indexOf(text.toLowerCase());
  return index < 0 ? undefined : index + low;
}

/** First matching minute strictly after `after_ms` (wall clock, milliseconds since 1970), in local time; undefined when there is none. */
export function nextCronTime(schedule: CronSchedule, after_ms: number): number | undefined {
  const start = new Date(after_ms);
  start.setSeconds(0, 0);
  start.setMinutes(start.getMinutes() + 1);
  for (let days = 0; days < SEARCH_DAYS_MAX; days++) {
    const date = new Date(start.getFullYear(), start.getMonth(), start.getDate() + days);
    if (!dayMatches(schedule, date)) continue;
    for (let minute = days === 0 ? start.getHours() * 60 + start.getMinutes() : 0; minute < 1440; minute++) {
      if (!schedule.hours.has(Math.floor(minute / 60)) || !schedule.minutes.has(minute % 60)) continue;
      const found = new Date(date.getFullYear(), date.getMonth(), date.getDate(), Math.floor(minute / 60), minute % 60).getTime();
      // A clock put back repeats an hour: never answer with a time that has passed.
      if (found > after_ms) return found;
    }
  }
  return undefined;
}

function dayMatches(schedule: CronSchedule, date: Date): boolean {
  if (!schedule.months.has(date.getMonth() + 1)) return false;
  const ofMonth = schedule.daysOfMonth.has(date.getDate());
  const ofWeek = schedule.daysOfWeek.has(date.getDay());
  return schedule.eitherDay ? ofMonth || ofWeek : ofMonth && ofWeek;
}
