import type { Control } from '../model/control.ts';
import type { SubmissionId } from '../model/ids.ts';
import type { SubmissionRecord } from '../model/submission.ts';
import type { SubmissionEndCause } from '../scheduler/effects.ts';
import { Scheduler } from '../scheduler/scheduler.ts';
import type {
  OpenSubmission,
  SchedulerCounts,
  SchedulerOptions,
  SubmissionProgress,
} from '../scheduler/types.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import { Consumers, type ConsumersOptions } from './consumers.ts';
import { Dispatcher, type DispatcherOptions } from './dispatcher.ts';
import type { ConsumerPeer } from './peer.ts';
import type { Shard } from './shard/shard.ts';

export interface NamedQueueOptions
  extends Omit<ConsumersOptions, 'name' | 'shard' | 'scheduler' | 'dispatcher' | 'changed'>,
    Omit<DispatcherOptions, 'name' | 'scheduler' | 'journal' | 'longChunks' | 'ending' | 'deadlineChanged'> {
  readonly clock: Clock;
  readonly scheduler: SchedulerOptions;
  /** A submission is off the schedule. */
  ending(queue: NamedQueue, submission: OpenSubmission, cause: SubmissionEndCause): void;
  /** A consumer has come or gone, or a submission. */
  changed(queue: NamedQueue): void;
}

/** What one queue has for itself: its schedule, and the consumers that are connected to it. All else is the server's. */
export class NamedQueue {
  /** '' for the unnamed one. */
  readonly name: string;
  /** By which right, and in which journal. */
  readonly shard: Shard;
  readonly scheduler: Scheduler<ConsumerPeer>;
  readonly dispatcher: Dispatcher;
  readonly consumers: Consumers;
  /** Inserts that wait for their commit. */
  insertsPending = 0;
  readonly #o: NamedQueueOptions;
  #isPaused = false;
  #isStopped = false;
  #deadline: Timer | null = null;

  /** @param scheduler one with what is stored of it; default: nothing is */
  constructor(
    name: string,
    shard: Shard,
    options: NamedQueueOptions,
    scheduler = new Scheduler<ConsumerPeer>(options.scheduler),
  ) {
    this.name = name;
    this.shard = shard;
    this.#o = options;
    options.stats.byQueue.enter(name);
    this.scheduler = scheduler;
    const own = { ...options, name, shard, scheduler: this.scheduler };
    this.dispatcher = new Dispatcher({
      ...own,
      journal: shard.journal,
      longChunks: shard.longChunks,
      ending: (submission, cause) => options.ending(this, submission, cause),
      deadlineChanged: () => this.#armDeadline(),
    });
    this.consumers = new Consumers({
      ...own,
      dispatcher: this.dispatcher,
      changed: () => options.changed(this),
    });
  }

  /** Those of the schedule; but while the queue is paused, nothing waits to be handed out: all of that is paused. */
  get counts(): SchedulerCounts {
    const { counts } = this.scheduler;
    if (!this.#isPaused) return counts;
    const { chunksAvailable, chunksPaused, submissionsOpen } = counts;
    return {
      ...counts,
      chunksAvailable: 0,
      chunksPaused: chunksPaused + chunksAvailable,
      submissionsPaused: submissionsOpen,
    };
  }

  /** The oldest submission of which a chunk could be handed out; null if there is none. For metrics: looks at each before it. */
  oldestWaiting(): SubmissionId | null {
    return this.#isPaused ? null : this.scheduler.oldestWaiting();
  }

  /** Nothing would be lost with it: a new one would do the same. */
  get isIdle(): boolean {
    const { hasSubmissions, counts } = this.scheduler;
    return !hasSubmissions && counts.consumers === 0 && this.insertsPending === 0;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** A submission whose insert is committed goes on the schedule. */
  insert(record: SubmissionRecord, control: Control, progress?: SubmissionProgress): void {
    const { clock } = this.#o;
    const nowMs = clock.monotonicMs();
    this.scheduler.insert(record, nowMs, progress, { control, unixMs: clock.nowMs() });
    this.dispatcher.run(nowMs);
    this.#o.changed(this);
  }

  /** What follows from the schedule that it was made with is carried out from now on. */
  begin(): void {
    this.dispatcher.run(this.#o.clock.monotonicMs());
    this.#o.changed(this);
  }

  holdHandOut(held: boolean): void {
    this.#call((nowMs) => this.scheduler.holdHandOut(held, nowMs));
  }

  /** All of it, by a verb for the queue or the server. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#call((nowMs) => this.scheduler.pause(isPaused, nowMs));
  }

  /** What verbs have changed of a submission is this from now on; false if it is not open. */
  control(id: SubmissionId, control: Control): boolean {
    const { clock } = this.#o;
    const nowMs = clock.monotonicMs();
    const isOpen = this.scheduler.control(id, { control, unixMs: clock.nowMs() }, nowMs);
    this.dispatcher.run(nowMs);
    return isOpen;
  }

  /** Nothing comes by itself any more. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#o.stats.byQueue.leave(this.name);
    this.#deadline?.cancel();
  }

  #armDeadline(): void {
    this.#deadline?.cancel();
    if (this.#isStopped) return;
    const dueMs = this.scheduler.deadlineForTimer();
    if (dueMs === null) return;
    const { clock } = this.#o;
    const delayMs = dueMs - clock.monotonicMs();
    const advance = () => this.#call((nowMs) => this.scheduler.advance(nowMs, clock.nowMs()));
    this.#deadline = delayMs > 0 ? clock.after(delayMs, advance, { unref: true }) : nextTurn(clock, advance);
  }

  /** For calls of the scheduler that no caller waits for: a broken invariant must not get lost. */
  #call(run: (nowMs: number) => void): void {
    if (!this.shard.isOpen) return;
    try {
      const nowMs = this.#o.clock.monotonicMs();
      run(nowMs);
      this.dispatcher.run(nowMs);
    } catch (error) {
      this.#o.giveUp(error);
    }
  }
}

/** A timer takes a millisecond at least: a plan for many submissions is built in hundreds of steps. */
function nextTurn(clock: Clock, run: () => void): Timer {
  let isWanted = true;
  clock.soon(() => {
    if (isWanted) run();
  });
  return {
    cancel: () => {
      isWanted = false;
    },
  };
}
