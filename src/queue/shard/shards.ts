import { type Scope, SERVER_SCOPE } from '../../model/control.ts';
import type { ShardId } from '../../model/ids.ts';
import { queueText } from '../../model/queue-name.ts';
import { invariant } from '../../scheduler/invariant.ts';
import { nothingChanged, QueueUnavailableError } from '../errors.ts';
import type { Journal, JournalHealth } from '../journal/journal.ts';
import type { Shard } from './shard.ts';

/** The shard that what belongs to no queue belongs to, such as the pauses of the whole server. */
export const SHARD_OF_SERVER: ShardId = 0;

/** Of no journal at all. */
const NO_TROUBLE: JournalHealth = {
  ok: true,
  stuckSinceMs: null,
  error: null,
  mutationsPending: 0,
  bytesPending: 0,
  batchesCommitted: 0,
  lastSeq: 0,
};

/** The shards that are open in this process, and which of them each queue belongs to. */
export class Shards {
  /** Which shard a queue belongs to, open here or not. */
  readonly shardOf: (queue: string) => ShardId;
  readonly #byId = new Map<ShardId, Shard>();

  constructor(shardOf: (queue: string) => ShardId) {
    this.shardOf = shardOf;
  }

  /** Until it has stopped. */
  add(shard: Shard): void {
    invariant(!this.#byId.has(shard.id), 'a shard is opened once at a time');
    this.#byId.set(shard.id, shard);
  }

  remove(shard: Shard): void {
    if (this.#byId.get(shard.id) === shard) this.#byId.delete(shard.id);
  }

  at(id: ShardId): Shard | undefined {
    return this.#byId.get(id);
  }

  /** To which one it belongs what verbs have changed of a queue as such, or of the server. */
  findScope(scope: Scope): Shard | undefined {
    return scope === SERVER_SCOPE ? this.#byId.get(SHARD_OF_SERVER) : this.find(scope);
  }

  /** The same. Throws QueueUnavailableError where it is not open here. */
  ofScope(scope: Scope): Shard {
    return this.findScope(scope) ?? notHere(scope === SERVER_SCOPE ? 'the whole server' : queueText(scope));
  }

  /** Throws QueueUnavailableError unless all of those are ready here: what is of all their queues would be of some. */
  assertReady(ids: readonly ShardId[]): void {
    const missing = ids.filter((id) => this.#byId.get(id)?.isReady !== true).length;
    if (missing === 0) return;
    throw nothingChanged(`${missing} of the ${ids.length} shards that this node should have are not ready`);
  }

  /** undefined: that queue is not open here. */
  find(queue: string): Shard | undefined {
    return this.#byId.get(this.shardOf(queue));
  }

  /** Throws QueueUnavailableError where that queue is not open here. */
  of(queue: string): Shard {
    return this.find(queue) ?? notHere(queueText(queue));
  }

  get ids(): readonly ShardId[] {
    return [...this.#byId.keys()];
  }

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): IterableIterator<Shard> {
    return this.#byId.values();
  }

  /** What waits for its commit, of all of them, estimated. */
  get bytesPending(): number {
    let bytes = 0;
    for (const { journal } of this.#byId.values()) bytes += journal.bytesPending;
    return bytes;
  }

  get journals(): readonly Journal[] {
    return Array.from(this.#byId.values(), ({ journal }) => journal);
  }

  /** Of all journals together: that of the one that is stuck for longest, if one is. */
  get health(): JournalHealth {
    let total = NO_TROUBLE;
    for (const { journal } of this.#byId.values()) {
      const { health } = journal;
      const isWorse = !health.ok && (total.ok || health.stuckSinceMs! < total.stuckSinceMs!);
      const { ok, stuckSinceMs, error } = isWorse ? health : total;
      total = {
        ok,
        stuckSinceMs,
        error,
        mutationsPending: total.mutationsPending + health.mutationsPending,
        bytesPending: total.bytesPending + health.bytesPending,
        batchesCommitted: total.batchesCommitted + health.batchesCommitted,
        lastSeq: Math.max(total.lastSeq, health.lastSeq),
      };
    }
    return total;
  }
}

function notHere(what: string): never {
  throw new QueueUnavailableError(`${what} is not looked after by this node at the moment`);
}
