import { checkChoice, checkInteger } from '../../model/check.ts';
import {
  DeadlinePassedError,
  IncorrectUsageError,
  QueueRefusedError,
  SourceChangedError,
  SubmissionConflictError,
} from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import { FAILURE_MODES, type FailureMode, type StrategicMetadata } from '../../model/submission.ts';
import type { ChunkCompression } from '../../protocol/chunk/compression.ts';
import { directChunksRefusal } from '../../protocol/producer/requests.ts';
import { orAborted } from '../../system/async/abort-signals.ts';
import { uuidV7 } from '../../system/random.ts';
import { checkTime } from '../changes.ts';
import { checkMetadata, checkPrefix, checkRetry, checkStrategicMetadata } from '../checks.ts';
import type { CallTransferLimits, ClientContext } from '../context.ts';
import type { SubmitOptions } from '../options.ts';
import type { InsertFate, SubmissionToInsert } from '../queue-api.ts';
import type { SubmissionTracing } from '../tracing.ts';
import { type ChunkSink, chunkOperations } from './chunking.ts';
import { insertRun } from './run/insert-run.ts';
import type { OpenSource } from './source.ts';
import { Uploader } from './upload.ts';

/** In a header: the body is that of the original's producers unless the caller asks for more. */
const RETRY_DEFAULT_HEADER = { 'opsqueue-retry': 'default' };

/** A submission that is on the queue. */
export interface Inserted {
  readonly id: SubmissionId;
  /** Null where the queue does not report it. */
  readonly chunkSizeOps: number | null;
  /** Null if the queue keeps its chunks. */
  readonly prefix: string | null;
  readonly chunksTotal: number;
  /** Null where this client has not counted them. */
  readonly opsTotal: number | null;
  /** The queue has forgotten it, and all its results are in the object store. */
  readonly isForgotten?: boolean;
}

/** How a submission is inserted, and what it carries besides its operations: checked. */
export interface Cargo {
  readonly in: 'object-store' | 'queue';
  /** Of a run that survives its producer. */
  readonly name: string | null;
  /** Null: not given, which is possible for raw chunks, as in the original. */
  readonly chunkSizeOps: number | null;
  readonly metadata: Uint8Array | null;
  readonly strategicMetadata: StrategicMetadata;
  readonly retryDelayMs: number;
  /** Null: not given. */
  readonly retry: RetryPolicy | null;
  /** Failed chunks wait as long as is the default of our producers. */
  readonly isRetryDefault: boolean;
  readonly failureMode: FailureMode;
  readonly limits: CallTransferLimits;
  readonly compression: ChunkCompression | null;
  /** Unix milliseconds; null: not given. */
  readonly deadlineMs: number | null;
  readonly startAfterMs: number | null;
}

/** One insert under way. */
export interface Insert {
  readonly context: ClientContext;
  readonly cargo: Cargo;
  readonly source: OpenSource<unknown>;
  readonly tracing: SubmissionTracing;
  readonly signal: AbortSignal;
}

/** @throws IncorrectUsageError */
export function checkInsert(context: ClientContext, options: SubmitOptions): Cargo {
  const { chunkSize, retry, retryDelayMs } = options;
  const where = checkChoice('in', options.in, ['object-store', 'queue']) ?? context.defaultPlace;
  const compression = checkChoice('compression', options.compression, ['zstd']) ?? null;
  if (where === 'object-store') context.requireStore();
  else if (compression !== null) {
    throw new IncorrectUsageError(
      "compression needs the object store: a submission with in: 'queue' has none",
    );
  }
  return {
    in: where,
    name: options.name === undefined ? null : checkPrefix(options.name, 'name'),
    chunkSizeOps:
      chunkSize === undefined && context.codec.isRaw ? null : checkInteger('chunkSize', chunkSize, 1),
    metadata: checkMetadata(options.metadata),
    strategicMetadata: checkStrategicMetadata(options.strategicMetadata),
    retryDelayMs: checkInteger('retryDelayMs', retryDelayMs ?? 0, 0),
    retry: retry === undefined ? null : checkRetry(retry),
    // A fixed wait before each retry replaces the default waits.
    isRetryDefault: retry === undefined && retryDelayMs === undefined,
    failureMode: checkChoice('failureMode', options.failureMode, FAILURE_MODES) ?? 'fail',
    limits: context.limits(options),
    compression,
    ...checkTimes(options),
  };
}

