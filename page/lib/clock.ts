import { Skew } from './skew.ts';
import { Store } from './store.ts';

/** How far the queue's clock is ahead of this browser's. */
const skew = new Skew();

/** The queue's time, which moves on every second while the page is visible. */
export const now = new Store(Date.now());

/** The queue's time, in Unix milliseconds. */
export function queueNowMs(): number {
  return Date.now() + skew.aheadMs;
}

export function startClock(): void {
  const tick = () => {
    if (document.visibilityState === 'visible') now.set(queueNowMs());
  };
  setInterval(tick, 1_000);
  document.addEventListener('visibilitychange', tick);
}

/** Every answer says when it was sent. */
export function learnTime(sentAtMs: number): void {
  if (skew.learn(sentAtMs - Date.now())) now.set(queueNowMs());
}
