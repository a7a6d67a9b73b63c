import type { ContractCodec } from '../contract/contract.ts';
import type { RetryPolicy } from '../model/retry.ts';
import type { FailureMode, SubmissionDetails } from '../model/submission.ts';
import type { Hold } from '../model/verbs.ts';
import type { QueueTlsOptions } from '../net/address/queue-tls.ts';
import type { ObjectStoreOptions } from '../objects/object-store.ts';
import type { ChunkCompression } from '../protocol/chunk/compression.ts';
import type { Logger } from '../system/log/logger.ts';

/** Options of a ProducerClient. */
export interface ProducerClientOptions extends QueueTlsOptions {
  /**
   * For the object store: region, endpoint, credentials, ... Plain data. Which names there are depends on the scheme:
   * docs/object-stores.md.
   *
   * @defaultValue none
   */
  readonly objectStoreOptions?: ObjectStoreOptions | undefined;
  /**
   * How operations and results are encoded, the same as the consumers' codec: `'cbor'`, `'json'`, one of these with
   * options, or one of your own. `'raw'`: each operation is a chunk of bytes as it is, and so is each result. Belongs to the
   * contract where there is one.
   *
   * @defaultValue `'cbor'`
   */
  readonly codec?: ContractCodec | undefined;
  /**
   * Chunks on their way to or from the object store at a time, for each call.
   *
   * @defaultValue `16`
   */
  readonly transfersMax?: number | undefined;
  /**
   * Bytes of chunks that one call holds on their way to or from the object store. What one transfer holds when the limit
   * is reached comes on top, and a single larger chunk is taken alone.
   *
   * @defaultValue 64 MiB
   */
  readonly memoryBytesMax?: number | undefined;
  /**
   * How long one call of the object store may take, in milliseconds; one that takes longer (a disk that hangs) fails with
   * OBJECT_UNREACHABLE.
   *
   * @defaultValue `600_000`, ten minutes
   */
  readonly transferMsMax?: number | undefined;
  /**
   * The longest time for one request to the queue, in milliseconds (a long poll: beyond the time it may be held).
   *
   * @defaultValue `30_000`
   */
  readonly requestTimeoutMs?: number | undefined;
  /**
   * How long a call goes on trying while the queue cannot be reached or answers with a 5xx, in milliseconds; 0 = one
   * attempt at each address.
   *
   * @defaultValue `300_000`, five minutes
   */
  readonly retryForMs?: number | undefined;
  /**
   * Where log lines go; null = nowhere.
   *
   * @defaultValue warnings to stderr, each kind once, as Node.js prints warnings
   */
  readonly logger?: Logger | null | undefined;
}

/** What every call takes. */
export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What limits the transfers of one call. */
export interface TransferOptions extends CallOptions {
  /** Chunks on their way to or from the object store at a time. @defaultValue that of the client */
  readonly transfersMax?: number | undefined;
  /** Bytes of chunks on their way to or from the object store. @defaultValue that of the client */
  readonly memoryBytesMax?: number | undefined;
}

/** When failed chunks are tried again, and how often; what is left out has its default (docs/clients.md, "Failures"). */
export type RetryOptions = { readonly [Field in keyof RetryPolicy]?: RetryPolicy[Field] | undefined };

/** Options of `submit` and `insertSubmission`. */
export interface SubmitOptions extends TransferOptions {
  /** Operations per chunk. With the codec `'raw'`, where an operation is a chunk, it only scales the progress. */
  readonly chunkSize: number;
  /**
   * Names a run that survives its producer: the same call, made again, continues an upload that was broken off, or attaches
   * to the submission, whatever its state, and gives its results. The source must be the same (SourceChangedError). It becomes the
   * prefix of the submission, its folder in the object store, and is the server's: letters, digits, `.`, `_` and `-`, up to 200,
   * the first one a letter or a digit. Needs an object store that can be listed, or `in: 'queue'`.
   *
   * @defaultValue none: each call is a submission of its own
   */
  readonly name?: string | undefined;
  /**
   * Where the chunks are until the submission is forgotten. `'queue'` is for small work without an object store: all of
   * it travels in one request, which the queue limits (32 MiB; a byte of a chunk takes up to four).
   *
   * @defaultValue `'object-store'`, or `'queue'` if the client has none
   */
  readonly in?: 'object-store' | 'queue' | undefined;
  /**
   * Opaque bytes that every consumer of the submission sees. Up to 8 MiB are always fine; beyond, it depends on the bytes.
   *
   * @defaultValue none
   */
  readonly metadata?: Uint8Array | null | undefined;
  /**
   * What strategies rank by and look-ups find: values are signed 64-bit integers.
   *
   * @defaultValue none
   */
  readonly strategicMetadata?:
    | Readonly<Record<string, number | bigint>>
    | ReadonlyMap<string, number | bigint>
    | undefined;
  /**
   * When a chunk that failed is tried again, and how often. `{ delayMs: 0 }`: at once. A consumer's `RetryLaterError`
   * lengthens a wait. The original queue knows none of it and tries again at once.
   *
   * @defaultValue after 1 s, 2 s, 4 s, ... up to a minute, each wait shortened at random to half of it at most, as often
   *   as the queue has it (`--max-chunk-retries`, 10 tries); the same for each part that is left out
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * A failed chunk waits at least this long before it is tried again, in milliseconds. Without `retry` it takes the place
   * of the default waits. Only opsqueue >= 0.1 of ours knows it.
   *
   * @defaultValue `0`
   */
  readonly retryDelayMs?: number | undefined;
  /**
   * What becomes of the submission with a chunk that is out of tries, or failed by a `NonRetryableError`. `'fail'`: it
   * fails with the chunk. `'collect'`: the chunk is set aside with its failure, and the others go on; when all are done
   * or set aside, the submission ends as `completed_with_failures`, its results have an OpError for each operation of a
   * chunk that failed, and `retryFailed()` tries those again. A queue that does not know it is refused before anything
   * is uploaded.
   *
   * @defaultValue `'fail'`
   */
  readonly failureMode?: FailureMode | undefined;
  /**
   * The submission is cancelled if it has not ended by then. Only queues that announce `control` know it: others refuse
   * before anything is uploaded. So is it with `startAfter`.
   *
   * @defaultValue none
   */
  readonly deadline?: Date | undefined;
  /**
   * Nothing of it is handed out to consumers before then.
   *
   * @defaultValue at once
   */
  readonly startAfter?: Date | undefined;
  /**
   * Packs the chunks in the object store. A reader needs no setting, but must be opsqueue for Node.js.
   *
   * @defaultValue none
   */
  readonly compression?: ChunkCompression | undefined;
}

