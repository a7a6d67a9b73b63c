/**
 * How much the crash tests do. In `npm test` a few rounds from a fixed seed; in `npm run test:crash` fresh ones, until each
 * test's share of the time is over.
 */
import type { TestContext } from 'node:test';
import { type Random, seededRandom } from '../../../src/system/random.ts';

/** The seed and the minutes of a long run, as test/e2e/crash/run.ts hands them on. */
export const SEED_VARIABLE = 'OPSQUEUE_CRASH_SEED';
export const MINUTES_VARIABLE = 'OPSQUEUE_CRASH_MINUTES';

const SEED_OF_SHORT_RUNS = 20_260_101;

/** Minutes of the whole long run; null in a short one. */
export function crashMinutes(): number | null {
  const text = process.env[MINUTES_VARIABLE];
  return text === undefined ? null : Number(text);
}

export interface Rounds {
  readonly random: Random;
  /** Numbers from 1: `short` of them, or as many as fit into `share` of a long run's time, but at least `short`. */
  readonly numbers: Iterable<number>;
  readonly isLong: boolean;
}

/** Prints the seed, which decides what the rounds do, and in the end how many there were. */
export function crashRounds(t: TestContext, short: number, share: number): Rounds {
  const minutes = crashMinutes();
  const seed = Number(process.env[SEED_VARIABLE] ?? SEED_OF_SHORT_RUNS);
  t.diagnostic(`seed ${seed}`);
  const endMs = performance.now() + (minutes ?? 0) * 60_000 * share;
  let rounds = 0;
  t.after(() => t.diagnostic(`${rounds} rounds`));
  return {
    random: seededRandom(seed),
    isLong: minutes !== null,
    numbers: (function* () {
      while (rounds < short || performance.now() < endMs) yield ++rounds;
    })(),
  };
}

/** How long the test may take at most: what hangs ends there. */
export function crashPatienceMs(share: number): number {
  return 120_000 + (crashMinutes() ?? 0) * 60_000 * share * 2;
}
