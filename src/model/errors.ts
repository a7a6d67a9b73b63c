import { UNKNOWN_CANCELLATION } from './control.ts';
import type { ChunkIndex, SubmissionId } from './ids.ts';
import { isError } from './kinds.ts';
import { queueText } from './queue-name.ts';
import {
  type CancelledSubmissionDetails,
  detailsOf,
  type FailedSubmissionDetails,
  type IncompleteSubmissionDetails,
  type SubmissionDetails,
  type SubmissionStatus,
} from './submission.ts';
import { bounded } from './thrown.ts';

/** Every error that opsqueue throws on purpose: one class per cause, with a stable `code` and its data in fields. */
export class OpsqueueError extends Error {
  /** Stable; decide on this (or on the class), never on the text. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }

  /** Name, code, message and fields, for structured logs: of an Error alone, `JSON.stringify` leaves out the message. */
  toJSON(): Readonly<Record<string, unknown>> {
    const named: Record<string, unknown> = { name: this.name, code: this.code, message: this.message };
    return Object.assign(named, this);
  }
}

/** Wrong use of the API or of an option: thrown at once, before anything is sent. Names the field and the value. */
export class IncorrectUsageError extends OpsqueueError {
  constructor(message: string, options?: ErrorOptions) {
    super('INCORRECT_USAGE', message, options);
  }
}

/** Bytes of a peer that are no legal message. `field` is a path such as `chunk_contents.SeeObjectStorage.count`. */
export class ProtocolError extends OpsqueueError {
  readonly field: string;

  constructor(field: string, message: string, options?: ErrorOptions) {
    super('PROTOCOL', message, options);
    this.field = field;
  }
}

/** A submission failed for good: one of its chunks failed too often. */
export class SubmissionFailedError extends OpsqueueError {
  readonly submission: FailedSubmissionDetails;
  readonly submissionId: string;
  readonly chunkIndex: ChunkIndex;
  /** What the consumer said of the last try: usually its stack trace. */
  readonly failure: string;

  constructor(submission: Extract<SubmissionStatus, { state: 'failed' }>) {
    const { chunkIndex, failure } = submission.failedChunk;
    super(
      'SUBMISSION_FAILED',
      `submission ${submission.record.id} failed: its chunk ${chunkIndex} failed for good:\n${failure}`,
    );
    this.submission = detailsOf(submission);
    this.submissionId = this.submission.id;
    this.chunkIndex = chunkIndex;
    this.failure = failure;
    // The message has the text already: a printed error is to show it once.
    for (const name of ['submission', 'failure']) Object.defineProperty(this, name, { enumerable: false });
  }
}

/** A submission with `failureMode: 'collect'` has ended, and chunks of it failed: the results of the others are there. */
export class ChunksFailedError extends OpsqueueError {
  readonly submission: IncompleteSubmissionDetails;
  readonly submissionId: string;
  readonly chunksFailed: number;
  /** The first of them. */
  readonly chunkIndex: ChunkIndex;
  /** What the consumer said of its last try: usually its stack trace. */
  readonly failure: string;

  constructor(submission: Extract<SubmissionStatus, { state: 'completed_with_failures' }>) {
    const details = detailsOf(submission);
    const { chunksFailed, chunksTotal } = details;
    const { chunkIndex, failure } = details.failedChunk;
    const which = chunksFailed === 1 ? `, chunk ${chunkIndex}` : `; the first, chunk ${chunkIndex}`;
    super(
      'CHUNKS_FAILED',
      `submission ${details.id}: ${chunksFailed} of ${chunksTotal} chunks failed${which}:\n${failure}`,
    );
    this.submission = details;
    this.submissionId = details.id;
    this.chunksFailed = chunksFailed;
    this.chunkIndex = chunkIndex;
    this.failure = failure;
    for (const name of ['submission', 'failure']) Object.defineProperty(this, name, { enumerable: false });
  }
}

/** The submission was cancelled. */
export class SubmissionCancelledError extends OpsqueueError {
  readonly submission: CancelledSubmissionDetails;
  readonly submissionId: string;

  constructor(submission: Extract<SubmissionStatus, { state: 'cancelled' }>) {
    const { id } = submission.record;
    const { by, reason } = submission.cancellation ?? UNKNOWN_CANCELLATION;
    const who = by === null ? '' : ` by ${by}`;
    super(
      'SUBMISSION_CANCELLED',
      `submission ${id} was cancelled${who}${reason === null ? '' : `: ${reason}`}`,
    );
    this.submission = detailsOf(submission);
    this.submissionId = this.submission.id;
  }
}

/** The queue does not know the submission (never inserted into it, or forgotten long ago). */
export class SubmissionNotFoundError extends OpsqueueError {
  readonly submissionId: string;
  /** In which queue of the same server it is, '' for the unnamed one; null if that is not known. */
  readonly queue: string | null;

