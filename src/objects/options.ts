import { mustBe } from '../model/check.ts';
import type { IncorrectUsageError } from '../model/errors.ts';
import type { ObjectStoreOptions } from './object-store.ts';
import { refuseMisspeltOptions } from './option-names.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  milliseconds: 1,
  s: 1000,
  sec: 1000,
  secs: 1000,
  second: 1000,
  seconds: 1000,
  m: 60_000,
  min: 60_000,
  mins: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hr: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
};

/**
 * Reads the options of one scheme by name. Each name may come with the scheme's prefix (`aws_region`) or without
 * (`region`), in any case; names that nobody asks for are ignored, as in the original, unless they look misspelt.
 */
export class OptionReader {
  readonly #values = new Map<string, string | number | boolean>();
  readonly #prefix: string;

  /** @param prefix such as `aws_`; `''` for none */
  constructor(options: ObjectStoreOptions, prefix: string) {
    this.#prefix = prefix;
    refuseMisspeltOptions(options);
    for (const [name, value] of Object.entries(options)) {
      if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
        throw mustBe(`object store option ${name}`, 'a string, a number or a boolean', value);
      }
      this.#values.set(name.toLowerCase(), value);
    }
  }

  /** The first of the names that is set; an empty string counts as not set. */
  text(...names: readonly string[]): string | undefined {
    const found = this.#find(names);
    return found === undefined || found.value === '' ? undefined : String(found.value);
  }

  flag(fallback: boolean, ...names: readonly string[]): boolean {
    const found = this.#find(names);
    if (found === undefined) return fallback;
    const text = String(found.value).toLowerCase();
    if (/^(?:1|true|t|on|yes|y)$/.test(text)) return true;
    if (/^(?:0|false|f|off|no|n)$/.test(text)) return false;
    throw this.#bad(found, 'true or false');
  }

  integer(fallback: number, minimum: number, ...names: readonly string[]): number {
    const found = this.#find(names);
    if (found === undefined) return fallback;
    const text = String(found.value).trim();
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value) || value < minimum) {
      throw this.#bad(found, `an integer of at least ${minimum}`);
    }
    return value;
  }

  /** A time such as `30s`, `500ms`, `1m 30s`, in milliseconds. */
  durationMs(fallbackMs: number, ...names: readonly string[]): number {
    const found = this.#find(names);
    if (found === undefined) return fallbackMs;
    const text = String(found.value).trim().toLowerCase();
    let total = 0;
    const rest = text.replace(
      /([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*/g,
      (part, digits: string, unit: string) => {
        const unitMs = UNITS_MS[unit];
        if (unitMs === undefined) return part;
        total += Number(digits) * unitMs;
        return '';
      },
    );
    if (rest !== '' || text === '' || !(total > 0)) {
      throw this.#bad(found, 'a time with its unit, such as 30s, 500ms or 1m 30s');
    }
    return total;
  }

  #find(names: readonly string[]): { name: string; value: string | number | boolean } | undefined {
    for (const bare of names) {
      for (const name of [this.#prefix + bare, bare]) {
        const value = this.#values.get(name);
        if (value !== undefined) return { name, value };
      }
    }
    return undefined;
  }

  #bad(found: { name: string; value: string | number | boolean }, wanted: string): IncorrectUsageError {
    return mustBe(`object store option ${found.name}`, wanted, found.value);
  }
}
