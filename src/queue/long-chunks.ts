import type { HandedOutChunk, OpenSubmission } from '../scheduler/types.ts';
import type { Logger } from '../system/log/logger.ts';

/** A chunk takes far longer than the others: this many times their average ... */
const TIMES_LONGER = 10;
/** ... and at least this long, in milliseconds; where none of its submission is done yet, ten times this. */
const TOOK_MS_MIN = 60_000;
/** At most one line in this time, in milliseconds. */
const PAUSE_MS = 60_000;

/** Shorter ones count as nothing: that changes the limit by ten seconds of a minute at most, and there may be very many of them. */
const COUNTED_FROM_MS = 1_000;

/** When the next line may be logged, on the monotonic clock: of all that share it. */
export interface LongChunksPace {
  nextLineMs: number;
}

/** Names in the log the chunks that consumers keep working on for far longer than on the others. */
export class LongChunks {
  readonly #logger: Logger;
  /** How long chunks that were completed were reserved, together. */
  readonly #tookMs = new Map<OpenSubmission, number>();
  readonly #lines: LongChunksPace;

  constructor(logger: Logger, lines: LongChunksPace) {
    this.#logger = logger;
    this.#lines = lines;
  }

  /** A chunk was done that was reserved for so long. */
  completed(submission: OpenSubmission, tookMs: number): void {
    if (tookMs < COUNTED_FROM_MS) return;
    this.#tookMs.set(submission, (this.#tookMs.get(submission) ?? 0) + tookMs);
  }

  ended(submission: OpenSubmission): void {
    this.#tookMs.delete(submission);
  }

  /** Its consumer has just reported that it still works on the chunk. */
  stillRuns({ submission, chunkIndex, reservedMs }: HandedOutChunk, connId: string, nowMs: number): void {
    if (nowMs < this.#lines.nextLineMs) return;
    const { completions } = submission;
    const usualMs = completions === 0 ? null : (this.#tookMs.get(submission) ?? 0) / completions;
    const limitMs =
      usualMs === null ? TIMES_LONGER * TOOK_MS_MIN : Math.max(TIMES_LONGER * usualMs, TOOK_MS_MIN);
    const tookMs = nowMs - reservedMs;
    if (tookMs < limitMs) return;
    this.#lines.nextLineMs = nowMs + PAUSE_MS;
    this.#logger.warn(
      {
        submission: String(submission.record.id),
        chunk: chunkIndex,
        connId,
        tookMs: Math.round(tookMs),
        usualMs: usualMs === null ? null : Math.round(usualMs),
      },
      'a chunk takes far longer than the others',
    );
  }
}
