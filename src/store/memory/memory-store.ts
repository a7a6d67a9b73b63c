import { ChunkSet, type PageContent } from '../../model/chunk-set.ts';
import { type Control, isUntouched, NO_CONTROL, type Scope, type ScopeControl } from '../../model/control.ts';
import type { ChunkId, ChunkIndex, ShardId, SubmissionId } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import type { ChunkTries, EndState, SubmissionEnd, SubmissionRecord } from '../../model/submission.ts';
import type { Clock } from '../../system/time/clock.ts';
import {
  type BatchFacts,
  type BatchStep,
  type Committed,
  failedCommit,
  type InsertMutation,
  insertResults,
  planBatch,
} from '../batch-plan.ts';
import { allChunks, chunksDoneIn } from '../codec/progress.ts';
import { StoreError } from '../errors.ts';
import type { ShardGrant, StoreLeases } from '../lease.ts';
import type {
  CommitBatch,
  CommitResult,
  DuePage,
  DueSubmission,
  EndedPage,
  FailedChunksPage,
  LoadedBlock,
  LoadedSubmission,
  Preparation,
  SetAsideChunk,
  Store,
  StoredSubmission,
} from '../store.ts';
import { type LeaseBook, MemoryLeases, type MemoryShard, renewLease } from './memory-leases.ts';

/** Open submissions of a block that is prepared. */
const PREPARED_BLOCK_SUBMISSIONS = 3;

interface Row {
  /** Another number whenever anything of it changes. */
  version: number;
  readonly record: SubmissionRecord;
  /** That inserted it. */
  readonly shard: ShardId;
  readonly idempotencyKey: string | null;
  end: SubmissionEnd | null;
  control: Control;
  readonly pages: Map<number, PageContent>;
  readonly tries: Map<ChunkIndex, ChunkTries>;
  readonly failed: Map<ChunkIndex, string>;
  readonly inputs: readonly (Uint8Array | null)[];
  readonly outputs: Map<ChunkIndex, Uint8Array | null>;
}

/** What outlives a {@link MemoryStore}: the next one on the same database finds it, as after a restart. */
export class MemoryDatabase implements BatchFacts {
  readonly rows = new Map<SubmissionId, Row>();
  readonly byPrefix = new Map<string, Row>();
  readonly byIdempotencyKey = new Map<string, Row>();
  readonly shards = new Map<ShardId, MemoryShard>();
  readonly scopes = new Map<Scope, ScopeControl>();
  readonly nodes: LeaseBook['nodes'] = new Map();
  readonly leaseListeners = new Set<() => void>();

  shard(shard: ShardId): MemoryShard {
    let found = this.shards.get(shard);
    if (!found) {
      found = { epoch: 0, lastSeq: 0, highestId: 0n, lease: null };
      this.shards.set(shard, found);
    }
    return found;
  }

  has(id: SubmissionId): boolean {
    return this.rows.has(id);
  }

  idByPrefix(prefix: string): SubmissionId | null {
    return this.byPrefix.get(prefix)?.record.id ?? null;
  }

  idByIdempotencyKey(key: string): SubmissionId | null {
    return this.byIdempotencyKey.get(key)?.record.id ?? null;
  }
}

export interface MemoryStoreOptions {
  /** Default: an empty one of its own. A store that acquires a database fences the one before. */
  readonly database?: MemoryDatabase;
  /** Its time, if several nodes of this process share it. Default: they do not, and there are no leases. */
  readonly clock?: Clock;
}

/** Remembers as long as its {@link MemoryDatabase} lives: for tests, and for queues that need not outlive the process. */
export class MemoryStore implements Store {
  readonly leases?: StoreLeases;
  readonly #database: MemoryDatabase;
  readonly #clock: Clock | null;
  /** Of what this store was granted. */
  readonly #epochs = new Map<ShardId, number>();
  readonly #lost = new AbortController();
  readonly lost: AbortSignal = this.#lost.signal;
  #closed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.#database = options.database ?? new MemoryDatabase();
    this.#clock = options.clock ?? null;
    if (options.clock !== undefined) {
      this.leases = new MemoryLeases(this.#database, options.clock, (grant) => this.#granted(grant));
    }
  }

  async acquire(shards: readonly ShardId[], _holder: string): Promise<readonly ShardGrant[]> {
    this.#assertOpen();
    return shards.map((shard) => {
      const state = this.#database.shard(shard);
      state.epoch++;
      state.lease = null;
      const { epoch, lastSeq, highestId } = state;
      this.#granted({ shard, epoch });
      return { shard, epoch, lastSeq, highestId };
    });
  }

