import { STRATEGIES_OF_CONNECTION_MAX, STRATEGIES_PERIOD_MS } from '../../model/limits.ts';
import { isSameStrategy, type Strategy } from '../../model/strategy.ts';

interface Use {
  readonly strategy: Strategy;
  lastMs: number;
}

/**
 * The strategies that a connection has used of late. Whoever invents new ones keeps the queue busy with putting its
 * submissions in their order, and pushes out the orders that others use: so their number is limited.
 */
export class StrategiesInUse {
  /** The one used last first. */
  readonly #uses: Use[] = [];

  /** It is to be used now. Returns false if that would be one too many. */
  use(strategy: Strategy, nowMs: number): boolean {
    const uses = this.#uses;
    const at = uses.findIndex((use) => isSameStrategy(use.strategy, strategy));
    if (at < 0) {
      while (uses.length > 0 && nowMs - uses.at(-1)!.lastMs >= STRATEGIES_PERIOD_MS) uses.pop();
      if (uses.length >= STRATEGIES_OF_CONNECTION_MAX) return false;
      uses.unshift({ strategy, lastMs: nowMs });
      return true;
    }
    const use = uses[at]!;
    use.lastMs = nowMs;
    if (at > 0) {
      uses.copyWithin(1, 0, at);
      uses[0] = use;
    }
    return true;
  }
}
