import type { Strategy } from '../../model/strategy.ts';

/** What of a submission decides whether a strategy gives it out. */
export interface Carrying {
  readonly pairs: ReadonlyMap<string, bigint>;
  /** How many chunks with that pair are in flight, of all submissions. */
  inFlight(key: string, value: bigint): number;
}

/** Why a strategy does not give a submission out now. */
export type Exclusion =
  | {
      readonly kind: 'not_selected';
      readonly key: string;
      /** Those that it selects. */
      readonly values: readonly (number | bigint)[];
    }
  | { readonly kind: 'excepted'; readonly key: string; readonly value: bigint }
  | {
      readonly kind: 'at_limit';
      readonly key: string;
      readonly value: bigint;
      readonly max: number;
      readonly inFlight: number;
    };

/** null: it does give it out. */
export function exclusionOf(strategy: Strategy, submission: Carrying): Exclusion | null {
  switch (strategy.kind) {
    case 'oldest':
    case 'newest':
    case 'random':
      return null;
    case 'prefer_distinct':
    case 'priority':
      return exclusionOf(strategy.underlying, submission);
    case 'select_only': {
      const { metaKey: key, values, underlying } = strategy;
      const value = submission.pairs.get(key);
      const isSelected = value !== undefined && values.some((each) => BigInt(each) === value);
      return isSelected ? exclusionOf(underlying, submission) : { kind: 'not_selected', key, values };
    }
    case 'select_except': {
      const { metaKey: key, values, underlying } = strategy;
      const value = submission.pairs.get(key);
      const isExcepted = value !== undefined && values.some((each) => BigInt(each) === value);
      return isExcepted ? { kind: 'excepted', key, value } : exclusionOf(underlying, submission);
    }
    case 'max_simultaneous': {
      const { metaKey: key, max, underlying } = strategy;
      const value = submission.pairs.get(key);
      const inFlight = value === undefined ? 0 : submission.inFlight(key, value);
      if (value === undefined || inFlight < max) return exclusionOf(underlying, submission);
      return { kind: 'at_limit', key, value, max, inFlight };
    }
    case 'or_else': {
      const first = exclusionOf(strategy.first, submission);
      return first === null ? null : exclusionOf(strategy.fallback, submission) && first;
    }
  }
}

/** What two submissions are put in order by. */
export interface Ranked {
  readonly id: bigint;
  readonly pairs: ReadonlyMap<string, bigint>;
}

/** Whether the strategy gives out `a` before `b`; null: that is left to chance, or to what is in flight. */
export function comesFirst(strategy: Strategy, a: Ranked, b: Ranked): boolean | null {
  switch (strategy.kind) {
    case 'oldest':
      return a.id < b.id;
    case 'newest':
      return a.id > b.id;
    case 'random':
    case 'prefer_distinct':
      return null;
    case 'priority': {
      const [ofA, ofB] = [a, b].map(({ pairs }) => pairs.get(strategy.metaKey) ?? 0n);
      return ofA === ofB ? comesFirst(strategy.underlying, a, b) : ofA! > ofB!;
    }
    case 'select_only':
    case 'select_except':
    case 'max_simultaneous':
      return comesFirst(strategy.underlying, a, b);
    case 'or_else':
      return comesFirst(strategy.first, a, b);
  }
}
