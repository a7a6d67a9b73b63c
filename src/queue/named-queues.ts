import { QUEUES_MAX } from '../model/limits.ts';
import { NO_COUNTS, type SchedulerCounts } from '../scheduler/types.ts';
import { TooManyQueuesError } from './errors.ts';
import type { NamedQueue } from './named-queue.ts';
import type { Unattended } from './unattended.ts';
import type { Scopes } from './verbs/scopes.ts';

/**
 * The queues that there are: the unnamed one always, any other from the moment when somebody inserts or connects until
 * nothing of it is open and nobody is connected.
 */
export class NamedQueues {
  readonly #make: (name: string) => NamedQueue;
  readonly #unattended: Unattended;
  readonly #scopes: Scopes;
  readonly #byName = new Map<string, NamedQueue>();
  #isHeld = false;
  #isStopped = false;

  constructor(make: (name: string) => NamedQueue, unattended: Unattended, scopes: Scopes) {
    this.#make = make;
    this.#unattended = unattended;
    this.#scopes = scopes;
    this.open('');
  }

  /** undefined: nothing of it is open, and nobody is connected. */
  get(name: string): NamedQueue | undefined {
    return this.#byName.get(name);
  }

  /** For somebody who inserts or connects. Throws TooManyQueuesError. */
  enter(name: string): NamedQueue {
    if (!this.hasRoomFor(name)) throw new TooManyQueuesError(name);
    return this.open(name);
  }

  /** It is in use, or there may be one more. */
  hasRoomFor(name: string): boolean {
    // The unnamed one is always there, and does not count.
    return this.#byName.has(name) || this.#byName.size <= QUEUES_MAX;
  }

  /** However many there are: what is on disk comes back. */
  open(name: string): NamedQueue {
    let queue = this.#byName.get(name);
    if (queue === undefined) {
      queue = this.#make(name);
      this.#byName.set(name, queue);
      if (this.#isHeld) queue.holdHandOut(true);
      if (this.#scopes.isPaused(name)) queue.pause(true);
    }
    return queue;
  }

  /** A consumer or a submission has come to it, or left it. */
  changed(queue: NamedQueue): void {
    if (this.#isStopped) return;
    if (queue.isIdle) this.#drop(queue);
    else if (queue.scheduler.counts.consumers > 0) this.#unattended.forget(queue);
    else this.#unattended.look(queue);
  }

  #drop(queue: NamedQueue): void {
    this.#unattended.forget(queue);
    if (queue.name === '') return;
    queue.stop();
    if (this.#byName.get(queue.name) === queue) this.#byName.delete(queue.name);
  }

  /** Those that come to be meanwhile as well. */
  holdHandOut(held: boolean): void {
    this.#isHeld = held;
    for (const queue of this.#byName.values()) queue.holdHandOut(held);
  }

  /** The pauses of queues, or of the server, are others now. */
  pausesChanged(): void {
    for (const queue of this.#byName.values()) queue.pause(this.#scopes.isPaused(queue.name));
  }

  stop(): void {
    this.#isStopped = true;
    this.#unattended.stop();
    for (const queue of this.#byName.values()) queue.stop();
  }

  /** Of all of them together. */
  counts(): SchedulerCounts {
    const total = { ...NO_COUNTS };
    for (const { counts } of this) {
      for (const name of COUNTS) total[name] += counts[name];
    }
    return total;
  }

  [Symbol.iterator](): IterableIterator<NamedQueue> {
    return this.#byName.values();
  }
}

const COUNTS = Object.keys(NO_COUNTS) as (keyof SchedulerCounts)[];
