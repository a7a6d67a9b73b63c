import type { Act, Scope } from '../model/control.ts';
import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import type { SubmissionEnd, SubmissionRecord } from '../model/submission.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Clock } from '../system/time/clock.ts';
import type { ConnectedConsumer } from './peer.ts';

/** Something that has happened. */
export type QueueEvent =
  /** Its insert is committed. */
  | { readonly kind: 'submission_inserted'; readonly record: SubmissionRecord }
  /** Its end is committed. `submission`: as it was on the schedule; null if it never was, having no chunks. */
  | {
      readonly kind: 'submission_ended';
      readonly record: SubmissionRecord;
      readonly submission: OpenSubmission | null;
      readonly end: SubmissionEnd;
      readonly chunksDone: number;
    }
  /** `tookMs`: since its reservation; null if it was not reserved. `by`: null if that is not known. Both have counted it already. */
  | {
      readonly kind: 'chunk_completed';
      readonly queue: string;
      readonly submission: OpenSubmission;
      readonly chunkIndex: ChunkIndex;
      readonly tookMs: number | null;
      readonly by: ConnectedConsumer | null;
    }
  /** It was handed out in vain. `isFatal`: it is set aside, or its submission fails with it. `failure`: the consumer's words, if there are any. */
  | {
      readonly kind: 'chunk_set_back';
      readonly submission: OpenSubmission;
      readonly chunkIndex: ChunkIndex;
      readonly cause: 'failed' | 'expired' | 'disconnected';
      readonly isFatal: boolean;
      readonly tookMs: number;
      readonly from: ConnectedConsumer;
      readonly failure: string | null;
    }
  /** What has ended is open again: that is committed. */
  | { readonly kind: 'submission_retried'; readonly record: SubmissionRecord; readonly act: Act }
  /** Their time is up, and the store has them no more. */
  | { readonly kind: 'submissions_forgotten'; readonly ids: readonly SubmissionId[] }
  | { readonly kind: 'reservation_answered'; readonly queue: string; readonly chunks: number }
  | { readonly kind: 'reservation_refused'; readonly queue: string }
  | {
      readonly kind: 'consumer_sick';
      readonly queue: string;
      readonly consumer: ConnectedConsumer;
      readonly failuresInRow: number;
      readonly pauseMs: number;
    }
  | { readonly kind: 'consumer_connected'; readonly queue: string; readonly consumer: ConnectedConsumer }
  | {
      readonly kind: 'consumer_gone';
      readonly queue: string;
      readonly consumer: ConnectedConsumer;
      readonly manner: 'orderly' | 'broken';
    }
  /** A verb has changed a submission, which is as it is now. */
  | { readonly kind: 'submission_changed'; readonly submission: OpenSubmission; readonly act: Act }
  /** It was not to begin before a time, which has come. */
  | { readonly kind: 'submission_begun'; readonly submission: OpenSubmission }
  /** A verb has changed a queue as such, or the server. */
  | { readonly kind: 'scope_changed'; readonly scope: Scope; readonly act: Act };

/** What a subscriber gets of one turn of the event loop. */
export interface EventBatch {
  /** In their order, without the completions. */
  readonly events: readonly QueueEvent[];
  /** Submissions of which chunks were completed, each once, however many they were. */
  readonly changed: ReadonlySet<OpenSubmission>;
  /** This many events and changes are lost: there were more than the subscriber has room for. Look at everything. */
  readonly missed: number;
}

/** Counts everything. Called in the middle of things: must be quick, must not throw and must not call the queue. */
export interface EventObserver {
  note(event: QueueEvent, atMs: number): void;
}

/**
 * Where everything that happens in the queue can be learnt. Observers see each event as it happens; subscribers
 * get those of a turn together at its end. They are bounded: one for which too much happens at once loses some, and
 * learns how many. The queue waits for none of them.
 */
export class QueueEvents {
  readonly #clock: Clock;
  readonly #observers: EventObserver[];
  readonly #subscriptions = new Set<Subscription>();
  #isArmed = false;

  constructor(clock: Clock, observer: EventObserver) {
    this.#clock = clock;
    this.#observers = [observer];
  }

  /** @param atMs when, on the monotonic clock */
  publish(event: QueueEvent, atMs: number): void {
    for (let i = 0; i < this.#observers.length; i++) this.#observers[i]!.note(event, atMs);
    if (this.#subscriptions.size === 0) return;
    for (const subscription of this.#subscriptions) subscription.add(event);
    if (this.#isArmed) return;
    this.#isArmed = true;
    this.#clock.soon(() => this.#deliver());
  }

  /**
   * From now on it sees each event as well.
   *
   * @returns ends that
   */
  observe(observer: EventObserver): () => void {
    this.#observers.push(observer);
    return () => void this.#observers.splice(this.#observers.indexOf(observer), 1);
  }

  /**
   * @param max events and changes of one turn that are kept
   * @returns ends it
   */
  subscribe(max: number, take: (batch: EventBatch) => void): () => void {
    const subscription = new Subscription(max, take);
    this.#subscriptions.add(subscription);
    return () => void this.#subscriptions.delete(subscription);
  }

  #deliver(): void {
    this.#isArmed = false;
    for (const subscription of [...this.#subscriptions]) subscription.deliver();
  }
}

class Subscription {
  readonly #max: number;
  readonly #take: (batch: EventBatch) => void;
  #events: QueueEvent[] = [];
  #changed = new Set<OpenSubmission>();
  #missed = 0;

  constructor(max: number, take: (batch: EventBatch) => void) {
    this.#max = max;
    this.#take = take;
  }

  add(event: QueueEvent): void {
    const isChange = event.kind === 'chunk_completed';
    if (isChange && this.#changed.has(event.submission)) return;
    if (this.#events.length + this.#changed.size >= this.#max) this.#missed++;
    else if (isChange) this.#changed.add(event.submission);
    else this.#events.push(event);
  }

  deliver(): void {
    const batch = { events: this.#events, changed: this.#changed, missed: this.#missed };
    if (batch.events.length === 0 && batch.changed.size === 0 && batch.missed === 0) return;
    this.#events = [];
    this.#changed = new Set();
    this.#missed = 0;
    this.#take(batch);
  }
}
