import { queueField } from '../model/queue-name.ts';
import { LogBudget } from '../system/log/log-budget.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import type { NamedQueue } from './named-queue.ts';

/** So long chunks may wait without a consumer until the log says so, in milliseconds. */
const PATIENCE_MS = 60_000;
/** Queues that are logged. */
const BUDGET = { burst: 20, perSecond: 1 };
/** Other queues that a line names. */
const NAMES_MAX = 5;

export interface UnattendedOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** All that are in use. */
  queues(): Iterable<NamedQueue>;
}

/**
 * Says in the log that chunks wait in a queue to which nobody is connected: a typo in a name makes a queue of its own, without a
 * word. Once, and again after a consumer has been there.
 */
export class Unattended {
  readonly #o: UnattendedOptions;
  readonly #budget: LogBudget;
  /** null: it was logged. */
  readonly #watched = new Map<NamedQueue, Timer | null>();

  constructor(options: UnattendedOptions) {
    this.#o = options;
    this.#budget = new LogBudget(options.clock, BUDGET);
  }

  /** Something was inserted into it, or a consumer of it has gone. */
  look(queue: NamedQueue): void {
    if (queue.counts.consumers > 0 || this.#watched.has(queue)) return;
    this.#arm(queue);
  }

  /** It has a consumer, or is gone. */
  forget(queue: NamedQueue): void {
    this.#watched.get(queue)?.cancel();
    this.#watched.delete(queue);
  }

  stop(): void {
    for (const queue of [...this.#watched.keys()]) this.forget(queue);
  }

  #arm(queue: NamedQueue): void {
    const timer = this.#o.clock.after(PATIENCE_MS, () => this.#due(queue), { unref: true });
    this.#watched.set(queue, timer);
  }

  #due(queue: NamedQueue): void {
    const { chunksAvailable, submissionsOpen } = queue.counts;
    if (chunksAvailable === 0) {
      // What is paused or delayed will wait, too.
      if (submissionsOpen > 0) this.#arm(queue);
      else this.#watched.delete(queue);
      return;
    }
    this.#watched.set(queue, null);
    const skipped = this.#budget.take();
    if (skipped === null) return;
    const attended: string[] = [];
    for (const { name, counts } of this.#o.queues()) {
      if (counts.consumers > 0 && attended.length < NAMES_MAX) attended.push(name);
    }
    this.#o.logger.warn(
      {
        ...queueField(queue.name),
        submissionsOpen,
        chunksWaiting: chunksAvailable,
        ...(attended.length === 0 ? {} : { consumersIn: attended }),
        ...(skipped === 0 ? {} : { unlogged: skipped }),
      },
      'chunks wait, and no consumer is connected to their queue',
    );
  }
}