function checkTimes({ deadline, startAfter }: SubmitOptions): Pick<Cargo, 'deadlineMs' | 'startAfterMs'> {
  return {
    deadlineMs: deadline === undefined ? null : checkTime('deadline', deadline),
    startAfterMs: startAfter === undefined ? null : checkTime('startAfter', startAfter),
  };
}

/** Reads the source, stores the chunks and inserts the submission. Whatever goes wrong before: nothing is submitted. */
export async function insert(o: Insert): Promise<Inserted> {
  o.signal.throwIfAborted();
  // Whether it may be used is to be known before the source is read.
  await o.context.api.checkNamedQueue(o.signal);
  if (o.cargo.failureMode === 'collect') await o.context.api.require('collect', o.signal);
  if (o.cargo.deadlineMs !== null || o.cargo.startAfterMs !== null) {
    await o.context.api.require('control', o.signal);
  }
  if (o.cargo.in === 'queue') return insertDirect(o);
  const { name } = o.cargo;
  return name === null ? insertStored(o) : insertNamed(o, name);
}

/** Goes on with what an earlier producer of the same name has left, in the object store or on the queue. */
function insertNamed(o: Insert, name: string): Promise<Inserted> {
  return insertRun({
    ...o,
    name,
    feed: (to, signal) => feed(o, to, signal),
    send: (count) => {
      const contents = { kind: 'object_storage', prefix: name, count } as const;
      return send(o, { contents, idempotencyKey: null }, { mayHaveArrived: false });
    },
  });
}

/** Uploads the chunks first. What was uploaded of a submission that is not inserted is removed. */
async function insertStored(o: Insert): Promise<Inserted> {
  const { context, cargo, signal } = o;
  const store = context.requireStore();
  // What it lacks is to be known before the source is read.
  await orAborted(store.open(), signal);
  const prefix = uuidV7(context.clock.nowMs());
  const uploader = new Uploader({
    store,
    prefix,
    ...cargo.limits,
    compression: cargo.compression,
    guard: null,
    signal,
    clock: context.clock,
    tracing: o.tracing,
  });
  let opsTotal: number | null;
  try {
    opsTotal = await feed(o, uploader, uploader.signal);
    await uploader.finish();
  } catch (error) {
    await discard(context, uploader, prefix);
    throw error;
  }
  const contents = { kind: 'object_storage', prefix, count: uploader.chunks } as const;
  const fate: InsertFate = { mayHaveArrived: false };
  try {
    const id = await send(o, { contents, idempotencyKey: null }, fate);
    return { id, prefix, chunksTotal: uploader.chunks, chunkSizeOps: cargo.chunkSizeOps ?? 1, opsTotal };
  } catch (error) {
    if (await isUndone(o, prefix, error, fate)) await discard(context, uploader, prefix);
    else context.logger.warn({ prefix }, 'insert outcome unknown, keeping uploaded chunks');
    throw error;
  }
}

async function discard(context: ClientContext, uploader: Uploader, prefix: string): Promise<void> {
  if (await uploader.discard()) return;
  // The caller gets the error of the insert; `opsqueue gc` finds what is left.
  context.logger.warn(
    { prefix },
    'could not remove the uploaded chunks of a submission that was not inserted',
  );
}

