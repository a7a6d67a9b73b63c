import { bytes, count, duration, percent, plural, rate } from '../protocol/api/words.ts';

/** A message on one line, whatever it was: what goes to a log or a terminal of an operator. */
export function oneLine(text: string): string {
  return visible(text.trim().replaceAll(/\s*\n\s*/g, ' '));
}

/** For a terminal: control characters other than line feeds and tabs as `\x1b`: what clients wrote must not steer a terminal. */
export function visible(text: string): string {
  return plain(text).replaceAll(/(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`;
  });
}

/**
 * JSON on one line, as programs that read line by line want it. Control characters that JSON leaves alone are escaped: it may be
 * printed on a terminal.
 */
export function toJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * What the API writes with thin spaces, as it is in ASCII: pagers, `awk` and the fonts of consoles cope with it, and numbers can be
 * looked for.
 */
export function plain(text: string): string {
  return text.replaceAll(/(?<=\d)\u2009(?=\d)/g, ',').replaceAll('\u2009', ' ');
}

/** 1234567 as `1,234,567`. */
export const grouped = (value: number) => plain(count(value));

/** `1 object`, `2,000 objects`. */
export const counted = (value: number, one: string, many?: string) => plain(plural(value, one, many));

/** A rate with two or three digits. */
export const rateText = (perSecond: number | null) => (perSecond === null ? '?' : plain(rate(perSecond)));

/** A time in its two largest units: `850 ms`, `4.0 s`, `3 min 20 s`, `2 h 05 min`, `3 d 04 h`. */
export const timeText = (ms: number) => plain(duration(ms));

/** Only all is `100 %`. */
export const percentText = (share: number) => plain(percent(share));

/** Bytes in the largest decimal unit: `850 B`, `12.3 kB`, `4.00 GB`. */
export const bytesText = (value: number) => plain(bytes(value));

/** Rows with their names above them; the first column and the last one to the left, the others to the right. */
export function table<Row>(
  columns: Readonly<Record<string, (row: Row) => string>>,
  rows: readonly Row[],
): string {
  const names = Object.keys(columns).map((name) => name.toUpperCase());
  const cells = rows.map((row) => Object.values(columns).map((text) => text(row)));
  const widths = names.map((name, at) => Math.max(name.length, ...cells.map((row) => row[at]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) =>
        at === 0 || at === row.length - 1 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!),
      )
      .join('  ')
      .trimEnd();
  return [names, ...cells].map((row) => `${line(row)}\n`).join('');
}

/** A time of the API without its fraction of a second. */
export function toSecond(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}
