import type { ChunkIndex } from '../model/ids.ts';
import { PlacedHeap } from './plan/placed-heap.ts';
import { type Consumer, type ScheduledSubmission, Shun } from './state.ts';

const ANOTHER_FIRST_MS_DEFAULT = 60_000;
/** A consumer that failed more chunks than this may get the one that it failed longest ago. */
const SHUNS_OF_CONSUMER_MAX = 64;
/** A chunk that failed on this many consumers goes to any of them again; so many are looked at for another one. */
const CONSUMERS_OF_SHUN_MAX = 16;
const CONSUMERS_LOOKED_AT_MAX = 128;

/**
 * A chunk that failed on a consumer goes to another one first: the consumer shuns it, as long as one is at work that has
 * not failed it, and for a minute after it has become available at most, because those at work may be so for long.
 * A preference, unlike the bars: what it costs in memory and time is bounded, and where a bound is reached the chunk is
 * anybody's.
 */
export class Shuns<Peer> {
  readonly #heap = new PlacedHeap<Shun<Peer>>((a, b) => a.dueMs < b.dueMs);
  readonly #consumers: ReadonlySet<Consumer<Peer>>;
  readonly #free: (consumer: Consumer<Peer>) => void;
  readonly #anotherFirstMs: number;

  /** `free`: the consumer shuns less than before. */
  constructor(
    consumers: ReadonlySet<Consumer<Peer>>,
    free: (consumer: Consumer<Peer>) => void,
    anotherFirstMs = ANOTHER_FIRST_MS_DEFAULT,
  ) {
    this.#consumers = consumers;
    this.#free = free;
    this.#anotherFirstMs = anotherFirstMs;
  }

  /** When the next one ends; null if there is none. */
  get nextMs(): number | null {
    return this.#heap.first?.dueMs ?? null;
  }

  /** The chunk failed on the consumer. Returns whether it shuns it from now on: another one is to have it first. */
  failed(
    consumer: Consumer<Peer>,
    submission: ScheduledSubmission<Peer>,
    index: ChunkIndex,
    availableMs: number,
  ): boolean {
    let shun = submission.shuns?.get(index);
    if (shun === undefined) {
      shun = new Shun(submission, index);
      submission.shuns ??= new Map();
      submission.shuns.set(index, shun);
      this.#heap.add(shun);
    }
    shun.dueMs = availableMs + this.#anotherFirstMs;
    this.#heap.update(shun);
    shun.consumers.add(consumer);
    consumer.shuns.add(shun);
    if (shun.consumers.size > CONSUMERS_OF_SHUN_MAX || !this.#hasAnother(shun)) {
      this.#end(shun);
      return false;
    }
    if (consumer.shuns.size > SHUNS_OF_CONSUMER_MAX) {
      for (const oldest of consumer.shuns) {
        this.#leave(oldest, consumer);
        break;
      }
    }
    return true;
  }

  /** The chunk is done, or off the schedule. */
  forget(submission: ScheduledSubmission<Peer>, index: ChunkIndex): void {
    const shun = submission.shuns?.get(index);
    if (shun !== undefined) this.#end(shun);
  }

  /** A consumer has gone, or counts no longer as one at work: what is left to nobody is anybody's. */
  consumerGone(consumer: Consumer<Peer>): void {
    for (const shun of [...consumer.shuns]) this.#leave(shun, consumer);
    this.consumersChanged();
  }

  consumersChanged(): void {
    if (this.#heap.size === 0 || this.#consumers.size > CONSUMERS_OF_SHUN_MAX) return;
    for (const shun of [...this.#heap]) if (!this.#hasAnother(shun)) this.#end(shun);
  }

  advance(nowMs: number): void {
    for (
      let first = this.#heap.first;
      first !== undefined && first.dueMs <= nowMs;
      first = this.#heap.first
    ) {
      this.#end(first);
    }
  }

  /** For checks. */
  get all(): Iterable<Shun<Peer>> {
    return this.#heap;
  }

  #hasAnother(shun: Shun<Peer>): boolean {
    let looked = 0;
    for (const consumer of this.#consumers) {
      if (consumer.isAtWork && !shun.consumers.has(consumer)) return true;
      if (++looked >= CONSUMERS_LOOKED_AT_MAX) return false;
    }
    return false;
  }

  #leave(shun: Shun<Peer>, consumer: Consumer<Peer>): void {
    consumer.shuns.delete(shun);
    shun.consumers.delete(consumer);
    this.#free(consumer);
    if (shun.consumers.size === 0) this.#end(shun);
  }

  #end(shun: Shun<Peer>): void {
    const { submission } = shun;
    for (const consumer of shun.consumers) {
      consumer.shuns.delete(shun);
      this.#free(consumer);
    }
    shun.consumers.clear();
    this.#heap.remove(shun);
    submission.shuns!.delete(shun.chunkIndex);
    if (submission.shuns!.size === 0) submission.shuns = null;
  }
}
