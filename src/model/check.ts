/** Checks of what callers pass, with one kind of sentence: `concurrency must be an integer from 1 to 10, got 3.5`. */
import { IncorrectUsageError } from './errors.ts';
import { className } from './kinds.ts';

const TEXT_CHARS_MAX = 200;

/** A safe integer within bounds, both of which are allowed. */
export function checkInteger(
  name: string,
  value: unknown,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw mustBe(name, `an integer ${inBounds(min, max)}`, value);
}

/** A number within bounds, both of which are allowed. */
export function checkNumber(
  name: string,
  value: unknown,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw mustBe(name, `a number ${inBounds(min, max)}`, value);
}

export function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw mustBe(name, 'a boolean', value);
}

/** One of the choices; undefined for a value that was not given. */
export function checkChoice<const T extends string>(
  name: string,
  value: unknown,
  choices: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw mustBe(name, `one of ${choices.join(', ')}`, value);
}

/** The error for a value of the wrong kind or out of bounds. */
export function mustBe(
  name: string,
  wanted: string,
  value: unknown,
  options?: ErrorOptions,
): IncorrectUsageError {
  return new IncorrectUsageError(`${name} must be ${wanted}, got ${show(value)}`, options);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** A value for messages, in short. Never throws. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, TEXT_CHARS_MAX));
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (isObject(value)) return className(value) ?? 'an object';
  return String(value);
}

function inBounds(min: number, max: number): string {
  return max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
}
