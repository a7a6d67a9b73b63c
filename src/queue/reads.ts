import { ChunkSet, type PageContent } from '../model/chunk-set.ts';
import { type Control, currentRecord } from '../model/control.ts';
import { TooManyMatchingSubmissionsError } from '../model/errors.ts';
import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import type {
  EndState,
  FailedChunk,
  StatusRecord,
  SubmissionRecord,
  SubmissionStatus,
} from '../model/submission.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Store, StoredSubmission } from '../store/store.ts';
import { type LongPolls, settledCount } from './long-polls.ts';
import type { NamedQueues } from './named-queues.ts';
import type { Retention } from './retention.ts';
import type { Shards } from './shard/shards.ts';
import type { Scopes } from './verbs/scopes.ts';

export interface ReadsOptions {
  readonly store: Store;
  readonly shards: Shards;
  readonly queues: NamedQueues;
  readonly longPolls: LongPolls;
  readonly retention: Retention;
  readonly scopes: Scopes;
  readonly submissionsReturnedMax: number;
}

/** A page of a {@link ChunkSet} that is not empty. */
export interface ChunksPage {
  readonly page: number;
  readonly content: 'full' | Uint8Array;
}

/** Which chunks of a submission are done: a piece of them. */
export interface ChunksDone {
  readonly state: SubmissionStatus['state'];
  readonly chunksTotal: number;
  readonly chunksDone: number;
  /** Ascending. None of a completed submission, where all chunks are done. */
  readonly pages: readonly ChunksPage[];
  readonly chunksFailed: number;
  /** The same of the chunks that are set aside; only those of a submission that is in progress, or has completed with failures. */
  readonly failedPages: readonly ChunksPage[];
  /** Where to go on if there are more pages than fitted; else null. */
  readonly nextPage: number | null;
}

/** Outputs of a `Direct` submission, a piece of them. */
export type DirectOutputs =
  | {
      readonly kind: 'outputs';
      readonly outputs: readonly (Uint8Array | null)[];
      readonly next: number | null;
    }
  | { readonly kind: 'not_direct' };

export interface Wait {
  /** Woken when more chunks than these are done or set aside; null: only by the end of the submission. */
  readonly doneAbove: number | null;
  readonly waitMs: number;
}

/** Pages of one answer. */
const PAGES_MAX = 256;
/** Bytes of one answer with outputs; a single larger output still goes, alone. */
const OUTPUTS_BYTES_MAX = 8 * 1024 * 1024;
/** Outputs that are asked of the store at once; it answers as many of them as there is room for. */
const OUTPUTS_AT_ONCE = 1024;
/** Prefixes that are looked up at once: a commit does not wait for many of them. */
const PREFIXES_AT_ONCE = 1_000;

/**
 * What producers ask about submissions. Ends are visible once they are committed. A submission is known in its own queue
 * only.
 */
export class Reads {
  readonly #o: ReadsOptions;

  constructor(options: ReadsOptions) {
    this.#o = options;
  }

