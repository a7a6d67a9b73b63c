import type { Strategy } from '../../model/strategy.ts';
import { strategyText } from '../../model/strategy-text.ts';
import { plural } from '../../protocol/api/words.ts';

/** What of a submission decides whether a strategy gives it out. */
export interface Carrying {
  readonly pairs: ReadonlyMap<string, bigint>;
  /** How many chunks with that pair are in flight, of all submissions. */
  inFlight(key: string, value: bigint): number;
}

/** Why a strategy does not give the submission out now, in words; null if it does. */
export function exclusionOf(strategy: Strategy, submission: Carrying): string | null {
  switch (strategy.kind) {
    case 'oldest':
    case 'newest':
    case 'random':
      return null;
    case 'prefer_distinct':
    case 'priority':
      return exclusionOf(strategy.underlying, submission);
    case 'select_only': {
      const value = submission.pairs.get(strategy.metaKey);
      const isSelected = value !== undefined && strategy.values.some((each) => BigInt(each) === value);
      if (isSelected) return exclusionOf(strategy.underlying, submission);
      return `${strategyText(strategy)} selects other values of ${strategy.metaKey}: it has ${value ?? 'none'}`;
    }
    case 'select_except': {
      const value = submission.pairs.get(strategy.metaKey);
      const isExcepted = value !== undefined && strategy.values.some((each) => BigInt(each) === value);
      if (!isExcepted) return exclusionOf(strategy.underlying, submission);
      return `${strategyText(strategy)} excepts ${strategy.metaKey}=${value}`;
    }
    case 'max_simultaneous': {
      const value = submission.pairs.get(strategy.metaKey);
      const inFlight = value === undefined ? 0 : submission.inFlight(strategy.metaKey, value);
      if (inFlight < strategy.max) return exclusionOf(strategy.underlying, submission);
      return `${strategyText(strategy)} allows ${plural(strategy.max, 'chunk')} of ${strategy.metaKey}=${value} at once, and ${plural(inFlight, 'is', 'are')} in flight`;
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
