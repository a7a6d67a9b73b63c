import { messageOf } from '../model/thrown.ts';

/** Longest text that a consumer sends with a failed chunk, in characters: the queue keeps it, and people read it. */
export const FAILURE_CHARS_MAX = 16_384;

const STACK_DEPTH_MAX = 8;

/** What the queue is told of a failed chunk: the error's stack and its causes'. Never throws, whatever was thrown. */
export function failureText(thrown: unknown): string {
  try {
    return bounded(withCauses(thrown));
  } catch {
    return bounded(messageOf(thrown));
  }
}

function withCauses(thrown: unknown): string {
  const parts: string[] = [];
  let each: unknown = thrown;
  for (let depth = 0; depth < STACK_DEPTH_MAX && each !== undefined && each !== null; depth++) {
    parts.push(textOf(each));
    each = each instanceof Error ? each.cause : undefined;
  }
  return parts.length === 0 ? String(thrown) : parts.join('\nCaused by: ');
}

/** The text, or its beginning and its end. */
export function bounded(text: string, charsMax = FAILURE_CHARS_MAX): string {
  if (text.length <= charsMax) return text;
  const omitted = `\n... (${text.length - charsMax} characters left out) ...\n`;
  const tail = Math.floor(charsMax / 4);
  return (text.slice(0, charsMax - tail) + omitted + text.slice(text.length - tail)).toWellFormed();
}

function textOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return messageOf(thrown);
  const { stack } = thrown;
  // A stack usually begins with name and message; one that was set by hand may not.
  if (typeof stack !== 'string' || stack === '') return `${thrown.name}: ${thrown.message}`;
  return stack.includes(thrown.message) ? stack : `${thrown.name}: ${thrown.message}\n${stack}`;
}
