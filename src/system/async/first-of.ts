import type { Clock, Timer } from '../time/clock.ts';

export type First<T> =
  | { readonly kind: 'first'; readonly value: T }
  /** One error for each attempt, in their order. */
  | { readonly kind: 'none'; readonly errors: readonly unknown[] };

/**
 * Makes one attempt after the other: the next begins when one has failed, or when there is no outcome after `patienceMs`. The first that
 * succeeds counts; `discard` gets what others have come to.
 */
export function firstOf<T>(
  clock: Clock,
  patienceMs: number,
  attempts: readonly (() => Promise<T>)[],
  discard: (value: T) => void,
): Promise<First<T>> {
  const { promise, resolve } = Promise.withResolvers<First<T>>();
  const errors: unknown[] = [];
  let timer: Timer | null = null;
  let begun = 0;
  let failed = 0;
  let isOver = false;
  const begin = () => {
    timer?.cancel();
    const index = begun++;
    const attempt = attempts[index];
    if (attempt === undefined) return;
    if (begun < attempts.length) timer = clock.after(patienceMs, begin);
    attempt().then(
      (value) => {
        if (isOver) return discard(value);
        isOver = true;
        timer?.cancel();
        resolve({ kind: 'first', value });
      },
      (error: unknown) => {
        errors[index] = error;
        failed++;
        if (isOver) return;
        if (failed < attempts.length) return begin();
        isOver = true;
        resolve({ kind: 'none', errors });
      },
    );
  };
  begin();
  return promise;
}