/** Inserts a submission that carries its chunks. */
async function insertDirect(o: Insert): Promise<Inserted> {
  const { context, cargo, signal } = o;
  const contents: Uint8Array[] = [];
  const add: ChunkSink = (content, isBorrowed) => {
    // As soon as it is known: the source may have no end.
    const refusal = directChunksRefusal(contents.length + 1);
    if (refusal !== null) throw new IncorrectUsageError(`a submission with in: 'queue': ${refusal}`);
    contents.push(isBorrowed ? new Uint8Array(content) : content);
    return undefined;
  };
  // A queue that takes each insert for a new one would run it again.
  if (cargo.name !== null) await context.api.require('idempotency_key', signal);
  const opsTotal = await feed(o, { add }, signal);
  const idempotencyKey = cargo.name ?? uuidV7(context.clock.nowMs());
  const what = { contents: { kind: 'direct', contents }, idempotencyKey } as const;
  const id = await send(o, what, { mayHaveArrived: false });
  return { id, prefix: null, chunksTotal: contents.length, chunkSizeOps: cargo.chunkSizeOps ?? 1, opsTotal };
}

/** Hands the chunks of the source on. Returns the number of operations, if that is known. */
async function feed(
  { context, cargo, source }: Insert,
  to: { add: ChunkSink },
  signal: AbortSignal,
): Promise<number | null> {
  const { codec, contract, clock } = context;
  const cut = {
    chunkSizeOps: codec.isRaw ? 1 : (cargo.chunkSizeOps ?? 1),
    codec,
    schema: contract.operation,
  };
  const sink: ChunkSink = (content, isBorrowed) => to.add(content, isBorrowed);
  const total = await chunkOperations({ source, cut, sink, clock, signal });
  return codec.isRaw ? null : total;
}

async function send(
  { context, cargo, tracing, signal }: Insert,
  what: Pick<SubmissionToInsert, 'contents' | 'idempotencyKey'>,
  fate: InsertFate,
): Promise<SubmissionId> {
  const { metadata, strategicMetadata, chunkSizeOps, retryDelayMs, retry, failureMode } = cargo;
  const { deadlineMs, startAfterMs } = cargo;
  const headers = { ...tracing.headers(), ...(cargo.isRetryDefault ? RETRY_DEFAULT_HEADER : {}) };
  const fixed = { metadata, strategicMetadata, chunkSizeOps, retryDelayMs, retry, failureMode };
  const submission = { ...what, ...fixed, deadlineMs, startAfterMs, headers };
  const id = await context.api.insert(submission, signal, fate).catch((error: unknown) => {
    throw cargo.name === null ? error : asSourceChanged(error, cargo.name);
  });
  if (retryDelayMs > 0 && !context.api.announces('retry_delay')) {
    context.warnOnce('this queue does not know retryDelayMs: failed chunks are tried again at once');
  }
  if (retry !== null && !context.api.announces('retry')) {
    context.warnOnce('this queue does not know the option retry: failed chunks are tried again at once');
  }
  tracing.inserted(id);
  return id;
}

/** A conflict in what the source holds, in the words for named runs. */
function asSourceChanged(error: unknown, name: string): unknown {
  if (!(error instanceof SubmissionConflictError)) return error;
  if (error.field === 'count') return new SourceChangedError(name, null, 'the number of chunks differs');
  if (error.field === 'contents') return new SourceChangedError(name, null, 'its operations differ');
  return error;
}

/** Whether it is certain that no submission with that prefix is, or will be, on the queue. */
async function isUndone(
  { context, signal }: Insert,
  prefix: string,
  error: unknown,
  fate: InsertFate,
): Promise<boolean> {
  if (error instanceof SubmissionConflictError) return false;
  if (error instanceof DeadlinePassedError) return true;
  if (error instanceof QueueRefusedError && error.status < 500) return true;
  if (!fate.mayHaveArrived) return true;
  if (!signal.aborted || context.closing.aborted) return false;
  return context.api.undoInsert(prefix).catch(() => false);
}
