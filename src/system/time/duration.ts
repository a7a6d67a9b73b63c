import { mustBe } from '../../model/check.ts';

/** Units with their length in milliseconds, as the original knows them (the Rust crate `humantime`). */
const UNITS: readonly (readonly [ms: number, names: readonly string[]])[] = [
  [1e-6, ['ns', 'nsec', 'nanos']],
  [1e-3, ['us', 'µs', 'usec']],
  [1, ['ms', 'msec', 'millis', 'millisecond', 'milliseconds']],
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
 * A duration as flags and options take it: `500ms`, `5 seconds`, `10 minutes`, `1h 30m`. Parts add up; `0` alone needs
 * no unit.
 *
 * @param name what it is for, such as `--heartbeat-interval`, for the error
 * @returns milliseconds, with fractions; at most 2^53 - 1
 * @throws IncorrectUsageError for anything else, a number without a unit included
 */
export function parseDuration(text: string, name = 'duration'): number {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  let totalMs = 0;
  let position = 0;
  do {
    PART.lastIndex = position;
    const [part, amount, unit] = PART.exec(trimmed) ?? [];
    const unitMs = UNIT_MS.get(unit ?? '');
    if (part === undefined || unitMs === undefined) {
      throw mustBe(name, 'a duration with its unit, such as 500ms, 5 seconds or 1h 30m', text);
    }
    totalMs += Number(amount) * unitMs;
    position += part.length;
  } while (position < trimmed.length);
  return Math.min(totalMs, Number.MAX_SAFE_INTEGER);
}

/** The same, within bounds, both of which are allowed. */
export function checkDuration(
  name: string,
  text: string,
  minMs: number,
  maxMs = Number.MAX_SAFE_INTEGER,
): number {
  const ms = parseDuration(text, name);
  if (ms >= minMs && ms <= maxMs) return ms;
  const isOpen = maxMs === Number.MAX_SAFE_INTEGER;
  const bounds = isOpen
    ? `of at least ${formatDuration(minMs)}`
    : `from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
  throw mustBe(name, `a duration ${bounds}`, text);
}

const FORMAT_UNITS = [
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const;

/** A text that {@link parseDuration} reads back, in one unit: `10 minutes`, `125 seconds`, `500ms`, `0s`. Rounded to milliseconds. */
export function formatDuration(ms: number): string {
  const rounded = Math.round(ms);
  if (rounded === 0) return '0s';
  const [unit, unitMs] = FORMAT_UNITS.find(([, length]) => rounded % length === 0) ?? ['ms', 1];
  const amount = rounded / unitMs;
  return unit === 'ms' ? `${amount}ms` : `${amount} ${unit}${amount === 1 ? '' : 's'}`;
}
