import { bounded } from '../model/thrown.ts';
import type { Effect, SubmissionEndCause } from '../scheduler/effects.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Logger } from '../system/log/logger.ts';
import type { QueueEvents } from './events.ts';
import type { Journal } from './journal/journal.ts';
import type { LongChunks } from './long-chunks.ts';
import type { ConsumerPeer } from './peer.ts';

/** The failures of so many chunks of a submission are kept at some length, in characters; of the others, the gist. */
const FULL_FAILURES = 1_000;
const FAILURE_CHARS_MAX = 8_192;
const GIST_CHARS_MAX = 512;

export interface DispatcherOptions {
  /** Of the queue. */
  readonly name: string;
  readonly scheduler: Scheduler<ConsumerPeer>;
  readonly journal: Journal;
  readonly longChunks: LongChunks;
  readonly events: QueueEvents;
  readonly logger: Logger;
  ending(submission: OpenSubmission, cause: SubmissionEndCause): void;
  deadlineChanged(): void;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/**
 * Carries out what follows from calls of the scheduler, after each of them: what is to be persisted goes to the journal
 * first and is published, then consumers get their messages. Subscribers get the events at the end of the turn.
 */
export class Dispatcher {
  readonly #o: DispatcherOptions;
  #isRunning = false;

  constructor(options: DispatcherOptions) {
    this.#o = options;
  }

  /** To be called after each call of the scheduler that was given this time. */
  run(nowMs: number): void {
    const { effects } = this.#o.scheduler;
    // A peer has called the queue: the effects of that come after those that are being carried out.
    if (effects.length === 0 || this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let from = 0; from < effects.length; ) {
        const to = effects.length;
        for (let i = from; i < to; i++) this.#persist(effects.at(i), nowMs);
        for (let i = from; i < to; i++) this.#tell(effects.at(i));
        from = to;
      }
    } catch (error) {
      this.#o.giveUp(error);
    } finally {
      effects.clear();
      this.#isRunning = false;
    }
  }

  #persist(effect: Effect<ConsumerPeer>, nowMs: number): void {
    const { journal, events, longChunks } = this.#o;
    switch (effect.kind) {
      case 'completed': {
        const { submission, chunkIndex, reservedMs, by } = effect;
        if (effect.hadFailed) {
          journal.add({ kind: 'failed_chunk', id: submission.record.id, chunkIndex, failure: null });
        }
        journal.chunkDone(submission, chunkIndex);
        const tookMs = reservedMs === null ? null : nowMs - reservedMs;
        submission.completions++;
        if (by !== null) by.completions++;
        if (tookMs !== null) longChunks.completed(submission, tookMs);
        const queue = this.#o.name;
        events.publish({ kind: 'chunk_completed', queue, submission, chunkIndex, tookMs, by }, nowMs);
        break;
      }
      case 'set_back': {
        const { submission, chunkIndex, tries, cause, fatal, failure, reservedMs, consumer: from } = effect;
        const { id, failureMode } = submission.record;
        journal.add({ kind: 'tries', id, chunkIndex, tries });
        if (fatal !== null && failureMode === 'collect') {
          const charsMax = failureCharsMax(submission.failed?.count ?? 0);
          journal.add({ kind: 'failed_chunk', id, chunkIndex, failure: bounded(fatal, charsMax) });
        }
        const isFatal = fatal !== null;
        const tookMs = nowMs - reservedMs;
        const what = { submission, chunkIndex, cause, isFatal, tookMs, from, failure };
        events.publish({ kind: 'chunk_set_back', ...what }, nowMs);
        if (cause !== 'expired') break;
        this.#o.logger.debug({ submission: String(id), chunk: chunkIndex }, 'chunk reservation expired');
        break;
      }
      case 'retried':
        journal.add({ kind: 'retry', id: effect.submission.record.id });
        break;
      case 'begun':
        events.publish({ kind: 'submission_begun', submission: effect.submission }, nowMs);
        break;
      case 'reserved':
        events.publish(
          { kind: 'reservation_answered', queue: this.#o.name, chunks: effect.chunks.length },
          nowMs,
        );
        break;
      case 'sick': {
        const { consumer, failuresInRow, pauseMs } = effect;
        const queue = this.#o.name;
        events.publish({ kind: 'consumer_sick', queue, consumer, failuresInRow, pauseMs }, nowMs);
        break;
      }
      case 'ending':
        longChunks.ended(effect.submission);
        this.#o.ending(effect.submission, effect.cause);
        break;
      case 'deadline_changed':
        this.#o.deadlineChanged();
        break;
    }
  }

  #tell(effect: Effect<ConsumerPeer>): void {
    if (!('consumer' in effect)) return;
    const { peer } = effect.consumer;
    try {
      switch (effect.kind) {
        case 'reserved':
          peer.reserved(effect.request, effect.chunks);
          break;
        case 'set_back':
          if (effect.cause === 'expired') peer.expired(effect.submission, effect.chunkIndex);
          break;
        case 'dropped':
          peer.dropped(effect.submission, effect.chunkIndex, effect.reason);
          break;
        case 'sick':
          peer.sick(effect);
          break;
        case 'recovered':
          peer.recovered();
          break;
        default:
          effect satisfies never;
      }
    } catch (error) {
      peer.failed(error);
    }
  }
}

/** Of one that fails when so many have: a million stack traces would fill the disk. */
function failureCharsMax(chunksFailed: number): number {
  return chunksFailed <= FULL_FAILURES ? FAILURE_CHARS_MAX : GIST_CHARS_MAX;
}
