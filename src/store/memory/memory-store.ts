import { ChunkSet, type PageContent } from '../../model/chunk-set.ts';
import type { ChunkId, ChunkIndex, ShardId, SubmissionId } from '../../model/ids.ts';
import { submissionIdShard } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import type { ChunkTries, SubmissionEnd, SubmissionRecord } from '../../model/submission.ts';
import { StoreError } from '../errors.ts';
import type {
  CommitBatch,
  CommitResult,
  DueSubmission,
  EndedPage,
  InsertResult,
  LoadedSubmission,
  Mutation,
  ShardGrant,
  Store,
  StoredSubmission,
} from '../store.ts';

interface Row {
  readonly record: SubmissionRecord;
  readonly idempotencyKey: string | null;
  end: SubmissionEnd | null;
  readonly pages: Map<number, PageContent>;
  readonly tries: Map<ChunkIndex, ChunkTries>;
  readonly inputs: readonly (Uint8Array | null)[];
  readonly outputs: Map<ChunkIndex, Uint8Array | null>;
}

interface Shard {
  epoch: number;
  lastSeq: number;
  highestId: SubmissionId;
}

/** What outlives a {@link MemoryStore}: the next one on the same database finds it, as after a restart. */
export class MemoryDatabase {
  readonly rows = new Map<SubmissionId, Row>();
  readonly byPrefix = new Map<string, Row>();
  readonly byIdempotencyKey = new Map<string, Row>();
  readonly shards = new Map<ShardId, Shard>();

  shard(shard: ShardId): Shard {
    let found = this.shards.get(shard);
    if (!found) {
      found = { epoch: 0, lastSeq: 0, highestId: 0n };
      this.shards.set(shard, found);
    }
    return found;
  }
}

export interface MemoryStoreOptions {
  /** Default: an empty one of its own. A store that acquires a database fences the one before. */
  readonly database?: MemoryDatabase;
}

