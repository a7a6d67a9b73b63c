/** What is known of one thing that is asked for again and again. By the queue's clock. */
export interface Hearing {
  readonly startedAtMs: number;
  /** The latest answer, be it a refusal; null: none yet. */
  readonly heardAtMs: number | null;
  /** Since when and why there is no answer; null: there was one. */
  readonly failure: { readonly sinceMs: number; readonly text: string } | null;
  /** The latest answer was a refusal, which is said where it stands. */
  readonly isRefused: boolean;
  /** It is asked for less often, by this factor. */
  readonly slower: number;
}

/** Why nothing at all is heard: something fails, and since that began there was no answer to anything. Null: something is heard. */
export function problemOf(feeds: Iterable<Hearing>): string | null {
  let latest: Hearing['failure'] = null;
  let heardAtMs = Number.NEGATIVE_INFINITY;
  for (const feed of feeds) {
    heardAtMs = Math.max(heardAtMs, feed.heardAtMs ?? heardAtMs);
    if (feed.failure !== null && feed.failure.sinceMs >= (latest?.sinceMs ?? 0)) latest = feed.failure;
  }
  return latest === null || heardAtMs > latest.sinceMs ? null : latest.text;
}

/** Silence below this is nothing. */
const OLD_MS = 3_000;

/** For how long nothing was heard of what is the latest by its own interval. */
export function silenceOf(
  feeds: Iterable<Hearing>,
  nowMs: number,
  intervalMs: number,
): { readonly silentMs: number; readonly isOld: boolean } {
  let silentMs = 0;
  let worst = 0;
  for (const { startedAtMs, heardAtMs, isRefused, slower } of feeds) {
    if (isRefused) continue;
    const ms = Math.max(0, nowMs - (heardAtMs ?? startedAtMs));
    const late = ms / Math.max(OLD_MS, intervalMs * slower * 2);
    if (late > worst) [worst, silentMs] = [late, ms];
  }
  return { silentMs, isOld: worst > 1 };
}
