import { createHash } from 'node:crypto';
import type { FailedTry } from './tallies/failures.ts';

/** What failures that are alike have in common. */
export interface Fingerprint {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  /** On one line. */
  readonly title: string;
}

const LINE_CHARS_MAX = 500;
const LINES_MAX = 200;
const TITLE_CHARS_MAX = 300;
const ID_DIGITS = 12;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be found.
const ANSI = /\u001b\[[0-9;?]{0,20}[ -/]{0,2}[@-~]/g;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
/** A hash or an id: eight or more, with a digit among them. */
const HEX = /\b(?=[a-f]{0,40}[0-9])[0-9a-f]{8,}\b/gi;
const NUMBER = /0x[0-9a-f]+|[0-9]+(?:[.,:][0-9]+)*/gi;
const PYTHON = 'Traceback (most recent call last)';
const CAUSED_BY = 'Caused by: ';
/** `    at name (file:///a/b.js:1:2)`, `    at /a/b.js:1:2` */
const FRAME_JS = /^\s+at (?:(?:async |new )?([^\s(]{1,100})[^(]{0,100}\()?([^()\s]{1,400}):\d+:\d+\)?$/;
/** `  File "/a/b.py", line 1, in name` */
const FRAME_PYTHON = /^\s+File "([^"]{1,400})", line \d+(?:, in (\S{1,100}))?/;
/** Of packages and of the platform. */
const FOREIGN = /node_modules|^node:|site-packages|dist-packages|^<frozen|[\\/]lib[\\/]python/;

type Failed = Pick<FailedTry, 'cause' | 'text'>;

const known = new WeakMap<Failed, Fingerprint>();

/** Remembered with the failure. */
export function fingerprintOf(failure: Failed): Fingerprint {
  let found = known.get(failure);
  if (found === undefined) {
    found = fingerprint(failure.cause, failure.text);
    known.set(failure, found);
  }
  return found;
}

/** Of one look: more would take more of the queue's time than all else that is looked at. */
const FINGERPRINTS_MAX = 256;

/** Fingerprints of many failures, of which very many may be new: each text is looked at once, and so many of them at a time. */
export class Fingerprints {
  readonly #byText = new Map<string, Failed>();
  #looked = 0;
  #isCut = false;

  /** Some were not looked at. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** null: it is not known, and others are looked at this time. */
  of(failure: Failed): Fingerprint | null {
    const found = known.get(failure);
    if (found !== undefined) return found;
    const alike = this.#byText.get(failure.text);
    if (alike?.cause === failure.cause) {
      const same = fingerprintOf(alike);
      known.set(failure, same);
      return same;
    }
    if (this.#looked === FINGERPRINTS_MAX) {
      this.#isCut = true;
      return null;
    }
    this.#looked++;
    this.#byText.set(failure.text, failure);
    return fingerprintOf(failure);
  }
}

/**
 * Of the line that says what went wrong, without numbers and ids, and of the topmost frame of the stack that is the user's own,
 * without its line. Where one error was caused by another, that is the one at the root.
 */
export function fingerprint(cause: string, text: string): Fingerprint {
  const lines = linesOf(text);
  const root = rootOf(lines);
  const headline = withoutNumbers(headlineOf(root));
  const frame =
    (isPython(root) ? pythonFrame(root) : (jsFrame(root) ?? (root === lines ? null : jsFrame(lines)))) ?? '';
  const id = createHash('sha256').update(`${cause}\n${headline}\n${frame}`).digest('hex').slice(0, ID_DIGITS);
  const title = `${headline || cause}${frame === '' ? '' : ` (${frame})`}`.slice(0, TITLE_CHARS_MAX);
  return { id, title: title.toWellFormed() };
}

/** What went wrong, on one line, in the words of whoever failed: of the error at the root. */
export function gistOf(text: string): string {
  return headlineOf(rootOf(linesOf(text)))
    .slice(0, TITLE_CHARS_MAX)
    .toWellFormed();
}

function linesOf(text: string): string[] {
  return text
    .replace(ANSI, '')
    .split(/\r?\n/, LINES_MAX)
    .map((line) => line.slice(0, LINE_CHARS_MAX));
}

/** Where errors have causes, their lines come one after the other (`traceOf`), the root last. */
function rootOf(lines: readonly string[]): readonly string[] {
  const at = lines.findLastIndex((line) => line.startsWith(CAUSED_BY));
  return at < 0 ? lines : [lines[at]!.slice(CAUSED_BY.length), ...lines.slice(at + 1)];
}

function isPython(lines: readonly string[]): boolean {
  return lines.some((line) => line.startsWith(PYTHON));
}

function headlineOf(lines: readonly string[]): string {
  return (isPython(lines) ? lastWords(lines) : firstWords(lines)).trim();
}

export function withoutNumbers(line: string): string {
  return line.replace(UUID, '#').replace(HEX, '#').replace(NUMBER, '#');
}

function firstWords(lines: readonly string[]): string {
  return lines.find((line) => line.trim() !== '') ?? '';
}

/** Python says what went wrong below the stack. */
function lastWords(lines: readonly string[]): string {
  const end = lines.findLast((line) => /^\S/.test(line) && !line.startsWith(PYTHON));
  return end ?? firstWords(lines);
}

function jsFrame(lines: readonly string[]): string | null {
  for (const line of lines) {
    const [, name, file] = FRAME_JS.exec(line) ?? [];
    if (file !== undefined && !FOREIGN.test(file)) return frameText(file, name);
  }
  return null;
}

function pythonFrame(lines: readonly string[]): string | null {
  for (let i = lines.length - 1; i >= 0; i--) {
    const [, file, name] = FRAME_PYTHON.exec(lines[i]!) ?? [];
    if (file !== undefined && !FOREIGN.test(file)) return frameText(file, name);
  }
  return null;
}

function frameText(file: string, name: string | undefined): string {
  const base = withoutNumbers(file.split(/[\\/]/).at(-1) ?? file);
  return name === undefined ? base : `${name} ${base}`;
}
