import { checkInteger } from '../../model/check.ts';
import {
  IncorrectUsageError,
  OnInsertedError,
  QueueRefusedError,
  SubmissionConflictError,
} from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import type { StrategicMetadata } from '../../model/submission.ts';
import type { ChunkCompression } from '../../protocol/chunk/compression.ts';
import { directChunksRefusal } from '../../protocol/producer/requests.ts';
import { uuidV7 } from '../../system/random.ts';
import { linkedSignal, orAborted } from '../../system/signals.ts';
import { checkChoice, checkMetadata, checkRetry, checkStrategicMetadata } from '../checks.ts';
import type { ClientContext, TransferLimits } from '../context.ts';
import type { StoredSubmissionOptions, SubmissionOptions } from '../options.ts';
import type { InsertFate, NewSubmission } from '../queue-api.ts';
import type { Tracing } from '../tracing.ts';
import type { ChunkSink } from './chunking.ts';
import type { OpenSource } from './source.ts';
import { Uploader } from './upload.ts';

/** In a header: the body is that of the original's producers unless the caller asks for more. */
const RETRY_DEFAULT_HEADER = { 'opsqueue-retry': 'default' };

/** A submission that this client has inserted. */
export interface Inserted {
  readonly id: SubmissionId;
  /** Null where the queue does not tell. */
  readonly chunkSizeOps: number | null;
  /** Null for a direct one. */
  readonly prefix: string | null;
  readonly chunksTotal: number;
  /** Null where only chunks were given. */
  readonly opsTotal: number | null;
}

/** What a submission carries, checked. */
export interface Cargo {
  readonly metadata: Uint8Array | null;
  readonly strategicMetadata: StrategicMetadata;
  /** Null: not said. */
  readonly chunkSizeOps: number | null;
  readonly retryDelayMs: number;
  /** Null: not said. */
  readonly retry: RetryPolicy | null;
  /** Failed chunks wait as long as is the default of our producers. */
  readonly isRetryDefault: boolean;
  readonly onInserted: ((id: SubmissionId) => unknown) | undefined;
}

export interface StoredCargo extends Cargo {
  readonly limits: TransferLimits;
  readonly compression: ChunkCompression | null;
}

/** Makes chunk contents of a source, until it has no more; returns the number of operations, if that is known. */
export type ChunkFeed<T> = (
  source: OpenSource<T>,
  sink: ChunkSink,
  signal: AbortSignal,
) => Promise<number | null>;

/** What a submission is made of. */
export interface Load<T> {
  readonly source: OpenSource<T>;
  readonly feed: ChunkFeed<T>;
}

/** @throws IncorrectUsageError */
export function checkCargo(options: SubmissionOptions, chunkSize: unknown): Cargo {
  return {
    metadata: checkMetadata(options.metadata),
    strategicMetadata: checkStrategicMetadata(options.strategicMetadata),
    chunkSizeOps: chunkSize === undefined ? null : checkInteger('chunkSize', chunkSize, 1),
    retryDelayMs: checkInteger('retryDelayMs', options.retryDelayMs ?? 0, 0),
    retry: options.retry === undefined ? null : checkRetry(options.retry),
    // One who says that each retry waits a fixed time means that, and no more.
    isRetryDefault: options.retry === undefined && options.retryDelayMs === undefined,
    onInserted: options.onInserted,
  };
}

/** @throws IncorrectUsageError */
export function checkStoredCargo(
  context: ClientContext,
  options: StoredSubmissionOptions,
  chunkSize: unknown,
): StoredCargo {
  context.requireStore();
  return {
    ...checkCargo(options, chunkSize),
    limits: context.limits(options),
    compression: checkChoice('compression', options.compression, ['zstd']) ?? null,
  };
}

/**
 * Uploads the chunks and inserts the submission. Whatever goes wrong before the insert: nothing is submitted, and what
 * was uploaded is removed.
 */