  async status(queue: string, id: SubmissionId): Promise<SubmissionStatus | null> {
    const open = this.open(queue, id);
    if (open !== undefined) {
      const record = { ...open.record, ...this.#told(open.record, open.control) };
      const chunksDone = this.#o.shards.of(queue).journal.chunksCommitted(open);
      return { state: 'in_progress', record, chunksDone, chunksFailed: open.failed?.count ?? 0 };
    }
    const stored = await this.#o.store.findById(id);
    if (stored?.record.queue !== queue) return null;
    if (stored.end !== null) this.#o.retention.read(id);
    return statusOf(stored, this.#told(stored.record, stored.control));
  }

  /**
   * Calls `wake` once, as soon as there is news of the submission, or the time is up, or the queue stops.
   *
   * @returns takes it back; null if there is nothing to wait for: the submission is unknown, has ended, or has
   *   moved on already
   */
  wait(queue: string, id: SubmissionId, { doneAbove, waitMs }: Wait, wake: () => void): (() => void) | null {
    const open = this.open(queue, id);
    if (open === undefined || waitMs <= 0) return null;
    if (doneAbove !== null && settledCount(open) > doneAbove && open.state === 'open') return null;
    return this.#o.longPolls.wait(open, open.state === 'open' ? doneAbove : null, waitMs, wake);
  }

  /** Which chunks are done, as of the last commit. null: unknown. */
  async chunksDone(queue: string, id: SubmissionId, fromPage: number): Promise<ChunksDone | null> {
    const open = this.open(queue, id);
    if (open !== undefined && open.state === 'open') {
      const told = pieceOf('in_progress', open.done, open.failed, fromPage);
      // The output of a chunk that is reported as done is read: the chunk must not run again after a crash.
      await this.#o.shards.of(queue).journal.committed();
      return told;
    }
    if (open !== undefined) await this.#o.shards.of(queue).journal.committed();
    const status = await this.status(queue, id);
    if (status === null) return null;
    const { chunksTotal } = status.record;
    if (status.state === 'completed') {
      const none = { chunksFailed: 0, pages: [], failedPages: [], nextPage: null };
      return { state: 'completed', chunksTotal, chunksDone: chunksTotal, ...none };
    }
    const done = (await this.#o.store.chunksDone(id)) ?? new ChunkSet(chunksTotal);
    const failed = status.state === 'completed_with_failures' ? complementOf(done) : null;
    return pieceOf(status.state, done, failed, fromPage);
  }

  /** Outputs of the chunks from `from` on, at most `limit` and 8 MiB of them; null for those that are not done. null: unknown. */
  async directOutputs(
    queue: string,
    id: SubmissionId,
    from: number,
    limit: number,
  ): Promise<DirectOutputs | null> {
    const status = await this.status(queue, id);
    if (status === null) return null;
    if (status.record.prefix !== null) return { kind: 'not_direct' };
    await this.#o.shards.of(queue).journal.committed();
    const end = Math.min(status.record.chunksTotal, from + limit);
    const outputs: (Uint8Array | null)[] = [];
    let bytes = 0;
    while (from + outputs.length < end && bytes < OUTPUTS_BYTES_MAX) {
      const first = from + outputs.length;
      const chunks = Array.from({ length: Math.min(OUTPUTS_AT_ONCE, end - first) }, (_, i) => ({
        submissionId: id,
        chunkIndex: first + i,
      }));
      for (const output of await this.#o.store.directContents('output', chunks, OUTPUTS_BYTES_MAX - bytes)) {
        bytes += output?.length ?? 0;
        if (bytes > OUTPUTS_BYTES_MAX && outputs.length > 0) break;
        outputs.push(output);
      }
    }
    const next = from + outputs.length;
    return { kind: 'outputs', outputs, next: next < status.record.chunksTotal ? next : null };
  }

  /** Chunks that are set aside, from that one on, with what they failed by. null: the submission is unknown. */
  async failedChunks(
    queue: string,
    id: SubmissionId,
    from: ChunkIndex,
    limit: number,
  ): Promise<readonly FailedChunk[] | null> {
    const status = await this.status(queue, id);
    if (status === null) return null;
    await this.#o.shards.of(queue).journal.committed();
    const { store } = this.#o;
    const failed = await store.failedChunks({ id, from, limit, bytesMax: OUTPUTS_BYTES_MAX });
    if (status.record.prefix !== null) return failed.map((chunk) => ({ ...chunk, inputContent: null }));
    const chunks = failed.map(({ chunkIndex }) => ({ submissionId: id, chunkIndex }));
    const inputs = chunks.length === 0 ? [] : await store.directContents('input', chunks, OUTPUTS_BYTES_MAX);
    // As many as there are inputs of.
    return inputs.map((inputContent, i) => ({ ...failed[i]!, inputContent }));
  }

  countInProgress(queue: string): number {
    return this.#o.queues.get(queue)?.scheduler.counts.submissionsOpen ?? 0;
  }

  countCompleted(queue: string): Promise<number> {
    return this.#o.store.countEnded(queue, 'completed');
  }

  /** In any state; of several with this prefix the oldest. */
  async idByPrefix(queue: string, prefix: string): Promise<SubmissionId | null> {
    const [id = null] = await this.#o.store.idsByPrefix([prefix]);
    if (id === null || this.open(queue, id) !== undefined) return id;
    return (await this.#o.store.findById(id))?.record.queue === queue ? id : null;
  }

  /** Of submissions in progress that carry all pairs, ascending. Throws TooManyMatchingSubmissionsError. */
  idsByMetadata(queue: string, pairs: ReadonlyMap<string, bigint>): SubmissionId[] {
    const max = this.#o.submissionsReturnedMax;
    const ids = this.#o.queues.get(queue)?.scheduler.find(pairs, max + 1) ?? [];
    if (ids.length > max) throw new TooManyMatchingSubmissionsError(max);
    return ids;
  }

  /** Of submissions that ended in that state and are still remembered, the newest first; ids below `before`. */
  async endedIds(
    queue: string,
    state: EndState,
    before: SubmissionId | undefined,
    limit: number,
  ): Promise<SubmissionId[]> {
    return (await this.#o.store.ended({ queue, state, before, limit })).map(({ record }) => record.id);
  }

  /** In any state, of any queue. */
  stored(id: SubmissionId): Promise<StoredSubmission | null> {
    return this.#o.store.findById(id);
  }

  /** Which chunks of a submission are done on disk; null: it is not known. Of a completed one all are. */
  chunksDoneOf(id: SubmissionId): Promise<ChunkSet | null> {
    return this.#o.store.chunksDone(id);
  }

  /** Submissions of a queue that ended in that state and are still remembered, the newest first; ids below `before`. */
  ended(
    queue: string,
    state: EndState,
    before: SubmissionId | undefined,
    limit: number,
  ): Promise<readonly StoredSubmission[]> {
    return this.#o.store.ended({ queue, state, before, limit });
  }

  /** Of which queues there are such submissions. */
  endedQueues(state: EndState): Promise<readonly string[]> {
    return this.#o.store.endedQueues(state);
  }

  /** For each prefix, whether it belongs to a submission in any state, of any queue: whoever deletes folders asks. */
  async known(prefixes: readonly string[]): Promise<boolean[]> {
    const known: boolean[] = [];
    for (let i = 0; i < prefixes.length; i += PREFIXES_AT_ONCE) {
      const some = prefixes.slice(i, i + PREFIXES_AT_ONCE);
      for (const id of await this.#o.store.idsByPrefix(some)) known.push(id !== null);
    }
    return known;
  }

  /** What verbs have changed, if they have. */
  #told({ queue }: SubmissionRecord, control: Control): Pick<StatusRecord, 'control'> {
    const { pauses, history, deadlineMs, startAfterMs } = control;
    const queuePauses = this.#o.scopes.pausesOf(queue);
    const isUntouched = pauses.length + history.length + queuePauses.length === 0;
    if (isUntouched && deadlineMs === null && startAfterMs === null) return {};
    return { control: { ...control, queuePauses } };
  }

  /** The schedule's own entry, for a look at what is going on. */
  open(queue: string, id: SubmissionId): OpenSubmission | undefined {
    return this.#o.queues.get(queue)?.scheduler.get(id);
  }
}

function statusOf(
  { record: stored, control, end, chunksDone }: StoredSubmission,
  told: Pick<StatusRecord, 'control'>,
): SubmissionStatus {
  const chunkSizeOps = stored.chunkSizeOps === 0 ? null : stored.chunkSizeOps;
  const record = { ...currentRecord(stored, control), chunkSizeOps, ...told };
  // Nothing is set aside of what is known to the store as open, but not on the schedule yet.
  if (end === null) return { state: 'in_progress', record, chunksDone, chunksFailed: 0 };
  switch (end.state) {
    case 'completed':
      return { state: 'completed', record, endedAtMs: end.endedAtMs };
    case 'failed':
    case 'completed_with_failures':
      return { ...end, record };
    case 'cancelled':
      return {
        state: 'cancelled',
        record,
        endedAtMs: end.endedAtMs,
        chunksDone: end.chunksDone,
        cancellation: { by: end.by, reason: end.reason },
      };
  }
}

/** The chunks that are not in the set. */
function complementOf(chunks: ChunkSet): ChunkSet {
  const others = new ChunkSet(chunks.size);
  for (let i = chunks.nextMissing(0); i < chunks.size; i = chunks.nextMissing(i + 1)) others.add(i);
  return others;
}

function pieceOf(
  state: SubmissionStatus['state'],
  done: ChunkSet,
  failed: ChunkSet | null,
  fromPage: number,
): ChunksDone {
  const pages: ChunksPage[] = [];
  const failedPages: ChunksPage[] = [];
  const { pagesTotal } = done;
  const next = (from: number) => Math.min(done.nextPage(from), failed?.nextPage(from) ?? pagesTotal);
  let page = next(fromPage);
  for (; page < pagesTotal && pages.length + failedPages.length < PAGES_MAX; page = next(page + 1)) {
    addPage(pages, page, done.page(page));
    addPage(failedPages, page, failed?.page(page) ?? 'empty');
  }
  return {
    state,
    chunksTotal: done.size,
    chunksDone: done.count,
    chunksFailed: failed?.count ?? 0,
    pages,
    failedPages,
    nextPage: page < pagesTotal ? page : null,
  };
}

function addPage(to: ChunksPage[], page: number, content: PageContent): void {
  if (content !== 'empty') to.push({ page, content });
}
