import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import type { ChunkRun } from './run/run.ts';

/** The first line comes after this long, in milliseconds; each later one after twice the time. */
const FIRST_LINE_MS = 10_000;

/** While a client stops: names what it waits for, at growing intervals. The timer is to be cancelled at the end. */
export function logWhileStopping(clock: Clock, logger: Logger, runs: readonly ChunkRun[]): Timer {
  let timer: Timer;
  const arm = (delayMs: number) => {
    timer = clock.after(
      delayMs,
      () => {
        const [waiting] = runs.flatMap((run) => run.waitsFor ?? []);
        if (waiting !== undefined) logger.warn(waiting, 'stop waits for a callback that has not finished');
        arm(2 * delayMs);
      },
      { unref: true },
    );
  };
  arm(FIRST_LINE_MS);
  return { cancel: () => timer.cancel() };
}
