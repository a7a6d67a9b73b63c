/** A message on one line, whatever it was: what goes to a log or a terminal of an operator. */
export function oneLine(text: string): string {
  return visible(text.trim().replaceAll(/\s*\n\s*/g, ' '));
}

/** Control characters other than line feeds and tabs as `\x1b`: what clients wrote must not steer a terminal. */
export function visible(text: string): string {
  return text.replaceAll(/(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu, (character) => {
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

/** Made once: toLocaleString makes one each time, which takes a tenth of a millisecond. */
const GROUPED = new Intl.NumberFormat('en-US');

/** 1234567 as `1,234,567`. */
export function grouped(value: number): string {
  return GROUPED.format(value);
}

/** A rate with about three digits; null: not known. */
export function rateText(perSecond: number | null): string {
  if (perSecond === null) return '?';
  if (perSecond >= 100) return grouped(Math.round(perSecond));
  return perSecond.toFixed(perSecond >= 10 ? 1 : 2);
}

/** A time in its two largest units: `850 ms`, `4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function timeText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `1 object`, `2,000 objects`. */
export function counted(count: number, what: string): string {
  return `${grouped(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** Bytes in the largest decimal unit: `850 B`, `12.3 kB`, `4.0 GB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

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
