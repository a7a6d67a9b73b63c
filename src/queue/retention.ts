import type { ShardId, SubmissionId } from '../model/ids.ts';
import { StoreError } from '../store/errors.ts';
import type { DueSubmission, Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';

export interface RetentionTimes {
  /** How long ended submissions are remembered, in milliseconds. */
  readonly submissionAgeMsMax: number;
  /**
   * Reading an ended submission keeps it for another `submissionAgeMsMax`, but not beyond so long after the time
   * at which it would have been forgotten, in milliseconds. Default 24 hours.
   */
  readonly readPostponementMsMax?: number | undefined;
  /** How often to look. Default: a tenth of `submissionAgeMsMax`, between 100 ms and a minute. */
  readonly retentionIntervalMs?: number | undefined;
  /** Submissions that are looked at, and forgotten, in one step, so that no commit waits for long. Default 500. */
  readonly retentionStepMax?: number | undefined;
}

export interface RetentionOptions extends RetentionTimes {
  readonly store: Store;
  /** Those of the queue. */
  readonly shards: () => readonly ShardId[];
  /** The store has them no more. */
  readonly forgotten: (ids: readonly SubmissionId[]) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Of so many ended submissions it is known when they were read last; the one unread for longest is dropped. */
const READ_MAX = 100_000;

/** Forgets ended submissions when their time is up. Reading one extends its time. */
export class Retention {
  readonly #o: RetentionOptions;
  readonly #ageMaxMs: number;
  readonly #postponementMaxMs: number;
  readonly #intervalMs: number;
  /** When each was read last, on the monotonic clock; in that order. */
  readonly #readAtMs = new Map<SubmissionId, number>();
  #timer: Timer | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = false;
  /** Those that are not to be forgotten now. */
  readonly #kept = new Set<SubmissionId>();
  /** The last step: what is due is looked up, and forgotten. */
  #step: Promise<void> = Promise.resolve();

  constructor(options: RetentionOptions) {
    this.#o = options;
    this.#ageMaxMs = options.submissionAgeMsMax;
    this.#postponementMaxMs = options.readPostponementMsMax ?? 24 * 3_600_000;
    this.#intervalMs = options.retentionIntervalMs ?? Math.min(Math.max(this.#ageMaxMs / 10, 100), 60_000);
  }

  /** An ended submission has been read. */
  read(id: SubmissionId): void {
    this.#readAtMs.delete(id);
    this.#readAtMs.set(id, this.#o.clock.monotonicMs());
    if (this.#readAtMs.size <= READ_MAX) return;
    const [oldest] = this.#readAtMs.keys();
    if (oldest !== undefined) this.#readAtMs.delete(oldest);
  }

  /**
   * Resolves when the submission is forgotten, or certain to be there until it is let go.
   *
   * @returns lets it go
   */
  async keep(id: SubmissionId): Promise<() => void> {
    this.#kept.add(id);
    await this.#step;
    return () => void this.#kept.delete(id);
  }

  /** Resolves when what was looked up as due until now is forgotten. */
  async settled(): Promise<void> {
    await this.#step;
  }

  /** Idempotent. */
  start(): void {
    if (this.#timer === null) this.#arm();
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = this.#o.clock.after(
      this.#intervalMs,
      () => {
        this.#running = this.runOnce()
          .catch((error: unknown) => {
            // The store may be closed before it has answered.
            if (this.#isStopped) return;
            const fields = error instanceof StoreError ? { error: error.message } : { err: error };
            this.#o.logger.warn(fields, 'cannot forget old submissions, trying again later');
          })
          .then(() => this.#arm());
      },
      { unref: true },
    );
  }

  /** Waits for a step that is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** Forgets all whose time is up; returns how many. */
  async runOnce(): Promise<{ readonly submissionsForgotten: number }> {
    const { clock, logger } = this.#o;
    const dueMs = clock.nowMs() - this.#ageMaxMs;
    const postponableFromMs = dueMs - this.#postponementMaxMs;
    const read = this.#readLately();
    const submissionsForgotten = await this.#forget(
      dueMs,
      ({ id, endedAtMs }) => endedAtMs < postponableFromMs || !read.has(id),
    );
    if (submissionsForgotten > 0) {
      logger.debug({ submissions: submissionsForgotten }, 'forgot ended submissions');
    }
    return { submissionsForgotten };
  }

  /** The others are dropped here. */
  #readLately(): ReadonlySet<SubmissionId> {
    const sinceMs = this.#o.clock.monotonicMs() - this.#ageMaxMs;
    for (const [id, atMs] of this.#readAtMs) {
      if (atMs > sinceMs) break;
      this.#readAtMs.delete(id);
    }
    return new Set(this.#readAtMs.keys());
  }

  async #forget(endedBeforeMs: number, isOver: (submission: DueSubmission) => boolean): Promise<number> {
    const { store, shards, retentionStepMax: limit = 500 } = this.#o;
    let total = 0;
    let after: DueSubmission | undefined;
    const step = async (forgotten: () => void) => {
      const due = await store.due({ shards: shards(), endedBeforeMs, after, limit });
      const over = due.filter((each) => isOver(each) && !this.#kept.has(each.id));
      after = due.length < limit ? undefined : due.at(-1);
      const ids = over.map(({ id }) => id);
      const count = await store.forget(ids, forgotten);
      if (ids.length > 0) this.#o.forgotten(ids);
      return count;
    };
    do {
      const { promise, resolve: forgotten } = Promise.withResolvers<void>();
      this.#step = promise;
      total += await step(forgotten).finally(forgotten);
    } while (after !== undefined && !this.#isStopped);
    return total;
  }
}
