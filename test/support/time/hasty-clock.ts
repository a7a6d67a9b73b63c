import type { Timer } from '../../../src/system/time/clock.ts';
import { ManualClock } from './manual-clock.ts';

/** Every wait passes at once, and is written down. */
export class HastyClock extends ManualClock {
  readonly waits: number[] = [];

  override after(delayMs: number, run: () => void): Timer {
    this.waits.push(delayMs);
    const timer = super.after(delayMs, run);
    setImmediate(() => this.advance(delayMs));
    return timer;
  }
}
