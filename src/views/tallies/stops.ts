interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The last ones that are kept. */
const SPANS_MAX = 32;

/**
 * When nothing could be handed out of a submission or a queue, on the monotonic clock: that time says nothing of its pace. What was
 * in flight when it came to a stop is done and counted all the same: it stands still only once the last of that is done.
 */
export class Stops {
  #spans: Span[] = [];
  #sinceMs: number | null = null;

  /** Whether it stands still, as of now. */
  look(isStopped: boolean, nowMs: number): void {
    if (isStopped) this.#sinceMs ??= nowMs;
    else if (this.#sinceMs !== null) {
      this.#spans = [...this.#spans.slice(1 - SPANS_MAX), { fromMs: this.#sinceMs, toMs: nowMs }];
      this.#sinceMs = null;
    }
  }

  /** Something was done. */
  worked(nowMs: number): void {
    if (this.#sinceMs !== null) this.#sinceMs = nowMs;
  }

  /** In their order. */
  until(nowMs: number): readonly Span[] {
    const sinceMs = this.#sinceMs;
    return sinceMs === null ? this.#spans : [...this.#spans, { fromMs: sinceMs, toMs: nowMs }];
  }
}

/** How long of the time from then until now none of these stood still. */
export function runningMs(fromMs: number, nowMs: number, all: readonly (Stops | null)[]): number {
  const spans = all.flatMap((stops) => stops?.until(nowMs) ?? []).sort((a, b) => a.fromMs - b.fromMs);
  let runningMs = nowMs - fromMs;
  let coveredMs = fromMs;
  for (const span of spans) {
    const beginMs = Math.max(coveredMs, span.fromMs);
    if (span.toMs <= beginMs) continue;
    runningMs -= span.toMs - beginMs;
    coveredMs = span.toMs;
  }
  return Math.max(0, runningMs);
}
