import type { ChunkIndex } from '../model/ids.ts';
import { type PreparedSubmission, prepareSubmission } from '../protocol/consumer/codec.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Timer } from '../system/clock.ts';

/** Somebody who wants to hear of a submission's progress. */
export interface ProgressWaiter {
  /** Woken when more chunks than these are done; null: only by the end. */
  readonly doneAbove: number | null;
  readonly wake: () => void;
  timer: Timer | null;
}

/** What the server keeps beside a submission on the schedule; made when it is first needed. */
export class Companion {
  /** The submission's half of a reservation, encoded once. */
  readonly prepared: PreparedSubmission;
  /** When each chunk was reserved last. */
  readonly reservedAtMs = new Map<ChunkIndex, number>();
  /** null as long as nobody waits, which is nearly always. */
  waiters: Set<ProgressWaiter> | null = null;

  /** Of the chunks that were completed: their number, and how long they were reserved together. */
  #completed = 0;
  #completedMs = 0;

  constructor(submission: OpenSubmission) {
    this.prepared = prepareSubmission(submission.record);
  }

  noteCompleted(tookMs: number): void {
    this.#completed++;
    this.#completedMs += tookMs;
  }

  /** How long a completed chunk was reserved, on average; null if none was completed. */
  get usualMs(): number | null {
    return this.#completed === 0 ? null : this.#completedMs / this.#completed;
  }

  static of(submission: OpenSubmission): Companion {
    const known = submission.attachment;
    if (known instanceof Companion) return known;
    const companion = new Companion(submission);
    submission.attachment = companion;
    return companion;
  }
}