/** Of a call that changes something: kept with what it changes. */
export interface ChangeOptions extends CallOptions {
  /**
   * Why, for whoever looks at it later; 1 000 characters at most.
   *
   * @defaultValue none
   */
  readonly reason?: string | undefined;
  /**
   * Who does it; 200 characters at most.
   *
   * @defaultValue the user and host of this process: `user@host`
   */
  readonly by?: string | undefined;
}

/** Options of `pause`. */
export interface PauseOptions extends ChangeOptions {
  /**
   * Tells pauses of the same thing apart, such as `disk-full`: only a resume that names it lifts this pause. 1 to 64 of `a-z`,
   * digits, `.`, `_` and `-`.
   *
   * @defaultValue `'manual'`
   */
  readonly cause?: string | undefined;
}

/** Options of `resume`. */
export interface ResumeOptions extends ChangeOptions {
  /**
   * Which pause is lifted; null: all of them.
   *
   * @defaultValue `'manual'`
   */
  readonly cause?: string | null | undefined;
}

/** Of a change of many submissions at once. */
export interface ManyOptions {
  /**
   * Tells what would be changed, and changes nothing.
   *
   * @defaultValue `false`
   */
  readonly dryRun?: boolean | undefined;
  /**
   * If more submissions match, nothing is changed: CountChangedError.
   *
   * @defaultValue no limit
   */
  readonly expected?: number | undefined;
}

/** What is changed: submissions by their ids, submissions in progress that match, a queue, or the whole server. */
export type WorkTarget =
  | { readonly ids: readonly (string | bigint)[] }
  | { readonly matching: WorkFilter }
  /** The queue itself, with all that is in it now or later; '' is the unnamed one. */
  | { readonly queue: string }
  | { readonly server: true };

/** Submissions in progress that match all of this, when the queue gets the call. */
export interface WorkFilter {
  /**
   * Pairs that they carry.
   *
   * @defaultValue none
   */
  readonly metadata?: SubmitOptions['strategicMetadata'];
  /**
   * `'waiting'`: nothing of them is in flight; `'running'`: something is; `'paused'`; `'delayed'`: their start is still to come.
   *
   * @defaultValue `'open'`: any
   */
  readonly state?: 'open' | 'waiting' | 'running' | 'paused' | 'delayed' | undefined;
  /**
   * Only those of which a try failed so, of the failures that the queue remembers: the `fingerprint` of a group of failures,
   * which `opsqueue failures --json` and the page of the queue show.
   *
   * @defaultValue any, whether or not something failed
   */
  readonly failure?: string | undefined;
  /**
   * Only those of this queue; '' is the unnamed one.
   *
   * @defaultValue the client's own queue, or all queues if it is the unnamed one
   */
  readonly queue?: string | undefined;
}

/** What `set` changes; what is left out stays as it is. */
export interface WorkChanges {
  /**
   * Pairs of strategic metadata to set; null takes a pair away. Chunks in flight count for the new values at once.
   *
   * @defaultValue as they are
   */
  readonly strategicMetadata?:
    | Readonly<Record<string, number | bigint | null>>
    | ReadonlyMap<string, number | bigint | null>
    | undefined;
  /**
   * The submission is cancelled if it has not ended by then; null: never.
   *
   * @defaultValue as it is
   */
  readonly deadline?: Date | null | undefined;
  /**
   * Nothing of it is handed out before then; null: at once.
   *
   * @defaultValue as it is
   */
  readonly startAfter?: Date | null | undefined;
}