  constructor(submissionId: SubmissionId | string, queue: string | null = null) {
    const why =
      queue === null
        ? 'never inserted here, inserted into another queue of the server, or forgotten (--max-submission-age)'
        : `it is in ${queueText(queue)}`;
    super('SUBMISSION_NOT_FOUND', `the queue does not know submission ${submissionId}: ${why}`);
    this.submissionId = String(submissionId);
    this.queue = queue;
  }
}

/** The submission ended and was forgotten (see `--max-submission-age`) before its results were read. */
export class SubmissionForgottenError extends OpsqueueError {
  readonly submissionId: string;

  constructor(submissionId: SubmissionId | string) {
    super(
      'SUBMISSION_FORGOTTEN',
      `submission ${submissionId} ended and the queue has forgotten it; raise --max-submission-age or read sooner`,
    );
    this.submissionId = String(submissionId);
  }
}

/** A submission that has ended cannot be cancelled. */
export class SubmissionNotCancellableError extends OpsqueueError {
  readonly submission: SubmissionDetails;
  readonly submissionId: string;

  constructor(submission: SubmissionStatus) {
    super(
      'SUBMISSION_NOT_CANCELLABLE',
      `submission ${submission.record.id} cannot be cancelled: already ${submission.state}`,
    );
    this.submission = detailsOf(submission);
    this.submissionId = this.submission.id;
  }
}

/** A verb for a submission that has ended. */
export class SubmissionEndedError extends OpsqueueError {
  readonly submissionId: string;

  constructor(submissionId: SubmissionId | string, state: string) {
    super(
      'SUBMISSION_ENDED',
      `submission ${submissionId} has ended (${state}): nothing can be changed any more`,
    );
    this.submissionId = String(submissionId);
  }
}

/** A verb for submissions that match a filter, and none does. */
export class NothingMatchesError extends OpsqueueError {
  /**
   * @param what they had to match; empty = nothing
   * @param which of submissions
   */
  constructor(what: string, which = 'open submission') {
    const none = what === '' ? `there is no ${which}` : `no ${which} matches ${what}`;
    super('NOTHING_MATCHES', `${none}: nothing was changed`);
  }
}

/** A verb for submissions that match a filter, and more do than its caller expected. */
export class CountChangedError extends OpsqueueError {
  readonly matched: number;
  readonly expected: number;

  constructor(matched: number, expected: number) {
    const match = matched === 1 ? 'submission matches' : 'submissions match';
    const was = expected === 1 ? 'was' : 'were';
    super('COUNT_CHANGED', `${matched} ${match}, ${expected} ${was} expected: nothing was changed`);
    this.matched = matched;
    this.expected = expected;
  }
}

/** A deadline that has passed already, or would come before the start. */
export class DeadlinePassedError extends OpsqueueError {
  constructor(text: string) {
    super('DEADLINE_PASSED', `deadline: ${text}`);
  }
}

/** A submission, a queue or the server cannot be changed in this way. */
export class ChangeRefusedError extends OpsqueueError {
  constructor(reason: string) {
    super('CHANGE_REFUSED', reason);
  }
}

/** More submissions match than the queue returns at once. */
export class TooManyMatchingSubmissionsError extends OpsqueueError {
  readonly max: number;

  constructor(max: number) {
    super('TOO_MANY_MATCHING_SUBMISSIONS', `more than ${max} submissions match`);
    this.max = max;
  }
}

/** The same prefix (or idempotency key) was inserted before, with another content. */
export class SubmissionConflictError extends OpsqueueError {
  /**
   * The part that differs, by its name on the wire: `count`, `chunk_size`, `metadata`, `strategic_metadata`, `contents`,
   * `prefix`. null where the queue does not report it.
   */
  readonly field: string | null;

  constructor(field: string | null, message: string) {
    super('SUBMISSION_CONFLICT', message);
    this.field = field;
  }
}

/** A named run was submitted, or began to be, with other operations than the source now has. Nothing was submitted by this call. */
export class SourceChangedError extends OpsqueueError {
  /** The `name` of the run. */
  readonly runName: string;
  /** The first chunk that differs, or that only one of the two has; null where that is not known. */
  readonly chunkIndex: ChunkIndex | null;

  constructor(runName: string, chunkIndex: ChunkIndex | null, what: string) {
    super(
      'SOURCE_CHANGED',
      `run ${JSON.stringify(runName)}: the source is not the one of before: ${what}; give changed operations a name of their own`,
    );
    this.runName = runName;
    this.chunkIndex = chunkIndex;
  }
}

/** The queue could not be reached, or did not answer, for as long as the call may take. The last attempt's error is the `cause`. */
export class QueueUnreachableError extends OpsqueueError {
  /** Of the queue, without credentials. */
  readonly url: string;
  readonly attempts: number;

