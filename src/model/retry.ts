/**
 * When a chunk that failed, or whose reservation expired, is tried again. The n-th retry waits `delayMs * factor ^ (n - 1)`,
 * `delayMsMax` at most, less a random part of it.
 */
export interface RetryPolicy {
  /** The try that is the last one: if it fails, the submission does. 1 = no retry; null = as the queue has it (`--max-chunk-retries`). */
  readonly triesMax: number | null;
  /** The wait before the first retry, in milliseconds; 0 = no waits at all. */
  readonly delayMs: number;
  /** The wait grows by this factor with each retry; 1 = it stays the same. */
  readonly factor: number;
  /** The longest wait, in milliseconds. */
  readonly delayMsMax: number;
  /** The random part of a wait, 0 to 1: with 0.5 it lasts between half of and the whole of the time. */
  readonly jitter: number;
}

/** What our producers ask for: 1 s, 2 s, 4 s, ... up to a minute. */
export const RETRY_DEFAULT: RetryPolicy = Object.freeze({
  triesMax: null,
  delayMs: 1_000,
  factor: 2,
  delayMsMax: 60_000,
  jitter: 0.5,
});

/** The least and the greatest value of each field. */
export const RETRY_BOUNDS = {
  triesMax: [1, 1_000_000_000],
  delayMs: [0, 7 * 24 * 3_600_000],
  factor: [1, 1_000],
  delayMsMax: [0, 7 * 24 * 3_600_000],
  jitter: [0, 1],
} as const satisfies { readonly [Field in keyof RetryPolicy]: readonly [number, number] };

/** How long the n-th retry (from 1) waits, in milliseconds; `draw` is called at most once, and gives 0 to 1. */
export function retryDelayMs(policy: RetryPolicy, retry: number, draw: () => number): number {
  const { delayMs, factor, delayMsMax, jitter } = policy;
  if (delayMs === 0) return 0;
  const stepMs = Math.min(delayMs * factor ** (retry - 1), delayMsMax);
  return jitter === 0 || stepMs === 0 ? stepMs : stepMs * (1 - jitter * draw());
}
