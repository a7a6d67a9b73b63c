import {
  type Act,
  type Cancellation,
  type Control,
  NO_CONTROL,
  type PausedBy,
  type StatusControl,
  UNKNOWN_CANCELLATION,
} from './control.ts';
import { type ChunkIndex, type SubmissionId, submissionIdTimeMs } from './ids.ts';
import type { RetryPolicy } from './retry.ts';

/** Pairs that strategies rank by: keys are text, values signed 64-bit integers. */
export type StrategicMetadata = ReadonlyMap<string, bigint>;

/**
 * What becomes of a submission with a chunk that is out of tries. `fail`: it fails with the chunk, as in the original;
 * `collect`: the chunk is set aside with its failure, and the others go on.
 */
export const FAILURE_MODES = ['fail', 'collect'] as const;
export type FailureMode = (typeof FAILURE_MODES)[number];

/** What is fixed when a submission is inserted, as both clients are told it. */
export interface SubmissionFacts {
  readonly id: SubmissionId;
  /** The folder of the chunk bodies in the object store; null for `Direct` submissions, whose bodies the queue keeps. */
  readonly prefix: string | null;
  readonly chunksTotal: number;
  /** Operations per chunk; 1 where the producer did not say; 0 = unknown, of one that had ended when it was taken over from the original. */
  readonly chunkSizeOps: number;
  /** Opaque bytes of the producer. */
  readonly metadata: Uint8Array | null;
  readonly strategicMetadata: StrategicMetadata;
  /** W3C trace context of the producer, as a JSON object in a string; `{}` if there is none. */
  readonly otelTraceCarrier: string;
  /** A failed chunk waits at least this long before it is handed out again, in milliseconds; default 0. */
  readonly retryDelayMs: number;
  /** How often, and after which waits, a failed chunk is tried again; null = as often as the queue has it, at once. */
  readonly retry: RetryPolicy | null;
  readonly failureMode: FailureMode;
}

/** What is fixed when a submission is inserted. */
export interface SubmissionRecord extends SubmissionFacts {
  /** The name of the queue that it is in, the only one whose consumers get its chunks; '' for the unnamed one. */
  readonly queue: string;
}

/** How often handing out a chunk went wrong. */
export interface ChunkTries {
  /** Failures and expired reservations. */
  readonly retries: number;
  /** Connections that broke while the chunk was running, and counted when the last one did: see `--max-chunk-disconnects`. */
  readonly disconnects: number;
}

/** A chunk that failed for good: the one that its submission failed by, or one that was set aside. */
export interface FailedChunk {
  readonly chunkIndex: ChunkIndex;
  /** The input of a `Direct` submission's chunk; null otherwise. */
  readonly inputContent: Uint8Array | null;
  /** What the consumer said: usually its stack trace. */
  readonly failure: string;
}

export const END_STATES = ['completed', 'completed_with_failures', 'failed', 'cancelled'] as const;
export type EndState = (typeof END_STATES)[number];

/** Of a submission that collects failures: all its chunks are done or set aside, and at least one is the latter. */
export interface EndWithFailures {
  readonly state: 'completed_with_failures';
  readonly endedAtMs: number;
  /** All others failed. */
  readonly chunksDone: number;
  /** The first of those that failed, by its index. */
  readonly failedChunk: FailedChunk;
}

/** How a submission ended. */
export type SubmissionEnd =
  | { readonly state: 'completed'; readonly endedAtMs: number }
  | EndWithFailures
  | {
      readonly state: 'failed';
      readonly endedAtMs: number;
      readonly chunksDone: number;
      readonly failedChunk: FailedChunk;
    }
  | {
      readonly state: 'cancelled';
      readonly endedAtMs: number;
      readonly chunksDone: number;
      /** Who cancelled it, and why, in their own words; null where that is not known. */
      readonly by: string | null;
      readonly reason: string | null;
    };

