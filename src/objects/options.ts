import { mustBe } from '../model/check.ts';
import type { IncorrectUsageError } from '../model/errors.ts';
import { parseDuration } from '../system/time/duration.ts';
import type { ObjectStoreOptions } from './object-store.ts';
import { refuseMisspeltOptions } from './option-names.ts';

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

  /** A duration such as `30s`, `500ms`, `1m 30s`, in milliseconds. */
  durationMs(fallbackMs: number, ...names: readonly string[]): number {
    const found = this.#find(names);
    if (found === undefined) return fallbackMs;
    const ms = parseDuration(String(found.value), `object store option ${found.name}`);
    if (ms > 0) return ms;
    throw this.#bad(found, 'a duration of more than 0s');
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
