/**
 * Which of the available chunks a reservation gets first. It travels with every reservation, so different
 * consumers can use different strategies on the same queue.
 *
 * Within a submission the order is always by chunk index ascending.
 */
export type Strategy =
  | { readonly kind: 'oldest' }
  | { readonly kind: 'newest' }
  | { readonly kind: 'random' }
  | { readonly kind: 'prefer_distinct'; readonly metaKey: string; readonly underlying: Strategy };

const OLDEST: Strategy = Object.freeze({ kind: 'oldest' });
const NEWEST: Strategy = Object.freeze({ kind: 'newest' });
const RANDOM: Strategy = Object.freeze({ kind: 'random' });

/** Makes strategies. */
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
   * Ties are broken by `underlying`, which may be another `preferDistinct`.
   */
  preferDistinct(metaKey: string, underlying: Strategy = RANDOM): Strategy {
    return { kind: 'prefer_distinct', metaKey, underlying };
  },
} as const;

/** Whether two strategies order alike because they are written alike. */
export function isSameStrategy(one: Strategy, other: Strategy): boolean {
  let a = one;
  let b = other;
  while (a !== b) {
    if (a.kind !== 'prefer_distinct') {
      // There is nothing to them but their kind.
      a.kind satisfies 'oldest' | 'newest' | 'random';
      return a.kind === b.kind;
    }
    if (b.kind !== 'prefer_distinct' || a.metaKey !== b.metaKey) return false;
    a = a.underlying;
    b = b.underlying;
  }
  return true;
}
