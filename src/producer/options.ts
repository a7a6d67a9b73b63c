import type { SubmissionId } from '../model/ids.ts';
import type { RetryPolicy } from '../model/retry.ts';
import type { QueueTlsOptions } from '../net/address/queue-tls.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import type { NamedCodec, OperationCodec } from '../protocol/chunk/codec-options.ts';
import type { ChunkCompression } from '../protocol/chunk/compression.ts';
import type { Clock } from '../system/clock.ts';
import type { Logger } from '../system/logger.ts';
import type { Random } from '../system/random.ts';

export interface ProducerClientOptions extends QueueTlsOptions {
  /** For the object store: region, endpoint, credentials, ... Plain data. Which names there are depends on the scheme. */
  readonly objectStoreOptions?: ObjectStoreOptions | undefined;
  /** Used where a call names none: `'cbor'` (default), `'json'`, or one of your own. */
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
  /** Chunks on their way to or from the object store at a time, for each call. Default 16. */
  readonly concurrency?: number | undefined;
  /**
   * Bytes of chunks that one call holds on their way to or from the object store. Default 64 MiB. What one transfer
   * holds when the limit is reached comes on top, and a single larger chunk is taken alone.
   */
  readonly memoryBytesMax?: number | undefined;
  /**
   * How long one call of the object store may take, in milliseconds; one that takes longer (a disk that hangs) fails with
   * OBJECT_UNREACHABLE. Default 600 000.
   */
  readonly transferMsMax?: number | undefined;
  /** The longest time for one request to the queue, in milliseconds (a long poll: beyond the time it may be held). Default 30 000. */
  readonly requestTimeoutMs?: number | undefined;
  /**
   * How long a call goes on trying while the queue cannot be reached or answers with a 5xx, in milliseconds; 0 = one
   * attempt. Default 300 000 (five minutes).
   */
  readonly retryForMs?: number | undefined;
  /**
   * Where log lines go. Default: warnings to stderr, each kind once, as Node.js prints warnings; null = nowhere.
   */
  readonly logger?: Logger | null | undefined;
  /** For tests. */
  readonly clock?: Clock | undefined;
  /** For tests. */
  readonly random?: Random | undefined;
}

export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What limits the transfers of one call; the client's own where left out. */
export interface TransferOptions extends CallOptions {
  readonly concurrency?: number | undefined;
  readonly memoryBytesMax?: number | undefined;
}

/** When failed chunks are tried again, and how often; what is left out has its default (docs/clients.md, "Failures"). */
export type RetryOptions = { readonly [Field in keyof RetryPolicy]?: RetryPolicy[Field] | undefined };

/** What any submission may carry. */
export interface SubmissionOptions extends CallOptions {
  /** Opaque bytes that every consumer of the submission sees. Up to 8 MiB are always fine; beyond, it depends on the bytes. */
  readonly metadata?: Uint8Array | null | undefined;
  /** What strategies rank by and look-ups find: values are signed 64-bit integers. */
  readonly strategicMetadata?:
    | Readonly<Record<string, number | bigint>>
    | ReadonlyMap<string, number | bigint>
    | undefined;
  /**
   * When a chunk that failed is tried again, and how often. What is left out has its default: after 1 s, 2 s, 4 s, ... up
   * to a minute, each wait shortened at random to half of it at most, as often as the queue has it
   * (`--max-chunk-retries`, 10 tries). `{ delayMs: 0 }`: at once. A consumer's `RetryLaterError` lengthens a wait. The
   * original queue knows none of it and tries again at once.
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * A failed chunk waits at least this long before it is tried again, in milliseconds. Default 0. Without `retry` it takes
   * the place of the default waits. Only opsqueue >= 0.1 of ours knows it.
   */
  readonly retryDelayMs?: number | undefined;
  /**
   * Called once, with the id, when the queue has taken the submission. What it returns is ignored. If it throws, the
   * submission is cancelled, as far as the queue can be reached, and the call ends with an OnInsertedError, which has
   * the id and, as its `cause`, what was thrown.
   */
  readonly onInserted?: ((id: SubmissionId) => unknown) | undefined;
}

/** A submission whose chunks go through the object store. */
export interface StoredSubmissionOptions extends SubmissionOptions, TransferOptions {
  /** Packs the chunks. A reader needs no setting, but must be opsqueue for Node. */
  readonly compression?: ChunkCompression | undefined;
}

/** How operations are cut. */
export interface OperationsOptions {
  /** Operations per chunk. */
  readonly chunkSize: number;
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
}

export interface DecodeOptions extends TransferOptions {
  readonly codec?: 'cbor' | 'json' | NamedCodec | OperationCodec | undefined;
}

/** When results are given out. */
export type ResultsMode = 'when-complete' | 'as-completed' | 'unordered';

/** Of a call that waits for a submission. */
export interface WatchOptions {
  /**
   * Called when something changed, at most five times a second, and at the end. If it throws, the call ends at once with
   * that error, whatever `results` says; the submission stays on the queue. What it returns is ignored.
   */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** How a run gives its results out. */
export interface ResultsOptions extends WatchOptions {
  /**
   * - `'when-complete'` (default): in order, nothing until all is done
   * - `'as-completed'`: in order, as soon as the leading chunks are done
   * - `'unordered'`: chunk by chunk as they are done, each with its index
   *
   * A queue that does not tell which chunks are done (the original) gives all of them when all is done.
   */
  readonly results?: ResultsMode | undefined;
  /** `'after-results'`: removes the submission's chunks from the object store once the last result was given out. */
  readonly cleanup?: 'after-results' | undefined;
}

/** How far a submission is. */
export interface Progress {
  readonly state: 'in_progress' | 'completed' | 'failed' | 'cancelled';
  readonly chunksDone: number;
  readonly chunksTotal: number;
  /**
   * Operations of the chunks that are done; an estimate where the last chunk is short. null where the queue does not tell the
   * chunk size: the original does not, once a submission has ended.
   */
  readonly opsDone: number | null;
  /** Operations per second, of late; null where `opsDone` is. */
  readonly perSecond: number | null;
  /** Milliseconds left at the rate of late; 0 when it is completed, null if it failed or was cancelled, or cannot be told. */
  readonly msLeft: number | null;
}

/** The results of one chunk. */
export interface DoneChunk<Result> {
  readonly chunkIndex: number;
  readonly results: readonly Result[];
}

/** The results of one chunk of a submission that this client cut into chunks. */
export interface ResultChunk<Result> extends DoneChunk<Result> {
  /** The position of `results[0]` among all operations of the submission. */
  readonly operationIndex: number;
}

/** One chunk of raw results. */
export interface RawResultChunk {
  readonly chunkIndex: number;
  readonly content: Uint8Array;
}

export type RunOptions = StoredSubmissionOptions & OperationsOptions & ResultsOptions;
/** `chunkSize` is what the queue is told: operations per chunk, default 1. */
export type RunChunksOptions = StoredSubmissionOptions &
  ResultsOptions & { readonly chunkSize?: number | undefined };
export type InsertOptions = StoredSubmissionOptions & OperationsOptions;
export type InsertChunksOptions = StoredSubmissionOptions & { readonly chunkSize?: number | undefined };
export type DirectOptions = SubmissionOptions & OperationsOptions;
export type DirectChunksOptions = SubmissionOptions & { readonly chunkSize?: number | undefined };
export type RunDirectOptions = DirectOptions & TransferOptions & Omit<ResultsOptions, 'cleanup'>;
