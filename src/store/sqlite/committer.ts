import { NO_CONTROL } from '../../model/control.ts';
import type { ShardId } from '../../model/ids.ts';
import { type BatchFacts, type Committed, type InsertMutation, planBatch } from '../batch-plan.ts';
import { STATE } from '../codec/submission-row.ts';
import type { ShardGrant } from '../lease.ts';
import type { CommitBatch } from '../store.ts';
import type { Claim } from './tables/shards.ts';
import type { Tables } from './tables/tables.ts';
import type { Transactions } from './tables/transactions.ts';

/** Applies batches, each as one transaction with its `seq`. */
export class Committer {
  readonly #tables: Tables;
  readonly #transactions: Transactions;
  readonly #facts: BatchFacts;
  /** What has ended. Counted once and kept up to date: counting millions of rows for a metric would hold up commits. */
  readonly #counts = new EndedCounts();
  /** Owners that are not written down yet. */
  readonly #claims = new Map<ShardId, Claim>();

  constructor(tables: Tables, transactions: Transactions) {
    this.#tables = tables;
    this.#transactions = transactions;
    const { shards, submissions } = tables;
    this.#facts = {
      shard: (shard) => shards.find(shard),
      idByPrefix: (prefix) => submissions.idByPrefix(prefix),
      idByIdempotencyKey: (key) => submissions.idByIdempotencyKey(key),
      has: (id) => submissions.find(id) !== null,
    };
    for (const [queue, state, count] of submissions.counts()) this.#counts.add(queue, state, count);
  }

  /**
   * Takes the shard. It is written down by `claim`, or with the first batch: a queue that refuses what it loads leaves
   * the file as it was. Until then the lock on the file keeps other owners away.
   */
  acquire(shard: ShardId, holder: string): ShardGrant {
    const state = this.#tables.shards.find(shard) ?? { epoch: 0, lastSeq: 0, highestId: 0n };
    const epoch = (this.#claims.get(shard) ?? state).epoch + 1;
    this.#claims.set(shard, { epoch, holder });
    return { shard, ...state, epoch };
  }

  /** Fences former owners of what was acquired. */
  claim(): void {
    if (this.#claims.size === 0) return;
    this.#transactions.run(() => this.#writeClaims());
    this.#claims.clear();
  }

  /** @throws StoreError `fenced`, or `corrupt` if `seq` is out of order; else errors of SQLite */
  commit(batch: CommitBatch): Committed {
    const changes: EndedChange[] = [];
    const committed = this.#transactions.run(() => {
      this.#writeClaims();
      return this.#apply(batch, changes);
    });
    this.#claims.clear();
    for (const { queue, state, change } of changes) this.#counts.add(queue, state, change);
    return committed;
  }

  countEnded(queue: string, state: number): number {
    return this.#counts.get(queue, state);
  }

  endedQueues(state: number): string[] {
    return this.#counts.queues(state);
  }

  /** It has ended, and is there no longer. */
  forgotten({ queue, state }: Omit<EndedChange, 'change'>): void {
    this.#counts.add(queue, state, -1);
  }

  #writeClaims(): void {
    for (const [shard, claim] of this.#claims) this.#tables.shards.claim(shard, claim);
  }

  #apply(batch: CommitBatch, changes: EndedChange[]): Committed {
    const { submissions, tries, failedChunks, pages, outputs, shards, controls } = this.#tables;
    const committed: Committed = { existing: [], gone: [] };
    for (const step of planBatch(batch, this.#facts)) {
      switch (step.kind) {
        case 'insert':
          this.#insert(step, changes);
          break;
        case 'page':
          pages.put(step.id, step.page, step.content);
          break;
        case 'tries':
          tries.put(step.id, step.chunkIndex, step.tries);
          break;
        case 'failed_chunk':
          failedChunks.put(step.id, step.chunkIndex, step.failure);
          break;
        case 'retry': {
          const ended = submissions.ended(step.id);
          if (ended?.state === STATE.completed) break;
          if (ended !== null) changes.push({ ...ended, change: -1 });
          submissions.reopen(step.id);
          tries.deletion.all(step.id);
          failedChunks.deletion.all(step.id);
          break;
        }
        case 'direct_output':
          outputs.put(step.id, step.chunkIndex, step.content);
          break;
        case 'control':
          submissions.control(step.id, step.control);
          break;
        case 'scope_control':
          controls.put(step.scope, step.control);
          break;
        case 'end': {
          const queue = submissions.end(step.id, step.end);
          if (queue !== null) changes.push({ queue, state: STATE[step.end.state], change: 1 });
          break;
        }
        case 'drop_progress':
          pages.deletion.all(step.id);
          tries.deletion.all(step.id);
          failedChunks.deletion.all(step.id);
          break;
        case 'exists': {
          const submission = this.#tables.stored(step.id);
          if (submission) committed.existing.push([step.position, submission]);
          break;
        }
        case 'gone':
          committed.gone.push(step.position);
          break;
        case 'advance':
          shards.advance(step.shard, step.seq, step.highestId);
          break;
      }
    }
    return committed;
  }

  #insert(mutation: InsertMutation, changes: EndedChange[]): void {
    const { record, end = null, idempotencyKey = null, directInputs = [], control = NO_CONTROL } = mutation;
    if (!this.#tables.submissions.insert(record, control, end, idempotencyKey)) return;
    if (end !== null) changes.push({ queue: record.queue, state: STATE[end.state], change: 1 });
    for (const [chunkIndex, input] of directInputs.entries()) {
      if (input !== null) this.#tables.inputs.put(record.id, chunkIndex, input);
    }
  }
}

interface EndedChange {
  readonly queue: string;
  readonly state: number;
  /** So many more have ended in it. */
  readonly change: number;
}

/** How many submissions have ended, by queue and state. */
class EndedCounts {
  readonly #byQueue = new Map<string, Map<number, number>>();

  get(queue: string, state: number): number {
    return this.#byQueue.get(queue)?.get(state) ?? 0;
  }

  queues(state: number): string[] {
    return [...this.#byQueue].flatMap(([queue, byState]) => (byState.has(state) ? [queue] : []));
  }

  add(queue: string, state: number, change: number): void {
    const byState = this.#byQueue.get(queue) ?? new Map<number, number>();
    const count = (byState.get(state) ?? 0) + change;
    if (count === 0) byState.delete(state);
    else byState.set(state, count);
    if (byState.size === 0) this.#byQueue.delete(queue);
    else this.#byQueue.set(queue, byState);
  }
}