  constructor(url: string, attempts: number, waitedMs: number, options?: ErrorOptions) {
    const cause = isError(options?.cause) ? `: ${options.cause.message}` : '';
    const tries = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
    super(
      'QUEUE_UNREACHABLE',
      `no answer from the queue at ${url} (${tries} in ${Math.round(waitedMs)} ms)${cause}`,
      options,
    );
    this.url = url;
    this.attempts = attempts;
  }
}

/** The queue refused a request that should have been fine: see `status` and `reason`, its own words. */
export class QueueRefusedError extends OpsqueueError {
  readonly status: number;
  readonly reason: string;

  constructor(request: string, status: number, reason: string) {
    super('QUEUE_REFUSED', `the queue refused ${request} with status ${status}: ${reason}`);
    this.status = status;
    this.reason = reason;
  }
}

/** Something answers at the queue's address that is not an opsqueue: a web server, a proxy's own page, another service. */
export class NotAQueueError extends OpsqueueError {
  /** What was asked, without credentials. */
  readonly url: string;
  readonly status: number;

  constructor(url: string, status: number, why: string, options?: ErrorOptions) {
    super(
      'NOT_A_QUEUE',
      `${url} is not an opsqueue: it answered with status ${status} and ${why}; check host, port and path of the queue's URL`,
      options,
    );
    this.url = url;
    this.status = status;
  }
}

/** The queue at the other end is one that cannot do this (an old version, or the original opsqueue). */
export class QueueUnsupportedError extends OpsqueueError {
  /** The name that a queue announces it by. */
  readonly feature: string;

  constructor(feature: string, message: string) {
    super('QUEUE_UNSUPPORTED', message);
    this.feature = feature;
  }
}

/** The client was closed before or during the call. */
export class ClientClosedError extends OpsqueueError {
  constructor() {
    super('CLIENT_CLOSED', 'the client is closed');
  }
}

/** The bytes of a chunk are not what the codec expects (truncated, another codec, ...). `key` is its object's key. */
export class ChunkContentError extends OpsqueueError {
  readonly key: string;

  constructor(key: string, message: string, options?: ErrorOptions) {
    super('CHUNK_CONTENT', `chunk ${key}: ${message}`, options);
    this.key = key;
  }
}

/** What is wrong with a value, in the words of its schema. */
export interface ContractIssue {
  /** Such as `lines[2].amount`; empty: the value itself. */
  readonly path: string;
  readonly message: string;
}

/** An operation or a result is not what the contract says (see `defineContract`): trying again makes no sense. */
export class ContractViolationError extends OpsqueueError {
  readonly what: 'operation' | 'result';
  /** The position of the operation in its submission, from 0; null where that is not known. */
  readonly operationIndex: number | null;
  readonly issues: readonly ContractIssue[];

  constructor(
    what: 'operation' | 'result',
    operationIndex: number | null,
    issues: readonly ContractIssue[],
    options?: ErrorOptions,
  ) {
    const position = `operation ${operationIndex}`;
    const subject =
      operationIndex === null ? `the ${what}` : what === 'result' ? `the result of ${position}` : position;
    const shown = issues
      .slice(0, 3)
      .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    const more = issues.length > 3 ? `; and ${issues.length - 3} more` : '';
    super(
      'CONTRACT_VIOLATION',
      `${subject} does not match the contract: ${bounded(shown.join('; '))}${more}`,
      options,
    );
    this.what = what;
    this.operationIndex = operationIndex;
    this.issues = issues;
  }
}

/** Thrown by a consumer's callback: trying the chunk again makes no sense, so its submission fails at once. */
export class NonRetryableError extends OpsqueueError {
  constructor(message: string, options?: ErrorOptions) {
    super('NON_RETRYABLE', message, options);
  }
}

/** Thrown by a consumer's callback: the chunk failed (it counts a try) and is to be tried again no sooner than `delayMs` from now. */
export class RetryLaterError extends OpsqueueError {
  /** In milliseconds. */
  readonly delayMs: number;

  constructor(delayMs: number, message = `to be tried again in ${delayMs} ms`, options?: ErrorOptions) {
    super('RETRY_LATER', message, options);
    if (!Number.isFinite(delayMs) || delayMs < 0) {
      throw new IncorrectUsageError(`delayMs of a RetryLaterError is ${delayMs}: a number from 0`);
    }
    this.delayMs = Math.ceil(delayMs);
  }
}

/** The queue refused to reserve chunks: `reason` are its own words (a strategy that is too deep, say). */
export class ReservationRefusedError extends OpsqueueError {
  readonly reason: string;

  constructor(reason: string) {
    super('RESERVATION_REFUSED', `the queue refused the reservation: ${reason}`);
    this.reason = reason;
  }
}

/** The thread that keeps the connection to the queue ended and could not be brought back. */
export class TransportLostError extends OpsqueueError {
  constructor(message: string, options?: ErrorOptions) {
    super('TRANSPORT_LOST', message, options);
  }
}
