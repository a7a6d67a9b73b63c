import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import type { Strategy } from '../model/strategy.ts';
import type { SubmissionRecord } from '../model/submission.ts';
import type { QueueTlsOptions } from '../net/address/queue-tls.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import type { NamedCodec, OperationCodec } from '../protocol/chunk/codec-options.ts';
import type { ChunkCompression } from '../protocol/chunk/compression.ts';
import type { Logger } from '../system/logger.ts';

/** What a callback is told besides its input. */
export interface ChunkContext {
  readonly submission: SubmissionRecord;
  readonly submissionId: SubmissionId;
  /** The position of the chunk in its submission, from 0. */
  readonly chunkIndex: ChunkIndex;
  /** How often the chunk was tried before. */
  readonly retries: number;
  /**
   * Fires when the result is not wanted any more: the submission was cancelled or failed, another consumer completed
   * the chunk, or the run was abandoned. Not when the reservation expires: a late result counts.
   */
  readonly signal: AbortSignal;
}

/** What the callback of `runEachOp` gets besides the operation. Its signal is that of this operation. */
export interface OpContext extends ChunkContext {
  /** The position of the operation in its chunk, from 0. */
  readonly operationIndex: number;
}

/** Gets one operation, returns its result (or a promise of it). */
export type OpCallback<Op = unknown, Result = unknown> = (
  op: Op,
  context: OpContext,
) => Result | PromiseLike<Result>;

/** Gets the operations of a chunk, answers as many results (or promises of them), in the same order. */
export type ChunkCallback<Op = unknown, Result = unknown> = (
  ops: Op[],
  context: ChunkContext,
) => Iterable<Result | PromiseLike<Result>> | PromiseLike<Iterable<Result | PromiseLike<Result>>>;

/** Gets the bytes of a chunk, answers the bytes of its result. */
export type RawChunkCallback = (
  input: Uint8Array,
  context: ChunkContext,
) => Uint8Array | PromiseLike<Uint8Array>;

export interface ConsumerClientOptions extends QueueTlsOptions {
  /** Plain data for the object store (region, endpoint, ...): docs/object-stores.md. */
  readonly objectStoreOptions?: ObjectStoreOptions | undefined;
  /**
   * Where log lines go. Default: warnings to stderr, each kind once, as Node.js prints warnings; null = nowhere.
   */
  readonly logger?: Logger | null | undefined;
  /** Limit of one message from the queue, in bytes. Default 64 MiB. */
  readonly frameBytesMax?: number | undefined;
  /** Object storage reads, and as many writes, that are under way at once. Default 16. */
  readonly transfersMax?: number | undefined;
  /**
   * How long one of them may take, in milliseconds; a chunk whose transfer takes longer (a disk that hangs) fails.
   * Default 600 000.
   */
  readonly transferMsMax?: number | undefined;
}

/** Options of all `runEach...`. */
export interface RunOptions {
  /** Which chunks first. Default `Strategy.random()`. */
  readonly strategy?: Strategy | undefined;
  /** Chunks whose callback runs at once. Default 1, or `threads`. Makes sense above 1 for callbacks that await something. */
  readonly concurrency?: number | undefined;
  /**
   * Chunks that are reserved and downloaded ahead. Default `'auto'`: 0 until the first callback returned, then as
   * many as it works off in about 100 ms, at least 1 and at most 64; 0 for callbacks that take more than 5 s. While few chunks are left, or when the callback
   * becomes slow, no more than `concurrency`; the rest is given back.
   */
  readonly prefetch?: number | 'auto' | undefined;
  /** Bytes of inputs and results that may wait in memory before no more is downloaded. Default 128 MiB. */
  readonly memoryBytesMax?: number | undefined;
  /** Compress the results. Compressed inputs need no setting. Default: no. */
  readonly compression?: ChunkCompression | undefined;
  /**
   * How long one call of the callback may take, in milliseconds. After that its signal fires, the call has failed with
   * CallbackTimeoutError (`runEachOp`: see `onOpError`), and its place is free for another one. A call that blocks its
   * thread cannot be interrupted: the queue gives its chunk to another consumer, and a thread of a module's pool is
   * ended and replaced, at the latest after twice that time. `Infinity`: no limit.
   *
   * @defaultValue 86_400_000, a day
   */
  readonly callbackMsMax?: number | undefined;
  /** Abandons the run: the callbacks' signals fire, what it holds goes back uncounted, and the call rejects with the reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * With a module's URL as callback (its default export is called): how many threads run it. Default: as many as
   * there are processors.
   */
  readonly threads?: number | undefined;
}

/** Options of `runEachChunk`. */
export interface ChunkRunOptions extends RunOptions {
  /** The encoding of operations and results; the same as the producer's. Default `'cbor'`. In a module's threads only by name. */
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
}

/** Options of `runEachOp`. */
export interface OpRunOptions extends ChunkRunOptions {
  /**
   * Operations in progress at once, over all chunks of this call, for callbacks that wait for something (HTTP calls,
   * databases): docs/io-bound.md. As many chunks are worked on as that takes, but not more than `concurrency`, if that
   * is given. With a module, each thread gets an equal part.
   *
   * @defaultValue the operations of a chunk run one after the other, so as many as `concurrency` chunks
   */
  readonly opConcurrency?: number | undefined;
  /**
   * What becomes of a chunk when the callback throws for one operation (`runEachOp` only): `'fail-chunk'` (default)
   * fails it; `'record'` keeps an OpError as the result of that operation, and the results of the others; also in the place
   * of a result that cannot be encoded.
   */
  readonly onOpError?: 'fail-chunk' | 'record' | undefined;
}

/** Options of `reserveChunks`. */
export interface ReserveOptions {
  /** Ends the waiting: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `stop`. */
export interface StopOptions {
  /** How long the callbacks that run may still take, in milliseconds; then they are abandoned. Default: for ever. */
  readonly graceMs?: number | undefined;
}

/** Options of `failChunk`. */
export interface FailOptions {
  /** Whether the chunk is tried again; otherwise its submission fails. Default true. */
  readonly retryable?: boolean | undefined;
  /** The next try begins so long after the failure at the earliest, in milliseconds. Default 0. */
  readonly delayMs?: number | undefined;
}

/** Names a chunk towards `completeChunk`, `failChunk` and `releaseChunk`. */
export interface ChunkReference {
  readonly submissionId: SubmissionId;
  /** null: the submission is a `Direct` one. */
  readonly submissionPrefix: string | null;
  readonly chunkIndex: ChunkIndex;
}

/** A chunk that `reserveChunks` reserved. */
export interface ReservedChunk extends ChunkReference {
  readonly submission: SubmissionRecord;
  /** How often it was tried before. */
  readonly retries: number;
  readonly input: Uint8Array;
}