/** Remembers as long as its {@link MemoryDatabase} lives: for tests, and for queues that need not outlive the process. */
export class MemoryStore implements Store {
  readonly #database: MemoryDatabase;
  readonly #lost = new AbortController();
  readonly lost: AbortSignal = this.#lost.signal;
  #closed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.#database = options.database ?? new MemoryDatabase();
  }

  async acquire(shards: readonly ShardId[], _holder: string): Promise<readonly ShardGrant[]> {
    this.#assertOpen();
    return shards.map((shard) => {
      const state = this.#database.shard(shard);
      state.epoch++;
      return { shard, epoch: state.epoch, lastSeq: state.lastSeq, highestId: state.highestId };
    });
  }

  async *load(shards: readonly ShardId[]): AsyncIterable<readonly LoadedSubmission[]> {
    this.#assertOpen();
    const open = [...this.#database.rows.values()].filter(
      ({ end, record }) => end === null && shards.includes(submissionIdShard(record.id)),
    );
    open.sort(byIdAscending);
    for (let i = 0; i < open.length; i += 1000) yield open.slice(i, i + 1000).map(loaded);
  }

  async commit(batch: CommitBatch): Promise<CommitResult> {
    this.#assertOpen();
    const shard = this.#database.shard(batch.shard);
    if (shard.epoch !== batch.epoch) {
      return {
        kind: 'fenced',
        error: new StoreError('fenced', `another queue has taken shard ${batch.shard}`),
      };
    }
    if (batch.seq === shard.lastSeq)
      return { kind: 'committed', inserts: this.#resultsAgain(batch.mutations) };
    if (batch.seq !== shard.lastSeq + 1) {
      const error = new StoreError('corrupt', `batch ${batch.seq} does not follow batch ${shard.lastSeq}`);
      return { kind: 'refused', error };
    }
    const inserts: InsertResult[] = [];
    for (const mutation of batch.mutations) this.#apply(mutation, shard, inserts);
    shard.lastSeq = batch.seq;
    return { kind: 'committed', inserts };
  }

  async lastSeq(shard: ShardId): Promise<number> {
    this.#assertOpen();
    return this.#database.shard(shard).lastSeq;
  }

  async findById(id: SubmissionId): Promise<StoredSubmission | null> {
    this.#assertOpen();
    return stored(this.#database.rows.get(id));
  }

  async idsByPrefix(prefixes: readonly string[]): Promise<readonly (SubmissionId | null)[]> {
    this.#assertOpen();
    return prefixes.map((prefix) => this.#database.byPrefix.get(prefix)?.record.id ?? null);
  }

  async directContents(
    part: 'input' | 'output',
    chunks: readonly ChunkId[],
    bytesMax: number = ANSWER_BYTES_MAX,
  ): Promise<readonly (Uint8Array | null)[]> {
    this.#assertOpen();
    const contents: (Uint8Array | null)[] = [];
    let bytes = 0;
    for (const { submissionId, chunkIndex } of chunks) {
      const row = this.#database.rows.get(submissionId);
      const content = part === 'input' ? row?.inputs[chunkIndex] : row?.outputs.get(chunkIndex);
      contents.push(content ? content.slice() : null);
      bytes += content?.length ?? 0;
      if (bytes >= bytesMax) break;
    }
    return contents;
  }

  async countEnded(state: SubmissionEnd['state']): Promise<number> {
    this.#assertOpen();
    let count = 0;
    for (const { end } of this.#database.rows.values()) if (end?.state === state) count++;
    return count;
  }

  async ended({ state, before, limit }: EndedPage): Promise<readonly StoredSubmission[]> {
    this.#assertOpen();
    return [...this.#database.rows.values()]
      .filter(({ end, record }) => {
        if (end === null || (state !== undefined && end.state !== state)) return false;
        return before === undefined || record.id < before;
      })
      .sort((a, b) => byIdAscending(b, a))
      .slice(0, limit)
      .flatMap((row) => stored(row) ?? []);
  }

  async chunksDone(id: SubmissionId): Promise<ChunkSet | null> {
    this.#assertOpen();
    const row = this.#database.rows.get(id);
    return row ? doneOf(row) : null;
  }

  async due(page: {
    readonly endedBeforeMs: number;
    readonly after?: DueSubmission | undefined;
    readonly limit: number;
  }): Promise<readonly DueSubmission[]> {
    this.#assertOpen();
    const { endedBeforeMs, after, limit } = page;
    return [...this.#database.rows.values()]
      .flatMap(({ record, end }) => (end === null ? [] : { id: record.id, endedAtMs: end.endedAtMs }))
      .filter((each) => each.endedAtMs < endedBeforeMs && (after === undefined || byEnd(after, each) < 0))
      .sort(byEnd)
      .slice(0, limit);
  }

  async forget(ids: readonly SubmissionId[]): Promise<number> {
    this.#assertOpen();
    let count = 0;
    for (const id of ids) {
      const row = this.#database.rows.get(id);
      if (row === undefined || row.end === null) continue;
      const { prefix } = row.record;
      this.#database.rows.delete(id);
      if (prefix !== null) this.#database.byPrefix.delete(prefix);
      if (row.idempotencyKey !== null) this.#database.byIdempotencyKey.delete(row.idempotencyKey);
      count++;
    }
    return count;
  }

  async sizeBytes(): Promise<number> {
    this.#assertOpen();
    let bytes = 0;
    for (const row of this.#database.rows.values()) {
      bytes += 256 + row.pages.size * 512 + row.tries.size * 32 + (row.record.metadata?.length ?? 0);
      for (const input of row.inputs) bytes += input?.length ?? 0;
      for (const output of row.outputs.values()) bytes += output?.length ?? 0;
    }
    return bytes;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #apply(mutation: Mutation, shard: Shard, inserts: InsertResult[]): void {
    if (mutation.kind === 'insert') {
      inserts.push(this.#insert(mutation, shard));
      return;
    }
    const row = this.#database.rows.get(mutation.id);
    if (!row) return;
    switch (mutation.kind) {
      case 'page':
        if (mutation.content === 'empty') row.pages.delete(mutation.page);
        else row.pages.set(mutation.page, mutation.content === 'full' ? 'full' : mutation.content.slice());
        break;
      case 'tries':
        row.tries.set(mutation.chunkIndex, mutation.tries);
        break;
      case 'direct_output':
        row.outputs.set(mutation.chunkIndex, mutation.content?.slice() ?? null);
        break;
      case 'end':
        if (row.end !== null) break;
        row.end = mutation.end;
        if (mutation.end.state !== 'completed') break;
        row.pages.clear();
        row.tries.clear();
        break;
    }
  }

  #insert(mutation: Extract<Mutation, { kind: 'insert' }>, shard: Shard): InsertResult {
    const { record, idempotencyKey = null } = mutation;
    const existing = this.#existing(mutation);
    if (existing) return existing.record.id === record.id ? { kind: 'inserted' } : exists(existing);
    const row: Row = {
      record,
      idempotencyKey,
      end: mutation.end ?? null,
      pages: new Map(),
      tries: new Map(),
      inputs: mutation.directInputs?.map((input) => input?.slice() ?? null) ?? [],
      outputs: new Map(),
    };
    this.#database.rows.set(record.id, row);
    if (record.prefix !== null) this.#database.byPrefix.set(record.prefix, row);
    if (idempotencyKey !== null) this.#database.byIdempotencyKey.set(idempotencyKey, row);
    if (record.id > shard.highestId) shard.highestId = record.id;
    return { kind: 'inserted' };
  }

  #existing({ record, idempotencyKey }: Extract<Mutation, { kind: 'insert' }>): Row | undefined {
    const { rows, byPrefix, byIdempotencyKey } = this.#database;
    return (
      rows.get(record.id) ??
      (record.prefix === null ? undefined : byPrefix.get(record.prefix)) ??
      (idempotencyKey === undefined ? undefined : byIdempotencyKey.get(idempotencyKey))
    );
  }

  /** The last batch was sent once more. What it inserted, or found, may have been cleaned up since. */
  #resultsAgain(mutations: readonly Mutation[]): InsertResult[] {
    return mutations.flatMap((mutation): InsertResult[] => {
      if (mutation.kind !== 'insert') return [];
      const existing = this.#existing(mutation);
      if (existing === undefined) return [{ kind: 'gone' }];
      return [existing.record.id === mutation.record.id ? { kind: 'inserted' } : exists(existing)];
    });
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreError('transient', 'the store is closed');
  }
}

function byIdAscending(a: Row, b: Row): number {
  return a.record.id < b.record.id ? -1 : 1;
}

function byEnd(a: DueSubmission, b: DueSubmission): number {
  return a.endedAtMs - b.endedAtMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function exists(row: Row): InsertResult {
  return { kind: 'exists', submission: storedRow(row) };
}

function stored(row: Row | undefined): StoredSubmission | null {
  return row ? storedRow(row) : null;
}

function storedRow(row: Row): StoredSubmission {
  const { record, end } = row;
  const chunksDone = end === null || end.state === 'completed' ? doneOf(row).count : end.chunksDone;
  return { record, end, chunksDone };
}

function loaded(row: Row): LoadedSubmission {
  const done = doneOf(row);
  return {
    record: row.record,
    done,
    tries: new Map([...row.tries].filter(([chunkIndex]) => !done.has(chunkIndex))),
  };
}

function doneOf(row: Row): ChunkSet {
  const done = new ChunkSet(row.record.chunksTotal);
  if (row.end?.state === 'completed') {
    for (let page = 0; page < done.pagesTotal; page++) done.setPage(page, 'full');
  } else {
    for (const [page, content] of row.pages) done.setPage(page, content);
  }
  return done;
}
