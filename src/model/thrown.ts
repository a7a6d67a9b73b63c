import { inspect } from 'node:util';
import { className, isAggregateError, isError } from './kinds.ts';

/** Longest text that is kept of what was thrown, in characters: it is stored, and people read it. */
export const THROWN_CHARS_MAX = 16_384;

const CAUSES_MAX = 8;
/** Of the errors of an AggregateError, so many are told. */
const ERRORS_MAX = 8;
/** What there is to say of a value that throws when it is looked at. */
const HIDDEN = 'a value that cannot be shown';

/** The message of whatever was thrown. Never throws itself: anything can be thrown, also what has no text at all. */
export function messageOf(thrown: unknown): string {
  try {
    return isError(thrown) ? `${thrown.message}` : textOf(thrown);
  } catch {
    return HIDDEN;
  }
}

/** The stack of whatever was thrown, with its causes' and those of an AggregateError. Bounded, well-formed, never throws. */
export function traceOf(thrown: unknown): string {
  try {
    return bounded(withCauses(thrown, 0));
  } catch {
    return bounded(messageOf(thrown));
  }
}

/** The text, or its beginning and its end; without halves of surrogate pairs, which no codec takes. */
export function bounded(text: string, charsMax = THROWN_CHARS_MAX): string {
  if (text.length <= charsMax) return text.toWellFormed();
  const omitted = `\n... (${text.length - charsMax} characters left out) ...\n`;
  const tail = Math.floor(charsMax / 4);
  return (text.slice(0, charsMax - tail) + omitted + text.slice(text.length - tail)).toWellFormed();
}

function withCauses(thrown: unknown, depth: number): string {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  let each: unknown = thrown;
  while (seen.size < CAUSES_MAX && !seen.has(each)) {
    seen.add(each);
    parts.push(...partsOf(each, depth));
    each = causeOf(each);
    if (each === undefined || each === null) break;
  }
  return parts.join('\nCaused by: ');
}

/** What is known of one error, and of those that it stands for. One that hides something hides nothing of the others. */
function partsOf(thrown: unknown, depth: number): string[] {
  try {
    const parts = [stackOf(thrown)];
    if (isAggregateError(thrown)) parts.push(...errorsOf(thrown.errors, depth));
    return parts;
  } catch {
    return [messageOf(thrown)];
  }
}

function causeOf(thrown: unknown): unknown {
  try {
    return isError(thrown) ? thrown.cause : undefined;
  } catch {
    return undefined;
  }
}

function errorsOf(errors: readonly unknown[], depth: number): string[] {
  if (depth > 1) return [];
  const parts = errors
    .slice(0, ERRORS_MAX)
    .map((error, index) => `(${index + 1} of ${errors.length}) ${withCauses(error, depth + 1)}`);
  if (errors.length > ERRORS_MAX) parts.push(`${errors.length - ERRORS_MAX} more errors`);
  return parts;
}

function stackOf(thrown: unknown): string {
  if (!isError(thrown)) return messageOf(thrown);
  const { stack } = thrown;
  // A stack usually begins with name and message; one that was set by hand may not.
  if (typeof stack !== 'string' || stack === '') return `${thrown.name}: ${thrown.message}`;
  return stack.includes(thrown.message) ? stack : `${thrown.name}: ${thrown.message}\n${stack}`;
}

/** A value that is not an Error, in words. */
function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value === '' ? 'an empty text' : value;
    case 'object':
      return value === null ? 'null (not an Error)' : `${nameOf(value)} (not an Error): ${contentOf(value)}`;
    case 'function':
      return `the function ${value.name || 'without a name'} (not an Error)`;
    default:
      return `${String(value)} (not an Error)`;
  }
}

function nameOf(value: object): string {
  const name = className(value);
  return name === null || name === 'Object' ? 'an object' : `an instance of ${name}`;
}

/** As JSON, where that says something; else as Node.js shows it: cycles, Maps, bigints. */
function contentOf(value: object): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch {
    json = '{}';
  }
  if (json === '{}') return inspect(value, { maxArrayLength: 20, maxStringLength: 1_000 });
  return json ?? Object.prototype.toString.call(value);
}
