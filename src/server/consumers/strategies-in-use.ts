import { STRATEGIES_OF_CONNECTION_MAX, STRATEGIES_PERIOD_MS } from '../../model/limits.ts';
import type { Strategy } from '../../model/strategy.ts';
import { isSameStrategy, isSameWithoutValues } from '../../model/strategy-shape.ts';

interface Use {
  strategy: Strategy;
  lastMs: number;
}

/**
 * The strategies that a connection has used of late. Whoever invents new ones keeps the queue busy with putting its
 * submissions in their order, and pushes out the orders that others use: so their number is limited. Selections of other
 * values share an order, and count as one.
 */
export class StrategiesInUse {
  /** The one used last first. */
  readonly #uses: Use[] = [];

  /** null: none yet. */
  get last(): Strategy | null {
    return this.#uses[0]?.strategy ?? null;
  }

  /**
   * It is to be used now.
   *
   * @returns the same strategy, as the object that came before if it is the last one again: so it need not be compared
   *   further on; null if it would be one too many
   */
  use(strategy: Strategy, nowMs: number): Strategy | null {
    const uses = this.#uses;
    const at = uses.findIndex((use) => isSameWithoutValues(use.strategy, strategy));
    if (at < 0) {
      while (uses.length > 0 && nowMs - uses.at(-1)!.lastMs >= STRATEGIES_PERIOD_MS) uses.pop();
      if (uses.length >= STRATEGIES_OF_CONNECTION_MAX) return null;
      uses.unshift({ strategy, lastMs: nowMs });
      return strategy;
    }
    const use = uses[at]!;
    use.lastMs = nowMs;
    if (!isSameStrategy(use.strategy, strategy)) use.strategy = strategy;
    if (at > 0) {
      uses.copyWithin(1, 0, at);
      uses[0] = use;
    }
    return use.strategy;
  }
}
