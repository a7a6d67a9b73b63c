import type { ShardId, SubmissionId } from '../model/ids.ts';
import { StoreError } from './errors.ts';
import type { CommitBatch, CommitResult, InsertResult, Mutation, StoredSubmission } from './store.ts';

/*
 * The rules of a batch, the same for every engine. A store applies the steps in their order, in one transaction; it may
 * do so while they come, or gather them first.
 */

export interface ShardState {
  readonly epoch: number;
  /** The last batch that took place; 0 before the first. */
  readonly lastSeq: number;
  /** The highest id ever inserted; 0n before the first. */
  readonly highestId: SubmissionId;
}

/** What is stored: before the batch, or as the steps so far have left it. */
export interface BatchFacts {
  shard(shard: ShardId): ShardState | null;
  /** The oldest submission of that prefix, in any state. */
  idByPrefix(prefix: string): SubmissionId | null;
  idByIdempotencyKey(key: string): SubmissionId | null;
  /** Whether a look-up finds the submission, in any state. Asked only about a batch that is sent once more. */
  has(id: SubmissionId): boolean;
}

export type InsertMutation = Extract<Mutation, { readonly kind: 'insert' }>;

export type BatchStep =
  /** An insert changes nothing if its id is there already. */
  | Mutation
  /** Pages, tries and chunks set aside of a completed submission are not needed any more. */
  | { readonly kind: 'drop_progress'; readonly id: SubmissionId }
  /** That insert, counted among those of the batch, found another submission. */
  | { readonly kind: 'exists'; readonly position: number; readonly id: SubmissionId }
  /** Nothing of that insert is there any more. */
  | { readonly kind: 'gone'; readonly position: number }
  /** The last step of a batch that takes place. */
  | {
      readonly kind: 'advance';
      readonly shard: ShardId;
      readonly seq: number;
      readonly highestId: SubmissionId;
    };

/** @throws StoreError `fenced`, or `corrupt` if `seq` is out of order, before the first step */
export function* planBatch(batch: CommitBatch, facts: BatchFacts): Generator<BatchStep, void> {
  const { shard, epoch, seq, mutations } = batch;
  const state = facts.shard(shard);
  if (state?.epoch !== epoch) throw new StoreError('fenced', `another queue has taken shard ${shard}`);
  const isRepeated = seq === state.lastSeq;
  if (!isRepeated && seq !== state.lastSeq + 1) {
    throw new StoreError('corrupt', `batch ${seq} does not follow batch ${state.lastSeq}`);
  }
  const names = new Names(facts);
  let { highestId } = state;
  let position = -1;
  for (const mutation of mutations) {
    if (mutation.kind !== 'insert') {
      if (isRepeated) continue;
      yield mutation;
      if (mutation.kind === 'end' && mutation.end.state === 'completed') {
        yield { kind: 'drop_progress', id: mutation.id };
      }
      continue;
    }
    position++;
    const { id } = mutation.record;
    const owner = names.ownerOf(mutation);
    if (owner !== null && owner !== id) {
      yield { kind: 'exists', position, id: owner };
    } else if (isRepeated) {
      // What it inserted, or found, may have been cleaned up since.
      if (!facts.has(id)) yield { kind: 'gone', position };
    } else {
      yield mutation;
      names.add(mutation);
      if (id > highestId) highestId = id;
    }
  }
  if (!isRepeated) yield { kind: 'advance', shard, seq, highestId };
}

/** Which submission has a prefix or an idempotency key: stored, or inserted earlier in the batch. */
class Names {
  readonly #facts: BatchFacts;
  readonly #byPrefix = new Map<string, SubmissionId>();
  readonly #byKey = new Map<string, SubmissionId>();

  constructor(facts: BatchFacts) {
    this.#facts = facts;
  }

  ownerOf({ record: { prefix }, idempotencyKey: key }: InsertMutation): SubmissionId | null {
    let id: SubmissionId | null = null;
    if (prefix !== null) id = this.#byPrefix.get(prefix) ?? this.#facts.idByPrefix(prefix);
    if (id === null && key !== undefined) id = this.#byKey.get(key) ?? this.#facts.idByIdempotencyKey(key);
    return id;
  }

  add({ record: { id, prefix }, idempotencyKey: key }: InsertMutation): void {
    if (prefix !== null) this.#byPrefix.set(prefix, id);
    if (key !== undefined) this.#byKey.set(key, id);
  }
}

/** The results of a batch in few bytes: inserts that are not in the lists took place. */
export interface Committed {
  readonly existing: (readonly [position: number, submission: StoredSubmission])[];
  readonly gone: number[];
}

/** One result for each insert of the batch. */
export function insertResults(mutations: readonly Mutation[], { existing, gone }: Committed): InsertResult[] {
  const results: InsertResult[] = [];
  for (const { kind } of mutations) if (kind === 'insert') results.push({ kind: 'inserted' });
  for (const [position, submission] of existing) results[position] = { kind: 'exists', submission };
  for (const position of gone) results[position] = { kind: 'gone' };
  return results;
}

/** What `commit` answers after an error. @param isSettled whether the store knows that nothing took place */
export function failedCommit(error: unknown, isSettled: boolean): CommitResult {
  if (!(error instanceof StoreError)) throw error;
  if (error.storeClass === 'fenced') return { kind: 'fenced', error };
  return { kind: isSettled ? 'refused' : 'unknown', error };
}