/** What came of a change. */
export interface ChangeReport {
  readonly dryRun: boolean;
  /** Submissions in progress that were named or matched; 1 for a queue or the server. */
  readonly matched: number;
  /** Those that were changed; with `dryRun`, that would be. */
  readonly done: number;
  /** Those that were so already. */
  readonly unchanged: number;
  /** Those that are paused now, whatever was done: for this or another cause, or with their queue. */
  readonly stillPaused: number;
  /** For which causes, and by what: a submission itself, its queue or the server; the first 100 of them. */
  readonly pausedBy: readonly Hold[];
  /**
   * Chunks that are to be done again.
   *
   * @defaultValue none: of another change than a retry
   */
  readonly chunks?: number | undefined;
  /** Ids of those that were changed, 10 000 at most. */
  readonly ids: readonly string[];
  /** Those that could not be changed: the code and the text of the error that each would be alone. */
  readonly skipped: readonly { readonly id: string; readonly code: string; readonly text: string }[];
  /** Addresses of nodes of the queue of which it is not known what they did, because they did not answer; mostly none. */
  readonly nodesMissing: readonly string[];
}

/** Options of a submission whose results may be errors: with `failureMode: 'collect'`. */
export type CollectingOptions = SubmitOptions & { readonly failureMode: 'collect' };

/** What results have in the place of a chunk that failed, of a submission with `failureMode: 'collect'`. */
export interface FailedChunkOptions {
  /**
   * `'record'`: for each of its operations an OpError with the code `CHUNK_FAILED` and the failure in its message, in their
   * places; `'throw'`: nothing, and after the last result ChunksFailedError, which names the first of them.
   *
   * @defaultValue `'record'`
   */
  readonly onFailedChunk?: 'record' | 'throw' | undefined;
}

/** Of a call that waits for a submission. */
export interface WatchOptions {
  /**
   * Called when something changed, at most five times a second, and at the end. If it throws, the call ends at once with
   * that error; the submission stays on the queue. What it returns is ignored.
   */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Options of `results`. */
export interface ResultsOptions extends TransferOptions, WatchOptions, FailedChunkOptions {
  /**
   * When results are given out, always in the order of the operations: `'all-done'`: none before the submission is
   * completed, so that one that fails has none; `'as-completed'`: each as soon as it and all before it are done.
   *
   * @defaultValue `'all-done'`
   */
  readonly when?: 'all-done' | 'as-completed' | undefined;
  /**
   * `'after-results'`: removes the submission's chunks from the object store once the last result was given out. Not those of
   * a submission of which chunks failed: they can be tried again.
   *
   * @defaultValue none: they stay
   */
  readonly cleanup?: 'after-results' | undefined;
}

/** Options of `runSubmission`: how to submit, and how to read. */
export interface RunSubmissionOptions extends SubmitOptions, ResultsOptions {}

/** Options of `chunks`. */
export interface ChunksOptions extends TransferOptions, WatchOptions, FailedChunkOptions {
  /**
   * `'end'`: waits until the submission has ended, and throws if it failed or was cancelled; `'now'`: those that are done
   * by now, without those that failed, whatever the state of the submission is, and waits for nothing.
   *
   * @defaultValue `'end'`
   */
  readonly until?: 'end' | 'now' | undefined;
}

/** Options of `done`. */
export interface DoneOptions extends CallOptions, WatchOptions {}

/** Options of `endedSubmissions`. */
export interface EndedSubmissionsOptions extends CallOptions {
  /** Submissions at most. @defaultValue `100` */
  readonly limit?: number | undefined;
}

/** Options of `countSubmissions`. */
export interface CountOptions extends CallOptions {
  /** Which ones: of completed submissions only those that the queue still remembers. @defaultValue `'in_progress'` */
  readonly state?: 'in_progress' | 'completed' | undefined;
}

/** How far a submission is. */
export interface Progress {
  readonly state: SubmissionDetails['state'];
  readonly chunksDone: number;
  /** Chunks that are set aside; 0 without `failureMode: 'collect'`. */
  readonly chunksFailed: number;
  readonly chunksTotal: number;
  /**
   * Operations of the chunks that are done; an estimate where the last chunk is short. null where the queue does not report the
   * chunk size: the original does not, once a submission has ended.
   */
  readonly opsDone: number | null;
  /** Operations per second, of late; null where `opsDone` is. */
  readonly perSecond: number | null;
  /** Milliseconds left at the rate of late; 0 when it is completed, null if it failed or was cancelled, or while it cannot be estimated. */
  readonly msLeft: number | null;
}

/** The results of one chunk. */
export interface ResultChunk<Result> {
  /** The position of the chunk in its submission, from 0. */
  readonly chunkIndex: number;
  /**
   * The position of `results[0]` among all operations of the submission; null where the queue does not report the chunk size:
   * the original does not, once a submission has ended.
   */
  readonly operationIndex: number | null;
  readonly results: readonly Result[];
}
