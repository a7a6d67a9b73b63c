import type { ChunkSet } from '../../model/chunk-set.ts';
import type { Scope, ScopeControl } from '../../model/control.ts';
import type { ChunkId, ShardId, SubmissionId } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import type { EndState } from '../../model/submission.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { ShardGrant, StoreLeases } from '../lease.ts';
import type {
  CommitBatch,
  CommitResult,
  DuePage,
  DueSubmission,
  EndedPage,
  FailedChunksPage,
  LoadedSubmission,
  Preparation,
  SetAsideChunk,
  Store,
  StoredSubmission,
} from '../store.ts';
import { BatchWriter } from './batch-writer.ts';
import { Connections } from './connections.ts';
import { loadDriver } from './driver.ts';
import { forget, sweep } from './forget.ts';
import { PostgresLeases } from './leases.ts';
import { loadOpen, type Read } from './load.ts';
import { parseLocation } from './location.ts';
import * as lookups from './lookups.ts';
import { prepareDatabase } from './open.ts';
import { PostgresPreparation } from './preparation.ts';

export interface PostgresStoreOptions {
  /** What follows `postgres:` in the URL. */
  readonly rest: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The server cannot be reached, or takes no connection, for that reason; null: it does. */
  waiting(reason: string | null): void;
  /** Ends the wait. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Opens the store in a schema of a PostgreSQL database, which is created or migrated as needed; waits for a server that
 * cannot be reached at the moment.
 *
 * @throws IncorrectUsageError for a URL that makes no sense, or where the package `pg` is missing
 * @throws StoreError `unusable` for a database that is not to be had; the reason of the signal
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { rest, logger, clock, signal } = options;
  const pg = await loadDriver();
  signal?.throwIfAborted();
  const connections = new Connections({ pg, location: parseLocation(pg, rest), logger, clock });
  // Also what is being connected, or waits for an answer.
  const cut = () => void connections.close(0);
  signal?.addEventListener('abort', cut, { once: true });
  try {
    await prepareDatabase(connections, options);
  } catch (error) {
    await connections.close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cut);
  }
  return new PostgresStore(connections);
}

/** A queue's memory in a PostgreSQL database, which several nodes may share: who acts is a matter of leases. */
export class PostgresStore implements Store {
  /** Never fires: a store that was fenced can take its lease again. */
  readonly lost: AbortSignal = new AbortController().signal;
  readonly leases: StoreLeases;
  readonly #connections: Connections;
  readonly #writer: BatchWriter;
  readonly #read: Read = (work) => this.#connections.read(work);

  constructor(connections: Connections) {
    this.#connections = connections;
    this.#writer = new BatchWriter(connections);
    this.leases = new PostgresLeases(connections, this.#writer);
  }

  async acquire(shards: readonly ShardId[], holder: string): Promise<readonly ShardGrant[]> {
    try {
      return await this.#writer.acquire(shards, holder);
    } catch (error) {
      throw this.#connections.storeError(error, 'cannot be taken');
    }
  }

  load(shards: readonly ShardId[]): AsyncGenerator<readonly LoadedSubmission[]> {
    return loadOpen(this.#read, shards);
  }

  prepare(shard: ShardId): Preparation {
    return new PostgresPreparation(this.#read, shard);
  }

  commit(batch: CommitBatch): Promise<CommitResult> {
    return this.#writer.commit(batch);
  }

  scopeControls(): Promise<ReadonlyMap<Scope, ScopeControl>> {
    return this.#connections.read(lookups.scopeControls);
  }

  lastSeq(shard: ShardId): Promise<number> {
    return this.#connections.read((session) => lookups.lastSeq(session, shard));
  }

  async findById(id: SubmissionId): Promise<StoredSubmission | null> {
    const found = await this.#connections.read((session) => lookups.storedSubmissions(session, [id]));
    return found.get(id) ?? null;
  }

  async idsByPrefix(prefixes: readonly string[]): Promise<readonly (SubmissionId | null)[]> {
    const found = await this.#connections.read((session) => lookups.idsByPrefix(session, prefixes));
    return prefixes.map((prefix) => found.get(prefix) ?? null);
  }

  directContents(
    part: 'input' | 'output',
    chunks: readonly ChunkId[],
    bytesMax: number = ANSWER_BYTES_MAX,
  ): Promise<readonly (Uint8Array | null)[]> {
    return this.#connections.read((session) => lookups.directContents(session, part, chunks, bytesMax));
  }

  countEnded(queue: string, state: EndState): Promise<number> {
    return this.#connections.read((session) => lookups.countEnded(session, queue, state));
  }

  endedQueues(state: EndState): Promise<readonly string[]> {
    return this.#connections.read((session) => lookups.endedQueues(session, state));
  }

  ended(page: EndedPage): Promise<readonly StoredSubmission[]> {
    return this.#connections.read((session) => lookups.endedSubmissions(session, page));
  }

  chunksDone(id: SubmissionId): Promise<ChunkSet | null> {
    return this.#connections.read((session) => lookups.chunksDone(session, id));
  }

  failedChunks(page: FailedChunksPage): Promise<readonly SetAsideChunk[]> {
    return this.#connections.read((session) => lookups.failedChunks(session, page));
  }

  due(page: DuePage): Promise<readonly DueSubmission[]> {
    return this.#connections.read((session) => lookups.dueSubmissions(session, page));
  }

  async forget(ids: readonly SubmissionId[], forgotten?: () => void): Promise<number> {
    try {
      const count = await this.#connections.write((session) => forget(session, ids, this.#writer.grants));
      forgotten?.();
      // Also what an earlier call left behind when the process ended. Commits go in between.
      while (await this.#connections.write(sweep));
      return count;
    } catch (error) {
      throw this.#connections.storeError(error, 'forgetting failed');
    }
  }

  sizeBytes(): Promise<number> {
    return this.#connections.read(lookups.sizeBytes);
  }

  close(graceMs?: number): Promise<void> {
    return this.#connections.close(graceMs);
  }
}