  async *load(shards: readonly ShardId[]): AsyncIterable<readonly LoadedSubmission[]> {
    this.#assertOpen();
    const open = this.#open(shards);
    for (let i = 0; i < open.length; i += 1000) yield open.slice(i, i + 1000).map(loaded);
  }

  prepare(shard: ShardId): Preparation {
    return new MemoryPreparation(() => {
      this.#assertOpen();
      return this.#open([shard]);
    });
  }

  async commit(batch: CommitBatch): Promise<CommitResult> {
    this.#assertOpen();
    const committed: Committed = { existing: [], gone: [] };
    try {
      for (const step of planBatch(batch, this.#database)) this.#apply(step, batch.shard, committed);
    } catch (error) {
      return failedCommit(error, true);
    }
    return { kind: 'committed', inserts: insertResults(batch.mutations, committed) };
  }

  async scopeControls(): Promise<ReadonlyMap<Scope, ScopeControl>> {
    this.#assertOpen();
    return new Map(this.#database.scopes);
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
    return prefixes.map((prefix) => this.#database.idByPrefix(prefix));
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

  async countEnded(queue: string, state: EndState): Promise<number> {
    this.#assertOpen();
    let count = 0;
    for (const { end, record } of this.#database.rows.values()) {
      if (end?.state === state && record.queue === queue) count++;
    }
    return count;
  }

  async endedQueues(state: EndState): Promise<readonly string[]> {
    this.#assertOpen();
    const rows = [...this.#database.rows.values()];
    return [...new Set(rows.flatMap(({ end, record }) => (end?.state === state ? [record.queue] : [])))];
  }

  async ended({ queue, state, before, limit }: EndedPage): Promise<readonly StoredSubmission[]> {
    this.#assertOpen();
    return [...this.#database.rows.values()]
      .filter(({ end, record }) => {
        if (end === null || record.queue !== queue || (state !== undefined && end.state !== state))
          return false;
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

  async failedChunks(page: FailedChunksPage): Promise<readonly SetAsideChunk[]> {
    this.#assertOpen();
    const { id, from, limit, bytesMax = ANSWER_BYTES_MAX } = page;
    const failed = [...(this.#database.rows.get(id)?.failed ?? [])]
      .map(([chunkIndex, failure]) => ({ chunkIndex, failure }))
      .filter(({ chunkIndex }) => chunkIndex >= from)
      .sort((a, b) => a.chunkIndex - b.chunkIndex)
      .slice(0, limit);
    let bytes = 0;
    const end = failed.findIndex(({ failure }) => {
      bytes += failure.length;
      return bytes >= bytesMax;
    });
    return end === -1 ? failed : failed.slice(0, end + 1);
  }

  async due({ shards, endedBeforeMs, after, limit }: DuePage): Promise<readonly DueSubmission[]> {
    this.#assertOpen();
    return [...this.#database.rows.values()]
      .filter(({ shard }) => this.#isOf(shards, shard))
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
      if (row === undefined || row.end === null || !this.#owns(row.shard)) continue;
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

  #apply(step: BatchStep, shard: ShardId, committed: Committed): void {
    switch (step.kind) {
      case 'insert':
        this.#insert(step, shard);
        return;
      case 'exists': {
        const existing = this.#database.rows.get(step.id);
        if (existing) committed.existing.push([step.position, storedRow(existing)]);
        return;
      }
      case 'gone':
        committed.gone.push(step.position);
        return;
      case 'advance': {
        const state = this.#database.shard(step.shard);
        state.lastSeq = step.seq;
        state.highestId = step.highestId;
        if (this.#clock !== null) renewLease(state, this.#clock);
        return;
      }
      case 'scope_control':
        if (isUntouched(step.control)) this.#database.scopes.delete(step.scope);
        else this.#database.scopes.set(step.scope, step.control);
        return;
    }
    const row = this.#database.rows.get(step.id);
    if (!row) return;
    row.version++;
    switch (step.kind) {
      case 'page':
        if (step.content === 'empty') row.pages.delete(step.page);
        else row.pages.set(step.page, step.content === 'full' ? 'full' : step.content.slice());
        break;
      case 'tries':
        row.tries.set(step.chunkIndex, step.tries);
        break;
      case 'failed_chunk':
        if (step.failure === null) row.failed.delete(step.chunkIndex);
        else row.failed.set(step.chunkIndex, step.failure);
        break;
      case 'retry':
        if (row.end?.state === 'completed') break;
        row.tries.clear();
        row.failed.clear();
        row.end = null;
        break;
      case 'direct_output':
        row.outputs.set(step.chunkIndex, step.content?.slice() ?? null);
        break;
      case 'control':
        if (row.end === null) row.control = step.control;
        break;
      case 'end':
        row.end ??= step.end;
        break;
      case 'drop_progress':
        row.pages.clear();
        row.tries.clear();
        row.failed.clear();
        break;
    }
  }

  #insert(mutation: InsertMutation, shard: ShardId): void {
    const { record, idempotencyKey = null, end = null, directInputs = [], control = NO_CONTROL } = mutation;
    const { rows, byPrefix, byIdempotencyKey } = this.#database;
    if (rows.has(record.id)) return;
    const row: Row = {
      version: 0,
      record,
      shard,
      idempotencyKey,
      end,
      control,
      pages: new Map(),
      tries: new Map(),
      failed: new Map(),
      inputs: directInputs.map((input) => input?.slice() ?? null),
      outputs: new Map(),
    };
    rows.set(record.id, row);
    if (record.prefix !== null) byPrefix.set(record.prefix, row);
    if (idempotencyKey !== null) byIdempotencyKey.set(idempotencyKey, row);
  }

  #granted({ shard, epoch }: Pick<ShardGrant, 'shard' | 'epoch'>): void {
    this.#epochs.set(shard, epoch);
  }

  #open(shards: readonly ShardId[]): Row[] {
    const open = [...this.#database.rows.values()].filter(
      ({ end, shard }) => end === null && this.#isOf(shards, shard),
    );
    return open.sort((a, b) => a.shard - b.shard || byIdAscending(a, b));
  }

  #owns(shard: ShardId): boolean {
    return this.#database.shard(shard).epoch === this.#epochs.get(shard);
  }

  /** Without leases there is one shard. */
  #isOf(shards: readonly ShardId[], shard: ShardId): boolean {
    return this.leases === undefined || shards.includes(shard);
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreError('transient', 'the store is closed');
  }
}

/** In small blocks, so that some of what is prepared in a test stays as it was. */
class MemoryPreparation implements Preparation {
  readonly #open: () => readonly Row[];
  #starts: readonly SubmissionId[] = [];
  readonly #versions: string[] = [];

  constructor(open: () => readonly Row[]) {
    this.#open = open;
  }

  async *read(): AsyncGenerator<LoadedBlock> {
    this.#starts = this.#open().flatMap(({ record }, i) =>
      i > 0 && i % PREPARED_BLOCK_SUBMISSIONS === 0 ? record.id : [],
    );
    for (let block = 0; block <= this.#starts.length; block++) {
      const rows = this.#blocks()[block]!;
      this.#versions[block] = versionOf(rows);
      yield { block, submissions: rows.map(loaded) };
    }
  }

  async *changed(): AsyncGenerator<LoadedBlock> {
    for (const [block, rows] of this.#blocks().entries())
      if (versionOf(rows) !== this.#versions[block]) yield { block, submissions: rows.map(loaded) };
  }

  #blocks(): Row[][] {
    const blocks: Row[][] = [[], ...this.#starts.map(() => [])];
    for (const row of this.#open()) {
      const after = this.#starts.findLastIndex((start) => start <= row.record.id);
      blocks[after + 1]!.push(row);
    }
    return blocks;
  }
}

function versionOf(rows: readonly Row[]): string {
  return rows.map(({ record, version }) => `${record.id} ${version}`).join();
}

function byIdAscending(a: Row, b: Row): number {
  return a.record.id < b.record.id ? -1 : 1;
}

function byEnd(a: DueSubmission, b: DueSubmission): number {
  return a.endedAtMs - b.endedAtMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function stored(row: Row | undefined): StoredSubmission | null {
  return row ? storedRow(row) : null;
}

function storedRow(row: Row): StoredSubmission {
  const { record, end, control } = row;
  const chunksDone = chunksDoneIn(record.chunksTotal, end, () => doneOf(row).count);
  return { record, end, chunksDone, control };
}

function loaded(row: Row): LoadedSubmission {
  const done = doneOf(row);
  const failed = new ChunkSet(row.record.chunksTotal);
  for (const chunkIndex of row.failed.keys()) if (!done.has(chunkIndex)) failed.add(chunkIndex);
  return {
    record: row.record,
    done,
    tries: new Map([...row.tries].filter(([chunkIndex]) => !done.has(chunkIndex) && !failed.has(chunkIndex))),
    failed,
    control: row.control,
  };
}

function doneOf(row: Row): ChunkSet {
  if (row.end?.state === 'completed') return allChunks(row.record.chunksTotal);
  const done = new ChunkSet(row.record.chunksTotal);
  for (const [page, content] of row.pages) done.setPage(page, content);
  return done;
}
