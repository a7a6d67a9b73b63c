import { IncorrectUsageError } from '../model/errors.ts';

/** Units with their length in milliseconds, as the reference knows them (the Rust crate `humantime`). */
const UNITS: readonly (readonly [ms: number, names: readonly string[]])[] = [
  [1e-6, ['ns', 'nsec', 'nanos']],
  [1e-3, ['us', 'µs', 'usec']],
  [1, ['ms', 'msec', 'millis']],
  [1_000, ['s', 'sec', 'secs', 'second', 'seconds']],
  [60_000, ['m', 'min', 'mins', 'minute', 'minutes']],
  [3_600_000, ['h', 'hr', 'hrs', 'hour', 'hours']],
  [86_400_000, ['d', 'day', 'days']],
  [604_800_000, ['w', 'wk', 'wks', 'week', 'weeks']],
  // 30.44 days and 365.25 days.
  [2_630_016_000, ['M', 'month', 'months']],
  [31_557_600_000, ['y', 'yr', 'yrs', 'year', 'years']],
];

const UNIT_MS: ReadonlyMap<string, number> = new Map(
  UNITS.flatMap(([ms, names]) => names.map((name) => [name, ms] as const)),
);

const PART = /\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([A-Za-zµ]+)/y;

/**
 * A duration as the flags take it: `500ms`, `5 seconds`, `10 minutes`, `1h 30m`. Parts add up; `0` alone needs no
 * unit.
 *
 * @param name what it is for, such as `--heartbeat-interval`, for the error
 * @returns milliseconds, with fractions; at most 2^53 - 1
 * @throws IncorrectUsageError for anything else, a number without a unit included
 */
export function parseDuration(text: string, name = 'duration'): number {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  const refuse = (why: string) =>
    new IncorrectUsageError(
      `${name}: ${JSON.stringify(text)} ${why}; write it as 500ms, 5 seconds or 1h 30m`,
    );
  let totalMs = 0;
  let position = 0;
  do {
    PART.lastIndex = position;
    const match = PART.exec(trimmed);
    if (match === null) {
      throw refuse(/^[0-9.]+$/.test(trimmed.slice(position).trim()) ? 'has no unit' : 'is no duration');
    }
    const [part, amount, unit] = match;
    const unitMs = UNIT_MS.get(unit ?? '');
    if (unitMs === undefined) throw refuse(`has the unknown unit ${unit}`);
    totalMs += Number(amount) * unitMs;
    position += part.length;
  } while (position < trimmed.length);
  return Math.min(totalMs, Number.MAX_SAFE_INTEGER);
}

const FORMAT_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** The shortest text that {@link parseDuration} reads back: `1h 30m`, `500ms`, `0s`. Parts below a millisecond are rounded off. */
export function formatDuration(ms: number): string {
  let restMs = Math.round(ms);
  const parts: string[] = [];
  for (const [unit, unitMs] of FORMAT_UNITS) {
    const amount = Math.floor(restMs / unitMs);
    if (amount > 0) parts.push(`${amount}${unit}`);
    restMs -= amount * unitMs;
  }
  if (restMs > 0) parts.push(`${restMs}ms`);
  return parts.length === 0 ? '0s' : parts.join(' ');
}
