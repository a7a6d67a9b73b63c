/** The message of whatever was thrown. Never throws itself: anything can be thrown, also what has no text at all. */
export function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? `${thrown.message}` : textOf(thrown);
  } catch {
    return 'a value that cannot be shown';
  }
}

/** A value as text; objects as JSON, where they have such a form. */
function textOf(value: unknown): string {
  if (typeof value !== 'object') return String(value);
  try {
    return JSON.stringify(value) ?? Object.prototype.toString.call(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
