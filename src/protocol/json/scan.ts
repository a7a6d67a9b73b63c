/** What {@link JsonReader} passes over byte by byte, and how it shows what it found. */

export const MINUS = 0x2d;
export const ZERO = 0x30;
/** Given for what is not written as a number. */
export const NO_NUMBER = -1;

const PLUS = 0x2b;
const POINT = 0x2e;
const NINE = 0x39;
const UPPER_E = 0x45;
const LOWER_E = 0x65;
/** Of what was found, so much is shown in errors. */
const SHOWN_MAX = 60;

export function skipSpace(bytes: Uint8Array, from: number): number {
  let position = from;
  for (;;) {
    const byte = bytes[position];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return position;
    position++;
  }
}

export function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Where the number ends that begins at `start`, or {@link NO_NUMBER}. */
export function numberEnd(bytes: Uint8Array, start: number): number {
  const digits = bytes[start] === MINUS ? start + 1 : start;
  let end = skipDigits(bytes, digits);
  if (end === digits || (bytes[digits] === ZERO && end > digits + 1)) return NO_NUMBER;
  if (bytes[end] === POINT) {
    const fraction = end + 1;
    end = skipDigits(bytes, fraction);
    if (end === fraction) return NO_NUMBER;
  }
  if (bytes[end] === LOWER_E || bytes[end] === UPPER_E) {
    const sign = bytes[end + 1];
    const exponent = sign === MINUS || sign === PLUS ? end + 2 : end + 1;
    end = skipDigits(bytes, exponent);
    if (end === exponent) return NO_NUMBER;
  }
  return isNumberByte(bytes[end]) ? NO_NUMBER : end;
}

/** Whether a number is written as an integer: digits alone, behind a minus perhaps. */
export function isInteger(bytes: Uint8Array, start: number, end: number): boolean {
  return skipDigits(bytes, bytes[start] === MINUS ? start + 1 : start) === end;
}

/** The beginning of what stands where a number is or was expected. */
export function shownNumber(bytes: Buffer, start: number): string {
  let end = start;
  while (end <= start + SHOWN_MAX && isNumberByte(bytes[end])) end++;
  return bytes.toString('latin1', start, end);
}

export function shown(text: string): string {
  return JSON.stringify(excerpt(text));
}

export function excerpt(text: string): string {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
}

function skipDigits(bytes: Uint8Array, from: number): number {
  let position = from;
  while (isDigit(bytes[position])) position++;
  return position;
}

/** What numbers are made of, in whatever order. */
function isNumberByte(byte: number | undefined): boolean {
  return (
    isDigit(byte) || byte === POINT || byte === LOWER_E || byte === UPPER_E || byte === PLUS || byte === MINUS
  );
}
