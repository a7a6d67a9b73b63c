import type { ChunkIndex } from '../model/ids.ts';
import type { Strategy } from '../model/strategy.ts';
import type { SubmissionInfo } from '../model/submission.ts';
import type { QueueTlsOptions } from '../net/address/queue-tls.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import type { NamedCodec, OperationCodec } from '../protocol/chunk/codec-options.ts';
import type { ChunkCompression } from '../protocol/chunk/compression.ts';
import type { Logger } from '../system/log/logger.ts';

/** What a callback gets besides its input. */
export interface ChunkContext {
  readonly submission: SubmissionInfo;
  /** As text, as everywhere. */
  readonly submissionId: string;
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

/** Gets the operations of a chunk, returns as many results (or promises of them), in the same order. */
export type ChunkCallback<Op = unknown, Result = unknown> = (
  ops: Op[],
  context: ChunkContext,
) => Iterable<Result | PromiseLike<Result>> | PromiseLike<Iterable<Result | PromiseLike<Result>>>;

/** Gets the bytes of a chunk, returns the bytes of its result. */
export type RawChunkCallback = (
  input: Uint8Array,
  context: ChunkContext,
) => Uint8Array | PromiseLike<Uint8Array>;

/** Of a client without types the callback says what operations and results are; else the client does. */
export type OpCallbackOf<Op, Result, GivenOp, GivenResult> = unknown extends Op
  ? OpCallback<GivenOp, GivenResult>
  : OpCallback<Op, Result>;

/** The same for the callback of `runEachChunk`. */
export type ChunkCallbackOf<Op, Result, GivenOp, GivenResult> = unknown extends Op
  ? ChunkCallback<GivenOp, GivenResult>
  : ChunkCallback<Op, Result>;

/** Options of a consumer client. */
export interface ConsumerClientOptions extends QueueTlsOptions {
  /** Plain data for the object store (region, endpoint, ...): docs/object-stores.md. */
  readonly objectStoreOptions?: ObjectStoreOptions | undefined;
  /**
   * The encoding of operations and results, where a call names none. Not with a contract, which has it.
   *
   * @defaultValue `'cbor'`
   */
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
  /**
   * Where log lines go; null: nowhere.
   *
   * @defaultValue warnings go to stderr, each kind once, as Node.js prints warnings
   */
  readonly logger?: Logger | null | undefined;
  /**
   * Limit of one message from the queue, in bytes.
   *
   * @defaultValue 64 MiB
   */
  readonly frameBytesMax?: number | undefined;
  /**
   * Object storage reads, and as many writes, that are in progress at once.
   *
   * @defaultValue 16
   */
  readonly transfersMax?: number | undefined;
  /**
   * How long one of them may take, in milliseconds; a chunk whose transfer takes longer (a disk that hangs) fails.
   *
   * @defaultValue 600_000
   */
  readonly transferMsMax?: number | undefined;
}

/** Options of all `runEach...`. */
export interface RunOptions {
  /**
   * Which chunks first.
   *
   * @defaultValue `Strategy.random()`
   */
  readonly strategy?: Strategy | undefined;
  /**
   * Chunks that are worked on at once. Makes sense above 1 for callbacks that wait for something.
   *
   * @defaultValue 1; with a module, `threads`; with `opConcurrency`, as many as that takes
   */
  readonly concurrency?: number | undefined;
  /**
   * Chunks that are reserved and downloaded ahead. `'auto'`: 0 until the first callback returned, then as many as it
   * works off in about 100 ms, at least 1 and at most 64; 0 for callbacks that take more than 5 s. While few chunks are left, or when the
   * callback becomes slow, no more than `concurrency`; the rest is given back.
   *
   * @defaultValue `'auto'`
   */
  readonly prefetch?: number | 'auto' | undefined;
  /**
   * Bytes of inputs and results that may wait in memory before no more is downloaded.
   *
   * @defaultValue 128 MiB
   */
  readonly memoryBytesMax?: number | undefined;
  /**
   * Compress the results. Compressed inputs need no setting.
   *
   * @defaultValue results are not compressed
   */
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
  /**
   * Ends the call, as `stop` would, when the client has been connected and the queue has had nothing for it for this long, in
   * milliseconds: for programs that are to end when the work is done. Chunks that wait for a retry are not
   * available meanwhile: choose more than the longest wait (a minute, unless the producer says otherwise).
   *
   * @defaultValue the call waits for further work until `stop`
   */
  readonly untilIdleMs?: number | undefined;
  /** Abandons the run: the callbacks' signals fire, what it holds goes back uncounted, and the call rejects with the reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * With a module's URL as callback (its default export is called): how many threads run it.
   *
   * @defaultValue as many as there are processors, but not more than `opConcurrency`
   */
  readonly threads?: number | undefined;
}

/** Options of `runEachChunk`. */
export interface ChunkRunOptions extends RunOptions {
  /**
   * The encoding of operations and results; the same as the producer's. In a module's threads only by name. Not with a
   * contract, which has it.
   *
   * @defaultValue the client's
   */
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
   * What becomes of a chunk when the callback throws for one operation: `'fail-chunk'` fails it; `'record'` keeps an
   * OpError as the result of that operation, and the results of the others; also in the place of a result that cannot be
   * encoded.
   *
   * @defaultValue `'fail-chunk'`
   */
  readonly onOpError?: 'fail-chunk' | 'record' | undefined;
}

/** Options of `connect`. */
export interface ConnectOptions {
  /** Ends the waiting: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `reserveChunks`. */
export interface ReserveOptions {
  /**
   * The most chunks that are reserved, from 1 to 1 000.
   *
   * @defaultValue 1
   */
  readonly max?: number | undefined;
  /**
   * Which chunks first.
   *
   * @defaultValue `Strategy.random()`
   */
  readonly strategy?: Strategy | undefined;
  /**
   * The encoding of operations, and of the results that `completeChunk` gets. Not with a contract, which has it.
   *
   * @defaultValue the client's
   */
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
  /**
   * Leave the content of the chunks as it is: `input` instead of `ops`.
   *
   * @defaultValue false
   */
  readonly raw?: boolean | undefined;
  /** Ends the waiting: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `reserveChunks` for chunks whose content is left as it is. */
export interface RawReserveOptions extends ReserveOptions {
  readonly raw: true;
}

/** Options of `completeChunk`. */
export interface CompleteOptions {
  /**
   * The encoding of the results. Not with a contract, which has it.
   *
   * @defaultValue that with which the chunk was reserved, else the client's
   */
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
}

/** Options of `stop`. */
export interface StopOptions {
  /**
   * How long the callbacks that run may still take, in milliseconds; then they are abandoned.
   *
   * @defaultValue no limit but `callbackMsMax`
   */
  readonly graceMs?: number | undefined;
}

/** Options of `failChunk`. */
export interface FailOptions {
  /**
   * Whether the chunk is tried again; otherwise its submission fails.
   *
   * @defaultValue true
   */
  readonly retryable?: boolean | undefined;
  /**
   * The next try begins no sooner than this after the failure, in milliseconds.
   *
   * @defaultValue 0
   */
  readonly delayMs?: number | undefined;
}

/** Names a chunk for `completeChunk`, `failChunk` and `releaseChunk`. */
export interface ChunkReference {
  /** As text, or as a bigint. */
  readonly submissionId: string | bigint;
  /** null: the queue keeps the chunks (`in: 'queue'`). */
  readonly submissionPrefix: string | null;
  readonly chunkIndex: ChunkIndex;
}

/** A chunk that `reserveChunks` reserved. */
export interface ReservedChunk<Op = unknown> extends ChunkReference {
  readonly submission: SubmissionInfo;
  readonly submissionId: string;
  /** How often it was tried before. */
  readonly retries: number;
  readonly ops: Op[];
}

/** A chunk that `reserveChunks` reserved with `raw`. */
export interface RawReservedChunk extends ChunkReference {
  readonly submission: SubmissionInfo;
  readonly submissionId: string;
  /** How often it was tried before. */
  readonly retries: number;
  readonly input: Uint8Array;
}

/** What a client is doing, and what it has done since it was made. */
export interface ConsumerStats {
  readonly isConnected: boolean;
  readonly isPaused: boolean;
  /** Chunks in the callback. */
  readonly chunksRunning: number;
  /** Chunks of `runEach...` with a result. */
  readonly chunksCompleted: number;
  /** Chunks that failed: in the callback, or because a body could not be read or written. */
  readonly chunksFailed: number;
}
