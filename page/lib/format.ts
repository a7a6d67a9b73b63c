import { DAY, HOUR, MINUTE, SCALES, SECOND, THIN } from '../../src/protocol/api/words.ts';

/** What only the page says of numbers and times: the rest is in words.ts of the API. */

/** Ticks of an axis: all in one unit, with as many figures as tell them apart. */
export function ticks(values: readonly number[], format: (value: number) => string): string[] {
  const texts = values.map(format);
  const unit = texts.at(-1)?.split(THIN)[1];
  const per = SCALES.find(([, , letter]) => letter === unit)?.[1];
  if (per === undefined)
    return texts.map((text) => text.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, ''));
  return values.map((value) => (value === 0 ? '0' : `${Number((value / per).toPrecision(3))}${THIN}${unit}`));
}

/** In one unit, for columns: `8 s`, `3 min`, `2 h`. */
export function roughly(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))}${THIN}ms`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)}${THIN}s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}${THIN}min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}${THIN}h`;
  return `${Math.floor(ms / DAY)}${THIN}d`;
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
  const [[a, unitA], [b, unitB]] = [from.split(THIN), to.split(THIN)];
  return unitA === unitB ? `${a} to ${b}${THIN}${unitB}` : `${from} to ${to}`;
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
