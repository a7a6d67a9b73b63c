import { className, isAggregateError, isError } from './kinds.ts';

/** Longest text that is kept of what was thrown, in characters: it is stored, and people read it. */
export const THROWN_CHARS_MAX = 16_384;

const CAUSES_MAX = 8;
/** Of the errors of an AggregateError, so many are told. */
const ERRORS_MAX = 8;

/** The message of whatever was thrown. Never throws itself: anything can be thrown, also what has no text at all. */
export function messageOf(thrown: unknown): string {
  try {
    return isError(thrown) ? `${thrown.message}` : textOf(thrown);
  } catch {
    return 'a value that cannot be shown';
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
  let each: unknown = thrown;
  for (let count = 0; count < CAUSES_MAX; count++) {
    parts.push(stackOf(each));
    if (isAggregateError(each)) parts.push(...errorsOf(each.errors, depth));
    each = isError(each) ? each.cause : undefined;
    if (each === undefined || each === null) break;
  }
  return parts.join('\nCaused by: ');
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

/** As JSON, where it has such a form. */
function contentOf(value: object): string {
  try {
    return JSON.stringify(value) ?? Object.prototype.toString.call(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
