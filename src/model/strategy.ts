import { checkStrategy, type StrategyShape } from './strategy-shape.ts';
import { parseStrategy, strategyText } from './strategy-text.ts';

/**
 * Which of the available chunks a reservation gets first, and which it gets at all. It travels with every reservation, so
 * different consumers can use different strategies on the same queue.
 *
 * Within a submission the order is always by chunk index ascending. Plain data, frozen; made by `Strategy`'s functions.
 */
export type Strategy = StrategyShape;

const OLDEST: Strategy = Object.freeze({ kind: 'oldest' });
const NEWEST: Strategy = Object.freeze({ kind: 'newest' });
const RANDOM: Strategy = Object.freeze({ kind: 'random' });

/** An integer of 64 bits, as values of strategic metadata are. */
type MetaValues = readonly (number | bigint)[];

/**
 * Makes strategies. Each function throws `IncorrectUsageError` for a key that is no Unicode text of at most 256 bytes, for values
 * or limits out of bounds, and for what nests deeper than 16 or has more than 32 parts.
 */
export const Strategy = {
  /** By submission id ascending: first come, first served. */
  oldest(): Strategy {
    return OLDEST;
  },

  /** By submission id descending. */
  newest(): Strategy {
    return NEWEST;
  },

  /** A random submission, with probability proportional to its number of available chunks. */
  random(): Strategy {
    return RANDOM;
  },

  /**
   * Submissions whose value of `metaKey` has the fewest chunks in flight come first; no value counts as 0.
   * Ties are broken by `underlying`.
   */
  preferDistinct(metaKey: string, underlying: Strategy = RANDOM): Strategy {
    return checkStrategy({ kind: 'prefer_distinct', metaKey, underlying });
  },

  /** Submissions with the highest value of `metaKey` come first; no value counts as 0. Ties are broken by `underlying`. */
  priority(metaKey: string, underlying: Strategy = RANDOM): Strategy {
    return checkStrategy({ kind: 'priority', metaKey, underlying });
  },

  /** Only chunks of submissions whose value of `metaKey` is one of `values` (1 to 256), in the order of `underlying`. */
  selectOnly(metaKey: string, values: MetaValues, underlying: Strategy = RANDOM): Strategy {
    return checkStrategy({ kind: 'select_only', metaKey, values, underlying });
  },

  /**
   * Only chunks of submissions whose value of `metaKey` is none of `values` (1 to 256), in the order of `underlying`. A submission
   * without the key qualifies.
   */
  selectExcept(metaKey: string, values: MetaValues, underlying: Strategy = RANDOM): Strategy {
    return checkStrategy({ kind: 'select_except', metaKey, values, underlying });
  },

  /**
   * Never a chunk that would lift the in-flight count of its value of `metaKey` above `max` (at least 1): counted over all
   * consumers of the queue, whatever strategies they use. A submission without the key is not limited.
   */
  maxSimultaneous(metaKey: string, max: number, underlying: Strategy = RANDOM): Strategy {
    return checkStrategy({ kind: 'max_simultaneous', metaKey, max, underlying });
  },

  /**
   * `first` as long as it yields something, else `fallback`. What stands around it holds for both: so
   * `preferDistinct(k, orElse(a, b))` is `orElse(preferDistinct(k, a), preferDistinct(k, b))`.
   */
  orElse(first: Strategy, fallback: Strategy): Strategy {
    return checkStrategy({ kind: 'or_else', first, fallback });
  },

  /** `preferDistinct(customer, selectOnly(kind, [1, 2], oldest))`: for logs, command lines and configuration. */
  toText(strategy: Strategy): string {
    return strategyText(checkStrategy(strategy));
  },

  /**
   * The strategy of a text as `toText` gives it; spaces do not matter, and an inner strategy at the end may be left out: it
   * is `random`.
   *
   * @throws IncorrectUsageError that says what is wrong, and where
   */
  parse(text: string): Strategy {
    return parseStrategy(text);
  },
} as const;