/** What a status says of the submission itself. */
export interface StatusRecord extends Omit<SubmissionFacts, 'chunkSizeOps'> {
  /** Operations per chunk; null where the queue does not tell, as the original does of what has ended. */
  readonly chunkSizeOps: number | null;
  /** undefined where no verb has changed anything, or the queue does not report it. */
  readonly control?: StatusControl | undefined;
}

/** The public state of a submission, as the status endpoint tells it. */
export type SubmissionStatus =
  | {
      readonly state: 'in_progress';
      readonly record: StatusRecord;
      readonly chunksDone: number;
      /** Set aside; 0 if it does not collect failures. */
      readonly chunksFailed: number;
    }
  | { readonly state: 'completed'; readonly record: StatusRecord; readonly endedAtMs: number }
  | (EndWithFailures & { readonly record: StatusRecord })
  | {
      readonly state: 'failed';
      readonly record: StatusRecord;
      readonly endedAtMs: number;
      /** null from an old server. */
      readonly chunksDone: number | null;
      readonly failedChunk: FailedChunk;
    }
  | {
      readonly state: 'cancelled';
      readonly record: StatusRecord;
      readonly endedAtMs: number;
      readonly chunksDone: number;
      /** undefined from a queue that does not report it. */
      readonly cancellation?: Cancellation | undefined;
    };

/**
 * What was submitted, for users of a client. Survives `JSON.stringify`, unless a strategic value exceeds a number; bytes
 * become an object of numbers by that, which `Buffer.from(metadata).toString('base64')` makes readable.
 */
export interface SubmissionInfo {
  /** As text: it does not fit a double, and a bigint survives neither `JSON.stringify` nor most loggers. */
  readonly id: string;
  /** When the queue took it, in Unix milliseconds. */
  readonly submittedAtMs: number;
  /** The folder of the chunks in the object store; null if the queue keeps them (`in: 'queue'`). */
  readonly prefix: string | null;
  readonly chunksTotal: number;
  /** Operations per chunk; null where the queue does not tell, as the original does of what has ended. */
  readonly chunkSize: number | null;
  /** As it was submitted. */
  readonly metadata: Uint8Array | null;
  /** As it was submitted, or set since; what does not fit a number is a bigint. */
  readonly strategicMetadata: Readonly<Record<string, number | bigint>>;
  /**
   * As it was submitted, or the default that took effect; null = as often as the queue has it, at once or after
   * `retryDelayMs`. null from a queue that does not report it, such as the original.
   */
  readonly retry: RetryPolicy | null;
  /** As it was submitted, in milliseconds; 0 from a queue that does not report it. */
  readonly retryDelayMs: number;
  /** As it was submitted; `'fail'` from a queue that does not report it. */
  readonly failureMode: FailureMode;
  /** W3C trace context of the producer, as a JSON object in a string; `{}` if there is none. */
  readonly traceCarrier: string;
}

/** What was changed of a submission after it was submitted, or decided of it then. Empty from a queue that does not report it. */
export interface SubmissionChanges {
  /** Nothing of it is handed out while there is one. */
  readonly pauses: readonly PausedBy[];
  /** It is cancelled if it has not ended by then, in Unix milliseconds; null = never. */
  readonly deadlineMs: number | null;
  /** Nothing of it is handed out before then, in Unix milliseconds; null = at once. */
  readonly startAfterMs: number | null;
  /** What was done to it: the last 20 changes, the latest last. */
  readonly history: readonly Act[];
}

/** What a queue knows of a submission, for users of a producer. Survives `JSON.stringify`. */
export type SubmissionDetails =
  | (SubmissionInfo &
      SubmissionChanges & {
        readonly state: 'in_progress';
        readonly chunksDone: number;
        /** Set aside so far; 0 with `failureMode: 'fail'`. */
        readonly chunksFailed: number;
        /** Nothing of the whole queue is handed out while there is one: its own pauses, then the server's. */
        readonly queuePauses: readonly PausedBy[];
      })
  | EndedSubmissionDetails;

