import { isObject, mustBe } from './check.ts';
import { IncorrectUsageError } from './errors.ts';
import { isAbortSignal } from './kinds.ts';

/** The names of all options of a type. As an object, so that the compiler sees that none is missing; the values do not matter. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: unknown };

/** Letters that may differ between a name and what was meant. */
const DISTANCE_MAX = 3;

/**
 * Refuses options that no code reads: a misspelt one would have no effect, and nothing else would report it. One that is
 * undefined was left out.
 *
 * @throws IncorrectUsageError that names the option and the nearest one that exists
 */
export function refuseUnknownOptions<Options extends object>(
  options: Options,
  names: OptionNames<Options>,
): void {
  if (!isObject(options)) throw mustBe('the options', 'an object', options);
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !Object.hasOwn(names, name))
      throw new IncorrectUsageError(unknownOption(name, Object.keys(names)));
  }
}

/** The options of a call: an object with known names, and a signal that is one. */
export function checkCallOptions<Options extends object>(
  options: Options,
  names: OptionNames<Options>,
): Options {
  refuseUnknownOptions(options, names);
  const { signal }: { readonly signal?: unknown } = options;
  if (signal !== undefined && !isAbortSignal(signal)) throw mustBe('signal', 'an AbortSignal', signal);
  return options;
}

/** What is said of an option that does not exist. */
export function unknownOption(name: string, known: readonly string[]): string {
  const unknown = `unknown option ${JSON.stringify(name.slice(0, 100))}`;
  const near = nearestName(name, known);
  if (near !== null) return `${unknown}: did you mean "${near}"?`;
  return known.length === 0
    ? `${unknown}: there are no options`
    : `${unknown}: the options are ${known.join(', ')}`;
}

/** The one of `known` that was probably meant; null if none is like it. */
export function nearestName(name: string, known: readonly string[]): string | null {
  const wanted = simplified(name);
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const have = simplified(candidate);
    // Cut short, or with a unit too many: the name that differs least.
    const isPart = wanted.length >= 3 && (have.includes(wanted) || wanted.includes(have));
    const distance = isPart ? Math.abs(have.length - wanted.length) / 100 : editDistance(wanted, have);
    const limit = Math.min(DISTANCE_MAX, Math.floor(have.length / 2));
    if (distance <= limit && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function simplified(name: string): string {
  return name
    .slice(0, 100)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '');
}

/** How many letters have to be added, removed or replaced. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
