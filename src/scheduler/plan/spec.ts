import type { Strategy } from '../../model/strategy.ts';
import type { BaseOrder } from './rules.ts';

/** What ranks submissions: the in-flight count of their value, ascending, or the value itself, descending. */
export interface RankKey {
  readonly key: string;
  readonly by: 'in_flight' | 'value';
}

/** What a plan puts in order, and how: the same for all selections of values, which it serves side by side. */
export interface PlanSpec {
  /** Keys of which some values are selected, and those of which all but some are. */
  readonly only: readonly string[];
  readonly except: readonly string[];
  /** How many chunks of a value of the key may be in flight. */
  readonly limits: ReadonlyMap<string, number>;
  /** By importance. */
  readonly ranks: readonly RankKey[];
  readonly base: BaseOrder;
}

type Values = ReadonlyMap<string, ReadonlySet<bigint>>;

/** One way in which a strategy can be satisfied: it selects, limits and ranks. */
export interface Alternative {
  readonly only: Values;
  /** Of keys that are not in `only`. */
  readonly except: Values;
  readonly limits: ReadonlyMap<string, number>;
  readonly ranks: readonly RankKey[];
  readonly base: BaseOrder;
}

/** The alternatives of a strategy, to be asked in turn. What stands around an `OrElse` holds for both of its sides. */
export function alternativesOf(strategy: Strategy): readonly Alternative[] {
  const found: Alternative[] = [];
  const anything = { only: new Map(), except: new Map(), limits: new Map(), ranks: [] };
  collect(strategy, anything, found);
  return found;
}

type Around = Omit<Alternative, 'base'>;

function collect(strategy: Strategy, around: Around, found: Alternative[]): void {
  switch (strategy.kind) {
    case 'oldest':
    case 'newest':
    case 'random':
      found.push({ ...withoutOverlap(around), base: strategy.kind });
      return;
    case 'or_else':
      collect(strategy.first, around, found);
      collect(strategy.fallback, around, found);
      return;
    case 'prefer_distinct':
      collect(strategy.underlying, withRank(around, { key: strategy.metaKey, by: 'in_flight' }), found);
      return;
    case 'priority':
      collect(strategy.underlying, withRank(around, { key: strategy.metaKey, by: 'value' }), found);
      return;
    case 'select_only': {
      const before = around.only.get(strategy.metaKey);
      const values = strategy.values.filter((value) => before === undefined || before.has(value));
      const only = new Map(around.only).set(strategy.metaKey, new Set(values));
      collect(strategy.underlying, { ...around, only }, found);
      return;
    }
    case 'select_except': {
      const values = new Set([...(around.except.get(strategy.metaKey) ?? []), ...strategy.values]);
      const except = new Map(around.except).set(strategy.metaKey, values);
      collect(strategy.underlying, { ...around, except }, found);
      return;
    }
    case 'max_simultaneous': {
      const before = around.limits.get(strategy.metaKey) ?? Number.POSITIVE_INFINITY;
      const limits = new Map(around.limits).set(strategy.metaKey, Math.min(before, strategy.max));
      collect(strategy.underlying, { ...around, limits }, found);
      return;
    }
    default:
      strategy satisfies never;
  }
}

/** What comes again inside decides nothing more. */
function withRank(around: Around, rank: RankKey): Around {
  const isDecided = around.ranks.some(({ key, by }) => key === rank.key && by === rank.by);
  return isDecided ? around : { ...around, ranks: [...around.ranks, rank] };
}

function withoutOverlap(around: Around): Around {
  const only = new Map(around.only);
  const except = new Map(around.except);
  for (const [key, values] of around.only) {
    const excluded = except.get(key);
    if (excluded === undefined) continue;
    only.set(key, new Set([...values].filter((value) => !excluded.has(value))));
    except.delete(key);
  }
  return { ...around, only, except };
}

/** Whether a submission with these values qualifies, whatever is in flight. */
export function isSelected(alternative: Alternative, valueIn: (key: string) => bigint | undefined): boolean {
  for (const [key, values] of alternative.only) {
    const value = valueIn(key);
    if (value === undefined || !values.has(value)) return false;
  }
  for (const [key, values] of alternative.except) {
    const value = valueIn(key);
    if (value !== undefined && values.has(value)) return false;
  }
  return true;
}

/**
 * The plan that serves an alternative, without the keys that no open submission carries: so whoever invents keys does not
 * push out the plans that are in use. null if nothing can qualify.
 */
export function specOf(
  { only, except, limits, ranks, base }: Alternative,
  isCarried: (key: string) => boolean,
): PlanSpec | null {
  for (const [key, values] of only) if (values.size === 0 || !isCarried(key)) return null;
  const carried = (keys: Iterable<string>) => [...keys].filter(isCarried).sort();
  return {
    only: carried(only.keys()),
    except: carried(except.keys()),
    limits: new Map(carried(limits.keys()).map((key) => [key, limits.get(key)!])),
    ranks: ranks.filter(({ key }) => isCarried(key)),
    base,
  };
}

/** Equal for equal plans only. */
export function specText({ only, except, limits, ranks, base }: PlanSpec): string {
  return JSON.stringify([base, ranks.map(({ key, by }) => [by, key]), only, except, [...limits]]);
}