export async function insertStored<T>(
  context: ClientContext,
  cargo: StoredCargo,
  { source, feed }: Load<T>,
  tracing: Tracing,
  signal: AbortSignal | undefined,
): Promise<Inserted> {
  using linked = linkedSignal(context.closing, signal);
  linked.signal.throwIfAborted();
  const store = await orAborted(context.store(), linked.signal);
  const prefix = uuidV7(context.clock.nowMs());
  const uploader = new Uploader({
    store,
    prefix,
    ...cargo.limits,
    compression: cargo.compression,
    signal: linked.signal,
    clock: context.clock,
    tracing,
  });
  let opsTotal: number | null;
  try {
    opsTotal = await feed(
      source,
      (content, isBorrowed) => uploader.add(content, isBorrowed),
      uploader.signal,
    );
    await uploader.finish();
  } catch (error) {
    await discard(context, uploader, prefix);
    throw error;
  }
  const contents = { kind: 'object_storage', prefix, count: uploader.chunks } as const;
  const fate: InsertFate = { mayHaveArrived: false };
  let id: SubmissionId;
  try {
    id = await insert(context, cargo, { contents, idempotencyKey: null }, tracing, linked.signal, fate);
  } catch (error) {
    if (await isUndone(context, prefix, error, fate, linked.signal.aborted))
      await discard(context, uploader, prefix);
    else context.logger.warn({ prefix }, 'not known whether the submission was inserted: its chunks stay');
    throw error;
  }
  const refusal = await tell(context, cargo, id);
  if (refusal?.isCancelled) await discard(context, uploader, prefix);
  if (refusal !== null) throw refusal;
  return { id, prefix, chunksTotal: uploader.chunks, chunkSizeOps: cargo.chunkSizeOps ?? 1, opsTotal };
}

async function discard(context: ClientContext, uploader: Uploader, prefix: string): Promise<void> {
  if (await uploader.discard()) return;
  // The caller is told what went wrong first; `opsqueue gc` finds what is left.
  context.logger.warn(
    { prefix },
    'could not remove what was uploaded for a submission that was not inserted',
  );
}

/** Inserts a submission that carries its chunks. */
export async function insertDirect<T>(
  context: ClientContext,
  cargo: Cargo,
  { source, feed }: Load<T>,
  tracing: Tracing,
  signal: AbortSignal | undefined,
): Promise<Inserted> {
  using linked = linkedSignal(context.closing, signal);
  linked.signal.throwIfAborted();
  const contents: Uint8Array[] = [];
  const sink: ChunkSink = (content, isBorrowed) => {
    // As soon as it is known: the source may have no end.
    const refusal = directChunksRefusal(contents.length + 1);
    if (refusal !== null) throw new IncorrectUsageError(`a direct submission: ${refusal}`);
    contents.push(isBorrowed ? new Uint8Array(content) : content);
    return undefined;
  };
  const opsTotal = await feed(source, sink, linked.signal);
  const idempotencyKey = uuidV7(context.clock.nowMs());
  const what = { contents: { kind: 'direct', contents }, idempotencyKey } as const;
  const id = await insert(context, cargo, what, tracing, linked.signal, { mayHaveArrived: false });
  const refusal = await tell(context, cargo, id);
  if (refusal !== null) throw refusal;
  return { id, prefix: null, chunksTotal: contents.length, chunkSizeOps: cargo.chunkSizeOps ?? 1, opsTotal };
}

async function insert(
  context: ClientContext,
  cargo: Cargo,
  what: Pick<NewSubmission, 'contents' | 'idempotencyKey'>,
  tracing: Tracing,
  signal: AbortSignal,
  fate: InsertFate,
): Promise<SubmissionId> {
  const { metadata, strategicMetadata, chunkSizeOps, retryDelayMs, retry } = cargo;
  const headers = { ...tracing.headers(), ...(cargo.isRetryDefault ? RETRY_DEFAULT_HEADER : {}) };
  const submission = { ...what, metadata, strategicMetadata, chunkSizeOps, retryDelayMs, retry, headers };
  const id = await context.api.insert(submission, signal, fate);
  if (retryDelayMs > 0 && !context.api.announces('retry_delay')) {
    context.warnOnce('this queue does not know retryDelayMs: failed chunks are tried again at once');
  }
  if (retry !== null && !context.api.announces('retry')) {
    context.warnOnce('this queue does not know the option retry: failed chunks are tried again at once');
  }
  tracing.inserted(id);
  return id;
}

/** Tells the caller the id. If he throws, he may not have it, and is not to wonder what runs there: it is cancelled. */
async function tell(
  context: ClientContext,
  { onInserted }: Cargo,
  id: SubmissionId,
): Promise<OnInsertedError | null> {
  try {
    onInserted?.(id);
    return null;
  } catch (cause) {
    const isCancelled = await context.api.undo(id).catch(() => false);
    return new OnInsertedError(id, isCancelled, { cause });
  }
}

/** Whether it is certain that no submission with that prefix is, or will be, on the queue. */
async function isUndone(
  context: ClientContext,
  prefix: string,
  error: unknown,
  fate: InsertFate,
  wasAborted: boolean,
): Promise<boolean> {
  if (error instanceof SubmissionConflictError) return false;
  if (error instanceof QueueRefusedError && error.status < 500) return true;
  if (!fate.mayHaveArrived) return true;
  if (!wasAborted || context.closing.aborted) return false;
  return context.api.undoInsert(prefix).catch(() => false);
}
