import { PlacedHeap } from './plan/placed-heap.ts';
import { type Consumer, Pause } from './state.ts';

const FAILURES_MAX_DEFAULT = 5;
const PAUSE_MS_DEFAULT = 1_000;
const PAUSE_MS_MAX = 60_000;

export interface SickConsumersOptions {
  readonly sickAfterFailures?: number;
  readonly sickPauseMs?: number;
}

/**
 * A consumer whose last chunks all failed while others completed theirs is sick: it gets one chunk at a time, each after
 * a pause that doubles up to a minute. Its first success ends that. If nobody else completes anything, or nobody
 * else is there that is well, there is no pause: then it is not the consumer that is to blame, or there is no choice.
 */
export class SickConsumers<Peer> {
  /** Sick ones, in a pause or not. */
  count = 0;
  readonly #pauses = new PlacedHeap<Pause<Peer>>((a, b) => a.dueMs < b.dueMs);
  readonly #free: (consumer: Consumer<Peer>) => void;
  readonly #failuresMax: number;
  readonly #pauseMs: number;
  /** Of all consumers. */
  #completions = 0;

  /** `free`: the consumer may get more than before. */
  constructor(options: SickConsumersOptions, free: (consumer: Consumer<Peer>) => void) {
    this.#free = free;
    this.#failuresMax = options.sickAfterFailures ?? FAILURES_MAX_DEFAULT;
    this.#pauseMs = options.sickPauseMs ?? PAUSE_MS_DEFAULT;
  }

  /** When the next pause ends; null if there is none. */
  get nextMs(): number | null {
    return this.#pauses.first?.dueMs ?? null;
  }

  /** The most that it gets at once. */
  chunksMax(consumer: Consumer<Peer>): number {
    if (consumer.pauses === 0) return Number.POSITIVE_INFINITY;
    return consumer.pause !== null || consumer.chunksReserved > 0 ? 0 : 1;
  }

  /** `consumersTotal` are connected. Returns the pause that begins, in milliseconds; 0 if none does. */
  failed(consumer: Consumer<Peer>, nowMs: number, consumersTotal: number): number {
    if (consumer.failuresInRow++ === 0) consumer.completionsSeen = this.#completions;
    if (consumer.failuresInRow < this.#failuresMax || consumer.pause !== null) return 0;
    const othersWell = consumersTotal - this.count - (consumer.pauses === 0 ? 1 : 0);
    if (othersWell <= 0 || this.#completions === consumer.completionsSeen) return 0;
    consumer.completionsSeen = this.#completions;
    const pauseMs = Math.min(this.#pauseMs * 2 ** Math.min(consumer.pauses, 30), PAUSE_MS_MAX);
    if (consumer.pauses++ === 0) this.count++;
    consumer.pause = new Pause(consumer, nowMs + pauseMs);
    this.#pauses.add(consumer.pause);
    return pauseMs;
  }

  /** Returns whether it was sick until now. */
  completed(consumer: Consumer<Peer> | null): boolean {
    this.#completions++;
    if (consumer === null) return false;
    consumer.failuresInRow = 0;
    return this.#heal(consumer);
  }

  gone(consumer: Consumer<Peer>, consumersLeft: number): void {
    this.#heal(consumer);
    if (consumersLeft > this.count) return;
    for (const pause of [...this.#pauses]) this.#endPause(pause);
  }

  advance(nowMs: number): void {
    for (
      let first = this.#pauses.first;
      first !== undefined && first.dueMs <= nowMs;
      first = this.#pauses.first
    ) {
      this.#endPause(first);
    }
  }

  #heal(consumer: Consumer<Peer>): boolean {
    if (consumer.pauses === 0) return false;
    consumer.pauses = 0;
    this.count--;
    this.#free(consumer);
    if (consumer.pause !== null) this.#endPause(consumer.pause);
    return true;
  }

  #endPause(pause: Pause<Peer>): void {
    pause.consumer.pause = null;
    this.#free(pause.consumer);
    this.#pauses.remove(pause);
  }
}
