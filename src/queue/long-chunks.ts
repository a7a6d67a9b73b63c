import type { ChunkIndex } from '../model/ids.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Logger } from '../system/logger.ts';
import { Companion } from './companion.ts';

/** A chunk takes far longer than the others: this many times their average ... */
const TIMES_LONGER = 10;
/** ... and at least this long, in milliseconds; where none of its submission is done yet, ten times this. */
const TOOK_MS_MIN = 60_000;
/** At most one line in this time, in milliseconds. */
const PAUSE_MS = 60_000;

/** Names in the log the chunks that consumers keep working on for far longer than on the others. */
export class LongChunks {
  readonly #logger: Logger;
  #nextLineMs = Number.NEGATIVE_INFINITY;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Its consumer has just reported that it still works on the chunk. */
  stillRuns(submission: OpenSubmission, chunkIndex: ChunkIndex, connId: string, nowMs: number): void {
    if (nowMs < this.#nextLineMs) return;
    const { reservedAtMs, usualMs } = Companion.of(submission);
    const sinceMs = reservedAtMs.get(chunkIndex);
    if (sinceMs === undefined) return;
    const limitMs =
      usualMs === null ? TIMES_LONGER * TOOK_MS_MIN : Math.max(TIMES_LONGER * usualMs, TOOK_MS_MIN);
    const tookMs = nowMs - sinceMs;
    if (tookMs < limitMs) return;
    this.#nextLineMs = nowMs + PAUSE_MS;
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
