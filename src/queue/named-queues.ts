import { QUEUES_MAX } from '../model/limits.ts';
import { queueText } from '../model/queue-name.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import { NO_COUNTS, type SchedulerCounts } from '../scheduler/types.ts';
import { QueueUnavailableError, TooManyQueuesError } from './errors.ts';
import type { NamedQueue } from './named-queue.ts';
import type { ConsumerPeer } from './peer.ts';
import type { Shard } from './shard/shard.ts';
import type { Shards } from './shard/shards.ts';
import type { Unattended } from './unattended.ts';
import type { Scopes } from './verbs/scopes.ts';

/** With a schedule that was made before, or an empty one. */
type MakeQueue = (name: string, shard: Shard, scheduler?: Scheduler<ConsumerPeer>) => NamedQueue;

/**
 * The queues that there are: the unnamed one as long as its shard is open, any other from the moment when somebody inserts or
 * connects until nothing of it is open and nobody is connected.
 */
export class NamedQueues {
  readonly #shards: Shards;
  readonly #make: MakeQueue;
  readonly #unattended: Unattended;
  readonly #scopes: Scopes;
  readonly #byName = new Map<string, NamedQueue>();

  constructor(shards: Shards, make: MakeQueue, unattended: Unattended, scopes: Scopes) {
    this.#shards = shards;
    this.#make = make;
    this.#unattended = unattended;
    this.#scopes = scopes;
  }

  /** undefined: nothing of it is open, and nobody is connected. */
  get(name: string): NamedQueue | undefined {
    return this.#byName.get(name);
  }

  /** For somebody who inserts or connects. Throws QueueUnavailableError, TooManyQueuesError. */
  enter(name: string): NamedQueue {
    const shard = this.#shards.of(name);
    if (!shard.isReady) throw new QueueUnavailableError(`${queueText(name)} is being opened, or stops`);
    if (!this.hasRoomFor(name)) throw new TooManyQueuesError(name);
    return this.open(name);
  }

  /** It is in use, or there may be one more. */
  hasRoomFor(name: string): boolean {
    if (this.#byName.has(name)) return true;
    // The unnamed one, which is there where its shard is, does not count.
    return this.#byName.size - (this.#byName.has('') ? 1 : 0) < QUEUES_MAX;
  }

  /** Throws QueueUnavailableError. */
  open(name: string): NamedQueue {
    return this.#byName.get(name) ?? this.#open(name);
  }

  /** However many there are: what is on disk comes back. Throws QueueUnavailableError. */
  load(name: string, scheduler: Scheduler<ConsumerPeer>): void {
    this.#open(name, scheduler).begin();
  }

  #open(name: string, scheduler?: Scheduler<ConsumerPeer>): NamedQueue {
    const shard = this.#shards.of(name);
    const queue = this.#make(name, shard, scheduler);
    this.#byName.set(name, queue);
    if (shard.watch.isHeld) queue.holdHandOut(true);
    if (this.#scopes.isPaused(name)) queue.pause(true);
    return queue;
  }

  /** A consumer or a submission has come to it, or left it. */
  changed(queue: NamedQueue): void {
    if (queue.isStopped) return;
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

  /** Those of the shard. */
  holdHandOut(shard: Shard, held: boolean): void {
    for (const queue of this.of(shard)) queue.holdHandOut(held);
  }

  /** The pauses of queues, or of the server, are others now. */
  pausesChanged(): void {
    for (const queue of this.#byName.values()) queue.pause(this.#scopes.isPaused(queue.name));
  }

  /** Nothing comes of those of the shard by itself any more. */
  stop(shard: Shard): void {
    for (const queue of this.of(shard)) {
      this.#unattended.forget(queue);
      queue.stop();
    }
  }

  /** Those of the shard are gone. */
  drop(shard: Shard): void {
    for (const { name } of [...this.of(shard)]) this.#byName.delete(name);
  }

  *of(shard: Shard): Generator<NamedQueue> {
    for (const queue of this.#byName.values()) if (queue.shard === shard) yield queue;
  }

  /** Of those of the shard together; null: of all. */
  counts(shard: Shard | null): SchedulerCounts {
    const total = { ...NO_COUNTS };
    for (const { counts } of shard === null ? this : this.of(shard)) {
      for (const name of COUNTS) total[name] += counts[name];
    }
    return total;
  }

  [Symbol.iterator](): IterableIterator<NamedQueue> {
    return this.#byName.values();
  }
}

const COUNTS = Object.keys(NO_COUNTS) as (keyof SchedulerCounts)[];
