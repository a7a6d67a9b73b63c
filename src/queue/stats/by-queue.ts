import { UNNAMED_QUEUE } from '../../model/queue-name.ts';

/** Queues with figures of their own; their names come from clients. */
export const QUEUE_SERIES_MAX = 100;
/** The label of all queues beyond that together; no queue can be called so. */
export const OTHER_QUEUES = '_other';

/** What is counted of a queue, or of several together. */
export interface QueueCounters {
  /** The name of the queue, `-` for the unnamed one, or {@link OTHER_QUEUES}. */
  readonly label: string;
  chunksCompleted: number;
  /** Chunks that were handed out in vain, by reason, whether they get another try or not. */
  readonly setbacks: { failed: number; expired: number; disconnected: number };
  /** Pauses of consumers that failed everything while others did not. */
  consumersPaused: number;
}

interface Entry {
  readonly counters: QueueCounters;
  isInUse: boolean;
}

/** Counts by queue. A queue that is gone keeps its counters until another one needs their place. */
export class StatsByQueue {
  readonly #entries = new Map<string, Entry>();
  readonly #other = noCounts(OTHER_QUEUES);
  /** The queue that was asked for last, which is likely to be asked for next. */
  #lastName = '';
  #last = this.#other;

  /** The queue comes into use. */
  enter(name: string): void {
    this.#lastName = '';
    this.#last = this.#other;
    const known = this.#entries.get(name);
    if (known !== undefined) known.isInUse = true;
    else if (this.#hasRoom()) {
      const counters = noCounts(name === '' ? UNNAMED_QUEUE : name);
      this.#entries.set(name, { counters, isInUse: true });
    }
  }

  /** The queue is gone. */
  leave(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.isInUse = false;
    // The one that is gone for longest makes room first.
    this.#entries.delete(name);
    this.#entries.set(name, entry);
  }

  of(name: string): QueueCounters {
    if (name === this.#lastName && this.#last !== this.#other) return this.#last;
    this.#lastName = name;
    this.#last = this.#entries.get(name)?.counters ?? this.#other;
    return this.#last;
  }

  *counters(): Generator<QueueCounters> {
    for (const { counters } of this.#entries.values()) yield counters;
    yield this.#other;
  }

  #hasRoom(): boolean {
    if (this.#entries.size < QUEUE_SERIES_MAX) return true;
    for (const [name, { isInUse }] of this.#entries) if (!isInUse) return this.#entries.delete(name);
    return false;
  }
}

function noCounts(label: string): QueueCounters {
  return {
    label,
    chunksCompleted: 0,
    setbacks: { failed: 0, expired: 0, disconnected: 0 },
    consumersPaused: 0,
  };
}
