import { JsonShapeError } from './errors.ts';

const RFC_3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d+)?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

const DAY_MS = 86_400_000;

/** Unix milliseconds (with fractions) as RFC 3339 in UTC with 9 fraction digits, as the reference writes them. */
export function formatTimestamp(unixMs: number): string {
  const days = Math.floor(unixMs / DAY_MS);
  const [year, month, day] = civilOfDays(days);
  const ms = unixMs - days * DAY_MS;
  const wholeMs = Math.floor(ms);
  const seconds = Math.floor(wholeMs / 1000);
  const nanoseconds = (wholeMs % 1000) * 1_000_000 + Math.round((ms - wholeMs) * 1_000) * 1_000;
  const time = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${time.map((part) => pad(part, 2)).join(':')}.${pad(Math.min(nanoseconds, 999_999_999), 9)}Z`;
}

/** RFC 3339 as Unix milliseconds, with fractions as far as a double holds them. */
export function parseTimestamp(text: string, field: string): number {
  const match = RFC_3339.exec(text);
  if (match === null)
    throw new JsonShapeError(field, `${JSON.stringify(text.slice(0, 60))} is not an RFC 3339 time`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) {
    throw new JsonShapeError(field, `${JSON.stringify(text)} is not an RFC 3339 time`);
  }
  const offsetMinutes = (match[8] === '-' ? -1 : 1) * (Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0));
  const wholeSeconds =
    (daysOfCivil(year, month, day) * 24 + hour) * 3600 + (minute - offsetMinutes) * 60 + second;
  return wholeSeconds * 1000 + Number(match[7] ?? 0) * 1000;
}

/** Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's algorithm: years begin in March). */
function daysOfCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function civilOfDays(days: number): readonly [year: number, month: number, day: number] {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch + (monthFromMarch < 10 ? 3 : -9);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  return [yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day];
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
