import { ChunkSet } from '../../model/chunk-set.ts';
import type { Scope, ScopeControl } from '../../model/control.ts';
import type { ChunkId, ShardId, SubmissionId } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import type { EndState } from '../../model/submission.ts';
import type { Logger } from '../../system/log/logger.ts';
import { type Clock, systemClock } from '../../system/time/clock.ts';
import { failedCommit, insertResults } from '../batch-plan.ts';
import { allChunks, setStoredPage } from '../codec/progress.ts';
import type { ShardGrant } from '../lease.ts';
import type {
  CommitBatch,
  CommitResult,
  DuePage,
  DueSubmission,
  EndedPage,
  FailedChunksPage,
  LoadedSubmission,
  SetAsideChunk,
  Store,
  StoredSubmission,
  StoreMaintenance,
} from '../store.ts';
import { encodeMutations, readPage } from './codec/batch-codec.ts';
import { ByteReader } from './codec/byte-codec.ts';
import { LOAD_START, LoadAssembler, type LoadCursor } from './codec/load-pieces.ts';
import { parseDatabaseFilename } from './file/location.ts';
import { describeImport } from './import/report.ts';
import { DatabaseThread } from './thread/handle.ts';
import type { DatabaseCalls } from './thread/protocol.ts';

export interface SqliteStoreOptions {
  /** A path, `:memory:`, or an SQLite URI such as `file:queue.db?mode=rw`. */
  readonly filename: string;
  readonly logger: Logger;
  /** Default: the machine's. For the names of copies, and for the time that a stop may take. */
  readonly clock?: Clock;
}

/**
 * Opens the store in an SQLite file, which is created, migrated or taken over from the original opsqueue as needed.
 *
 * @throws IncorrectUsageError for a filename that makes no sense
 * @throws StoreError `unusable` for a file that is not ours, newer, damaged, in use or not writable; the file is
 *   then as it was
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const location = parseDatabaseFilename(options.filename);
  const clock = options.clock ?? systemClock;
  const thread = await DatabaseThread.start({ location, nowMs: clock.nowMs() }, clock);
  if (thread.imported !== null && location.kind === 'file') {
    options.logger.info({ ...thread.imported }, describeImport(location.path, thread.imported));
  }
  return new SqliteStore(thread, location.kind === 'file');
}

/** Every queue's memory in one SQLite file, which a thread of its own reads and writes. */
export class SqliteStore implements Store {
  readonly lost: AbortSignal;
  readonly maintenance?: StoreMaintenance;
  readonly #thread: DatabaseCalls;

  constructor(thread: DatabaseCalls, isFile: boolean) {
    this.#thread = thread;
    this.lost = thread.lost;
    if (!isFile) return;
    this.maintenance = {
      backup: (to) => thread.call('backup', [to]),
      checkpoint: () => thread.call('checkpoint', []),
      check: () => thread.call('check', []),
      walBytes: () => thread.call('walBytes', []),
    };
  }

  acquire(shards: readonly ShardId[], holder: string): Promise<readonly ShardGrant[]> {
    return this.#thread.call('acquire', [shards, holder]);
  }

  async *load(): AsyncIterable<readonly LoadedSubmission[]> {
    const assembler = new LoadAssembler();
    let cursor: LoadCursor | null = LOAD_START;
    let ahead = this.#thread.call('load', [cursor]);
    while (cursor !== null) {
      const piece = await ahead;
      cursor = piece.next;
      if (cursor !== null) {
        // The database reads the next piece while this one is taken in.
        ahead = this.#thread.call('load', [cursor]);
        ahead.catch(() => {});
      }
      const submissions = [...assembler.take(piece)];
      if (submissions.length > 0) yield submissions;
    }
  }

  async commit(batch: CommitBatch): Promise<CommitResult> {
    const mutations = encodeMutations(batch.mutations);
    const { shard, epoch, seq } = batch;
    try {
      const committed = await this.#thread.call(
        'commit',
        [{ shard, epoch, seq, mutations }],
        [mutations.buffer],
      );
      return { kind: 'committed', inserts: insertResults(batch.mutations, committed) };
    } catch (error) {
      return failedCommit(error, !this.#thread.isGone);
    }
  }

  scopeControls(): Promise<ReadonlyMap<Scope, ScopeControl>> {
    return this.#thread.call('scopeControls', []);
  }

  lastSeq(shard: ShardId): Promise<number> {
    return this.#thread.call('lastSeq', [shard]);
  }

  findById(id: SubmissionId): Promise<StoredSubmission | null> {
    return this.#thread.call('findById', [id]);
  }

  idsByPrefix(prefixes: readonly string[]): Promise<readonly (SubmissionId | null)[]> {
    return this.#thread.call('idsByPrefix', [prefixes]);
  }

  directContents(
    part: 'input' | 'output',
    chunks: readonly ChunkId[],
    bytesMax: number = ANSWER_BYTES_MAX,
  ): Promise<readonly (Uint8Array | null)[]> {
    return this.#thread.call('directContents', [part, chunks, bytesMax]);
  }

  countEnded(queue: string, state: EndState): Promise<number> {
    return this.#thread.call('countEnded', [queue, state]);
  }

  endedQueues(state: EndState): Promise<readonly string[]> {
    return this.#thread.call('endedQueues', [state]);
  }

  ended({ queue, state, before, limit }: EndedPage): Promise<readonly StoredSubmission[]> {
    return this.#thread.call('ended', [queue, state ?? null, before ?? null, limit]);
  }

  async chunksDone(id: SubmissionId): Promise<ChunkSet | null> {
    const progress = await this.#thread.call('chunksDone', [id]);
    if (progress === null) return null;
    if (progress.isCompleted) return allChunks(progress.chunksTotal);
    const done = new ChunkSet(progress.chunksTotal);
    const reader = new ByteReader(progress.pages);
    while (!reader.atEnd) {
      const { page, content } = readPage(reader);
      setStoredPage(done, id, page, content);
    }
    return done;
  }

  failedChunks({ id, from, limit, bytesMax }: FailedChunksPage): Promise<readonly SetAsideChunk[]> {
    return this.#thread.call('failedChunks', [id, from, limit, bytesMax ?? ANSWER_BYTES_MAX]);
  }

  due({ endedBeforeMs, after, limit }: DuePage): Promise<readonly DueSubmission[]> {
    return this.#thread.call('due', [endedBeforeMs, after ?? null, limit]);
  }

  async forget(ids: readonly SubmissionId[], forgotten?: () => void): Promise<number> {
    const count = await this.#thread.call('forget', [ids]);
    forgotten?.();
    // Also what an earlier call left behind when the process ended. Commits go in between.
    while (await this.#thread.call('sweep', []));
    return count;
  }

  sizeBytes(): Promise<number> {
    return this.#thread.call('sizeBytes', []);
  }

  close(graceMs?: number): Promise<void> {
    return this.#thread.close(graceMs);
  }
}
