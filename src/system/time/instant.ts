import type { Clock } from './clock.ts';

/** When something was, by both clocks of the machine. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export function instantOf(clock: Clock): Instant {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
}

/**
 * How long ago that was, at least, by whichever clock says more: the monotonic one stands still while the machine is
 * suspended, the wall clock may be set back.
 */
export function msSince(instant: Instant, clock: Clock): number {
  return Math.max(clock.monotonicMs() - instant.monotonicMs, clock.nowMs() - instant.wallMs);
}
