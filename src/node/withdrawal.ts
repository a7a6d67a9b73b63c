import type { Clock } from '../system/time/clock.ts';
import { absenceMs } from './absence.ts';

/** A node that is alone tries again after this share of a lease. */
const TRY_SHARE = 1 / 3;

/**
 * A node that cannot open shards lets the others try, for a lease at first, then for twice as long each time that it has
 * tried in vain.
 */
export class Withdrawal {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #lengthMs = 0;
  #beganMs = 0;

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  get isOn(): boolean {
    return this.#clock.monotonicMs() - this.#beganMs < this.#lengthMs;
  }

  /** What nobody else takes. */
  get mayTry(): boolean {
    return this.#clock.monotonicMs() - this.#beganMs >= this.#leaseMs * TRY_SHARE;
  }

  begin(): void {
    // Shards that fail together count once.
    if (!this.isOn || this.mayTry) this.#lengthMs = absenceMs(this.#lengthMs, this.#leaseMs);
    this.#beganMs = this.#clock.monotonicMs();
  }

  /** It has opened one. */
  end(): void {
    this.#lengthMs = 0;
  }
}
