import { Store } from './store.ts';

/** How far the queue's clock is ahead of this browser's. */
let aheadMs = 0;
/** Differences below this are the network's. */
const SKEW_MS_MIN = 1_000;

/** The queue's time, which moves on every second while the page is visible. */
export const now = new Store(Date.now());

export function startClock(): void {
  const tick = () => {
    if (document.visibilityState === 'visible') now.set(Date.now() + aheadMs);
  };
  setInterval(tick, 1_000);
  document.addEventListener('visibilitychange', tick);
}

/** An answer says when it was made, and how old it was when it was sent. */
export function learnTime(asOf: string, ageMs: number): void {
  const ahead = Date.parse(asOf) + ageMs - Date.now();
  if (Number.isFinite(ahead) && Math.abs(ahead - aheadMs) > SKEW_MS_MIN) {
    aheadMs = Math.abs(ahead) > SKEW_MS_MIN ? ahead : 0;
    now.set(Date.now() + aheadMs);
  }
}
