/** Numbers, durations and times as people read them. Each has one width for similar values, so that nothing jumps. */

/** Between groups of three digits. */
const GROUPS = /\B(?=(?:\d{3})+$)/g;

/** `12 345`, with thin spaces. */
export function count(value: number): string {
  return value.toFixed(0).replace(GROUPS, '\u2009');
}

const SCALES = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e5, 'k'],
] as const;

/** `123 k` from a hundred thousand on: three digits say enough. */
export function compact(value: number): string {
  for (const [scale, letter] of SCALES) {
    if (Math.abs(value) < scale) continue;
    const unit = letter === 'k' ? 1e3 : scale;
    return `${digits(value / unit)}\u2009${letter}`;
  }
  return count(value);
}

function digits(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/** Of something a second; null: not known. */
export function rate(value: number | null): string {
  if (value === null) return '–';
  if (value === 0) return '0';
  return value < 10 ? value.toFixed(value < 1 ? 2 : 1) : compact(Math.round(value));
}

/** Ticks of an axis: all in one unit, with as many figures as tell them apart. */
export function ticks(values: readonly number[], format: (value: number) => string): string[] {
  const texts = values.map(format);
  const unit = texts.at(-1)?.split('\u2009')[1];
  const scale = SCALES.find(([, letter]) => letter === unit)?.[0];
  if (scale === undefined)
    return texts.map((text) => text.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, ''));
  const per = unit === 'k' ? 1e3 : scale;
  return values.map((value) => (value === 0 ? '0' : `${Number((value / per).toPrecision(3))}\u2009${unit}`));
}

export function percent(share: number): string {
  const value = share * 100;
  // Only all is all.
  if (share < 1 && value > 99.9) return '99.9\u2009%';
  if (share > 0 && value < 0.1) return '<\u20090.1\u2009%';
  return `${value.toFixed(value === 0 || share === 1 ? 0 : 1)}\u2009%`;
}

export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1_000 && unit < units.length - 1) {
    amount /= 1_000;
    unit++;
  }
  return `${unit === 0 ? amount : digits(amount)}\u2009${units[unit]}`;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `340 ms`, `8.2 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`. */
export function duration(ms: number): string {
  if (ms < 0) return `\u2212${duration(-ms)}`;
  if (ms < SECOND) return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)}\u2009ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)}\u2009s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)}\u2009s`;
  if (ms < HOUR) return two(ms, MINUTE, 'min', SECOND, 's');
  if (ms < DAY) return two(ms, HOUR, 'h', MINUTE, 'min');
  return two(ms, DAY, 'd', HOUR, 'h');
}

function two(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((ms % large) / small);
  const first = `${Math.floor(ms / large)}\u2009${largeName}`;
  return rest === 0 ? first : `${first} ${String(rest).padStart(2, '0')}\u2009${smallName}`;
}

/** In one unit, for columns: `8 s`, `3 min`, `2 h`. */
export function roughly(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))}\u2009ms`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)}\u2009s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}\u2009min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}\u2009h`;
  return `${Math.floor(ms / DAY)}\u2009d`;
}

/** `3 min ago`, `in 2 h`. */
export function ago(ms: number): string {
  if (Math.abs(ms) < SECOND) return 'now';
  return ms < 0 ? `in ${roughly(-ms)}` : `${roughly(ms)} ago`;
}

/** A range in one unit where both ends have the same: `12 to 18 min`. */
export function range(fromMs: number, toMs: number): string {
  const [from, to] = [roughly(fromMs), roughly(toMs)];
  if (from === to) return from;
  const [[a, unitA], [b, unitB]] = [from.split('\u2009'), to.split('\u2009')];
  return unitA === unitB ? `${a} to ${b}\u2009${unitB}` : `${from} to ${to}`;
}

/** `2026-11-27 14:02:11`, in UTC or the browser's zone. */
export function absolute(at: number, isUtc: boolean): string {
  return `${dateOf(at, isUtc)} ${clockTime(at, isUtc)}`;
}

export function clockTime(at: number, isUtc: boolean): string {
  return shifted(at, isUtc).toISOString().slice(11, 19);
}

export function dateOf(at: number, isUtc: boolean): string {
  return shifted(at, isUtc).toISOString().slice(0, 10);
}

export function zoneName(isUtc: boolean): string {
  return isUtc ? 'UTC' : 'local';
}

/** So that what is written in UTC reads as the local time. */
function shifted(at: number, isUtc: boolean): Date {
  const date = new Date(Number.isFinite(at) ? at : 0);
  return isUtc ? date : new Date(date.getTime() - date.getTimezoneOffset() * MINUTE);
}

/** Begins as a sentence does. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
