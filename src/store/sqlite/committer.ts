import type { ShardId, SubmissionId } from '../../model/ids.ts';
import { StoreError } from '../errors.ts';
import type { CommitBatch, InsertResult, Mutation, ShardGrant, StoredSubmission } from '../store.ts';
import { STATE } from './tables/schema.ts';
import type { Claim } from './tables/shards.ts';
import type { Tables } from './tables/tables.ts';
import type { Transactions } from './tables/transactions.ts';

/** An insert that found another submission: its position among the inserts of the batch. */
export type ExistingInsert = readonly [position: number, submission: StoredSubmission];

/** The results of a batch; inserts that are not in the list took place. */
export interface Committed {
  readonly existing: readonly ExistingInsert[];
  /** Positions of inserts of which nothing is there any more; only of a batch that was sent once more. */
  readonly gone: readonly number[];
}

type Insert = Extract<Mutation, { readonly kind: 'insert' }>;
type End = Extract<Mutation, { readonly kind: 'end' }>;

/** Applies batches, each as one transaction with its `seq`. */
export class Committer {
  readonly #tables: Tables;
  readonly #transactions: Transactions;
  /** Rows by state. Counted once and kept up to date: counting millions of them for a metric would hold up commits. */
  readonly #counts: Map<number, number>;
  /** Owners that are not written down yet. */
  readonly #claims = new Map<ShardId, Claim>();

  constructor(tables: Tables, transactions: Transactions) {
    this.#tables = tables;
    this.#transactions = transactions;
    this.#counts = tables.submissions.counts();
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
    const changes = new Map<number, number>();
    const committed = this.#transactions.run(() => {
      this.#writeClaims();
      return this.#apply(batch, changes);
    });
    this.#claims.clear();
    for (const [state, change] of changes) this.count(state, change);
    return committed;
  }

  countOf(state: number): number {
    return this.#counts.get(state) ?? 0;
  }

  count(state: number, change: number): void {
    this.#counts.set(state, this.countOf(state) + change);
  }

  #writeClaims(): void {
    for (const [shard, claim] of this.#claims) this.#tables.shards.claim(shard, claim);
  }

  #apply(batch: CommitBatch, changes: Map<number, number>): Committed {
    const { shard, epoch, seq, mutations } = batch;
    const state = this.#tables.shards.find(shard);
    if (state?.epoch !== epoch) {
      throw new StoreError('fenced', `another queue has taken shard ${shard}`);
    }
    if (seq === state.lastSeq) return this.#resultsAgain(mutations);
    if (seq !== state.lastSeq + 1) {
      throw new StoreError('corrupt', `batch ${seq} does not follow batch ${state.lastSeq}`);
    }
    let { highestId } = state;
    let inserts = 0;
    const existing: ExistingInsert[] = [];
    for (const mutation of mutations) {
      switch (mutation.kind) {
        case 'insert': {
          const found = this.#insert(mutation, changes);
          if (found) existing.push([inserts, found]);
          else if (mutation.record.id > highestId) highestId = mutation.record.id;
          inserts++;
          break;
        }
        case 'page':
          this.#tables.pages.put(mutation.id, mutation.page, mutation.content);
          break;
        case 'tries':
          this.#tables.tries.put(mutation.id, mutation.chunkIndex, mutation.tries);
          break;
        case 'direct_output':
          this.#tables.outputs.put(mutation.id, mutation.chunkIndex, mutation.content);
          break;
        case 'end':
          this.#end(mutation, changes);
          break;
      }
    }
    this.#tables.shards.advance(shard, seq, highestId);
    return { existing, gone: [] };
  }

  /** The submission that is there already; null if the insert took place. */
  #insert(mutation: Insert, changes: Map<number, number>): StoredSubmission | null {
    const { record, end = null, idempotencyKey = null, directInputs = [] } = mutation;
    const other = this.#otherOf(mutation);
    if (other) return other;
    if (!this.#tables.submissions.insert(record, end, idempotencyKey)) return null;
    add(changes, end === null ? STATE.open : STATE[end.state], 1);
    for (const [chunkIndex, input] of directInputs.entries()) {
      if (input !== null) this.#tables.inputs.put(record.id, chunkIndex, input);
    }
    return null;
  }

  /** Another submission with the same prefix or idempotency key. */
  #otherOf({ record, idempotencyKey }: Insert): StoredSubmission | null {
    const { submissions } = this.#tables;
    let id: SubmissionId | null = null;
    if (record.prefix !== null) id = submissions.idByPrefix(record.prefix);
    if (id === null && idempotencyKey !== undefined) id = submissions.idByIdempotencyKey(idempotencyKey);
    return id === null || id === record.id ? null : this.#tables.stored(id);
  }

  #end({ id, end }: End, changes: Map<number, number>): void {
    if (this.#tables.submissions.end(id, end)) {
      add(changes, STATE.open, -1);
      add(changes, STATE[end.state], 1);
    }
    if (end.state !== 'completed') return;
    this.#tables.pages.deletion.all(id);
    this.#tables.tries.deletion.all(id);
  }

  /** The last batch was sent once more. What it inserted, or found, may have been cleaned up since. */
  #resultsAgain(mutations: readonly Mutation[]): Committed {
    const existing: ExistingInsert[] = [];
    const gone: number[] = [];
    let inserts = 0;
    for (const mutation of mutations) {
      if (mutation.kind !== 'insert') continue;
      const other = this.#otherOf(mutation);
      if (other) existing.push([inserts, other]);
      else if (this.#tables.stored(mutation.record.id) === null) gone.push(inserts);
      inserts++;
    }
    return { existing, gone };
  }
}

/** The results of a batch, one for each of its inserts. */
export function insertResults(mutations: readonly Mutation[], { existing, gone }: Committed): InsertResult[] {
  const results: InsertResult[] = [];
  for (const { kind } of mutations) if (kind === 'insert') results.push({ kind: 'inserted' });
  for (const [position, submission] of existing) results[position] = { kind: 'exists', submission };
  for (const position of gone) results[position] = { kind: 'gone' };
  return results;
}

function add(changes: Map<number, number>, state: number, change: number): void {
  changes.set(state, (changes.get(state) ?? 0) + change);
}
