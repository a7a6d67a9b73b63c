/** However often it has been in vain, unless a lease is longer. */
export const ABSENCE_MS_MAX = 60_000;

/** For how long a node keeps away from what it could not open: a lease at first, so that others can try, then twice as long each time. @param lastMs the last time; 0: there was none */
export function absenceMs(lastMs: number, leaseMs: number): number {
  return Math.min(Math.max(leaseMs, lastMs * 2), Math.max(leaseMs, ABSENCE_MS_MAX));
}
