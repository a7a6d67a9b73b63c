import { className } from './kinds.ts';

/** A value that an option has and should not, for the error: short, on one line. Never throws. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200));
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return className(value) ?? 'an object';
  return String(value);
}