/** The details of a submission that has ended. */
export type EndedSubmissionDetails =
  | (SubmissionInfo &
      SubmissionChanges & {
        readonly state: 'completed';
        readonly chunksDone: number;
        readonly endedAtMs: number;
      })
  | IncompleteSubmissionDetails
  | FailedSubmissionDetails
  | CancelledSubmissionDetails;

/** The details of a submission with `failureMode: 'collect'` that has ended, with chunks that failed. */
export interface IncompleteSubmissionDetails extends SubmissionInfo, SubmissionChanges {
  readonly state: 'completed_with_failures';
  readonly chunksDone: number;
  readonly chunksFailed: number;
  readonly endedAtMs: number;
  /** The first of those that failed, by its index. */
  readonly failedChunk: FailedChunk;
}

/** The details of a submission that failed. */
export interface FailedSubmissionDetails extends SubmissionInfo, SubmissionChanges {
  readonly state: 'failed';
  /** null from an old server. */
  readonly chunksDone: number | null;
  readonly endedAtMs: number;
  readonly failedChunk: FailedChunk;
}

/** The details of a submission that was cancelled. */
export interface CancelledSubmissionDetails extends SubmissionInfo, SubmissionChanges {
  readonly state: 'cancelled';
  readonly chunksDone: number;
  readonly endedAtMs: number;
  /** Who cancelled it, and why, in their own words; null where that is not known. */
  readonly by: string | null;
  readonly reason: string | null;
}

export function detailsOf(status: Extract<SubmissionStatus, { state: 'failed' }>): FailedSubmissionDetails;
export function detailsOf(
  status: Extract<SubmissionStatus, { state: 'completed_with_failures' }>,
): IncompleteSubmissionDetails;
export function detailsOf(
  status: Extract<SubmissionStatus, { state: 'cancelled' }>,
): CancelledSubmissionDetails;
export function detailsOf(
  status: Exclude<SubmissionStatus, { state: 'in_progress' }>,
): EndedSubmissionDetails;
export function detailsOf(status: SubmissionStatus): SubmissionDetails;
export function detailsOf({ record, ...status }: SubmissionStatus): SubmissionDetails {
  const {
    pauses,
    history,
    deadlineMs,
    startAfterMs,
    queuePauses = [],
  }: Partial<StatusControl> & Control = record.control ?? NO_CONTROL;
  const info = { ...submissionInfoOf(record), pauses, deadlineMs, startAfterMs, history };
  switch (status.state) {
    case 'in_progress':
      return { ...info, ...status, queuePauses };
    case 'completed':
      return { ...info, ...status, chunksDone: info.chunksTotal };
    case 'completed_with_failures':
      return { ...info, ...status, chunksFailed: info.chunksTotal - status.chunksDone };
    case 'failed':
      return { ...info, ...status };
    case 'cancelled': {
      const { cancellation: { by, reason } = UNKNOWN_CANCELLATION, ...others } = status;
      return { ...info, ...others, by, reason };
    }
  }
}

export function submissionInfoOf(record: StatusRecord): SubmissionInfo {
  const { id, prefix, chunksTotal, chunkSizeOps, metadata, retry, retryDelayMs, failureMode } = record;
  return {
    id: String(id),
    submittedAtMs: submissionIdTimeMs(id),
    prefix,
    chunksTotal,
    chunkSize: chunkSizeOps === 0 ? null : chunkSizeOps,
    metadata,
    strategicMetadata: Object.fromEntries(
      [...record.strategicMetadata].map(([key, value]) => [key, numberIfExact(value)]),
    ),
    retry,
    retryDelayMs,
    failureMode,
    traceCarrier: record.otelTraceCarrier,
  };
}

function numberIfExact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** No trace context. */
export const EMPTY_TRACE_CARRIER = '{}';

/** Nothing went wrong yet. */
export const NO_TRIES: ChunkTries = Object.freeze({ retries: 0, disconnects: 0 });
