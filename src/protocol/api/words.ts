/**
 * Numbers, durations and counts as people read them: in the sentences of the API, on the page, and with plain spaces and commas
 * in a terminal (src/cli/text.ts). Similar values are about equally wide, so that nothing jumps.
 */

/** Between groups of three digits, and before a unit. */
export const THIN = '\u2009';
const GROUPS = /\B(?=(?:\d{3})+$)/g;

/** `12 345` */
export function count(value: number): string {
  return value.toFixed(0).replace(GROUPS, THIN);
}

/** `1 chunk`, `12 345 chunks` */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Below this of a unit, three digits do not round up to the next one. */
const NEARLY = 0.9995;

/** From what on a number is in a unit, what the unit is worth, and its letter. */
export const SCALES = [
  [1e12 * NEARLY, 1e12, 'T'],
  [1e9 * NEARLY, 1e9, 'G'],
  [1e6 * NEARLY, 1e6, 'M'],
  [1e5, 1e3, 'k'],
] as const;

/** `123 k` from a hundred thousand on: three digits say enough. */
export function compact(value: number): string {
  for (const [from, unit, letter] of SCALES) {
    if (Math.abs(value) >= from) return `${three(value / unit)}${THIN}${letter}`;
  }
  return count(value);
}

function three(value: number): string {
  return Math.abs(value) < 1_000 * NEARLY ? value.toPrecision(3) : count(value);
}

/** Of something a second; null: not known. */
export function rate(value: number | null): string {
  if (value === null) return '–';
  if (value === 0) return '0';
  return value < 9.95 ? value.toFixed(value < 0.995 ? 2 : 1) : compact(value);
}

export function percent(share: number): string {
  const value = share * 100;
  // Only all is all.
  if (share < 1 && value > 99.9) return `99.9${THIN}%`;
  if (share > 0 && value < 0.1) return `<${THIN}0.1${THIN}%`;
  return `${value.toFixed(value === 0 || share === 1 ? 0 : 1)}${THIN}%`;
}

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `850 B`, `12.3 kB`, `4.00 GB` */
export function bytes(value: number): string {
  let amount = value;
  let unit = 0;
  while (amount >= 1_000 * NEARLY && unit < BYTES.length - 1) {
    amount /= 1_000;
    unit++;
  }
  return `${unit === 0 ? amount : three(amount)}${THIN}${BYTES[unit]}`;
}

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** `340 ms`, `8.2 s`, `3 min 05 s`, `2 h 10 min`, `4 d 03 h` */
export function duration(ms: number): string {
  if (ms < 0) return `\u2212${duration(-ms)}`;
  if (ms < 9.95 && !Number.isInteger(ms)) return `${ms.toFixed(1)}${THIN}ms`;
  if (ms < SECOND) return `${Math.min(Math.round(ms), 999)}${THIN}ms`;
  // Cut, not rounded: 60 s are a minute.
  if (ms < 10 * SECOND) return `${(Math.floor(ms / 100) / 10).toFixed(1)}${THIN}s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)}${THIN}s`;
  if (ms < HOUR) return two(ms, MINUTE, 'min', SECOND, 's');
  if (ms < DAY) return two(ms, HOUR, 'h', MINUTE, 'min');
  return two(ms, DAY, 'd', HOUR, 'h');
}

function two(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((ms % large) / small);
  const first = `${Math.floor(ms / large)}${THIN}${largeName}`;
  return rest === 0 ? first : `${first} ${String(rest).padStart(2, '0')}${THIN}${smallName}`;
}

/** Begins as a sentence does. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
