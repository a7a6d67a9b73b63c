import { PAGE_CHUNKS } from '../../model/chunk-set.ts';
import { SubmissionForgottenError, SubmissionNotFoundError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { SubmissionStatus } from '../../model/submission.ts';
import { type Clock, sleep } from '../../system/time/clock.ts';
import type { Progress } from '../options.ts';
import type { QueueApi } from '../queue-api.ts';
import { type ProgressCounts, ProgressMeter } from './progress.ts';

/** Of a submission that has ended. */
type EndedStatus = Exclude<SubmissionStatus, { state: 'in_progress' }>;

/** How long a queue is asked to hold an answer back, in milliseconds: less than the 30 s that many a proxy grants a request. */
export const HOLD_MS = 20_000;

/** Polling of a queue that does not hold answers: 10 ms, doubled each time, at most 5 s. */
const POLL_FIRST_MS = 10;
const POLL_MAX_MS = 5_000;
/** While the progress is watched. */
const POLL_WATCHED_MAX_MS = 500;

/** Progress is reported at most this often. */
export const PROGRESS_EVERY_MS = 200;

/** Waits between polls: only a queue that answered late on purpose is asked again at once. */
export class Pacer {
  readonly #clock: Clock;
  readonly #maxMs: number;
  #nextMs = POLL_FIRST_MS;
  #askedMs = 0;

  constructor(clock: Clock, maxMs: number) {
    this.#clock = clock;
    this.#maxMs = maxMs;
  }

  asked(): void {
    this.#askedMs = this.#clock.monotonicMs();
  }

  /** After an answer with nothing new. */
  async nothingNew(signal: AbortSignal): Promise<void> {
    const tookMs = this.#clock.monotonicMs() - this.#askedMs;
    const waitMs = this.#nextMs;
    this.#nextMs = Math.min(this.#nextMs * 2, this.#maxMs);
    if (tookMs < waitMs) await sleep(this.#clock, waitMs - tookMs, signal);
  }

  reset(): void {
    this.#nextMs = POLL_FIRST_MS;
  }
}

/** The part of the API that waiting needs. */
export type WaitApi = Pick<QueueApi, 'status' | 'chunksDone' | 'announces'>;

export interface WaitOptions {
  readonly api: WaitApi;
  readonly clock: Clock;
  readonly id: SubmissionId;
  readonly signal: AbortSignal;
  /** This client inserted it, or has seen it: unknown means forgotten. */
  readonly isKnown: boolean;
  /** Operations per chunk, where the caller knows it. */
  readonly chunkSizeOps?: number | null;
  /** How many operations there are, where that is known. */
  readonly opsTotal?: number | null;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export interface StatusOptions {
  readonly api: Pick<QueueApi, 'status'>;
  readonly id: SubmissionId;
  readonly signal: AbortSignal;
  /** This client inserted it, or has seen it: unknown means forgotten. */
  readonly isKnown: boolean;
  /** How long the queue may hold its answer. Default 0. */
  readonly holdMs?: number;
}

/** The status of a submission, or the error for why there is none. */
export async function statusOf({
  api,
  id,
  signal,
  isKnown,
  holdMs = 0,
}: StatusOptions): Promise<SubmissionStatus> {
  const status = await api.status(id, { holdMs }, signal);
  if (status === null) throw isKnown ? new SubmissionForgottenError(id) : new SubmissionNotFoundError(id);
  return status;
}

/** Waits until a submission has ended, in whatever way, reporting the progress meanwhile. */
export async function waitForEnd(o: WaitOptions): Promise<EndedStatus> {
  const { api, clock, id, signal } = o;
  let status = await statusOf({ api, id, isKnown: o.isKnown, signal });
  const meter = new ProgressMeter(clock, o.chunkSizeOps ?? status.record.chunkSizeOps, o.opsTotal ?? null);
  const pacer = new Pacer(clock, o.onProgress ? POLL_WATCHED_MAX_MS : POLL_MAX_MS);
  let reported: ProgressCounts | null = null;
  for (;;) {
    const counts = countsOf(status);
    const isNews =
      counts.chunksDone !== reported?.chunksDone || counts.chunksFailed !== reported.chunksFailed;
    if (isNews || status.state !== 'in_progress') o.onProgress?.(meter.read(status.state, counts));
    if (status.state !== 'in_progress') return status;
    if (isNews) pacer.reset();
    reported = counts;
    pacer.asked();
    if (o.onProgress && api.announces('chunks_done')) {
      status = await watched(o, status, counts.chunksDone + counts.chunksFailed);
      if (status.state === 'in_progress') await sleep(clock, PROGRESS_EVERY_MS, signal);
    } else {
      status = await statusOf({ api, id, isKnown: true, signal, holdMs: o.onProgress ? 0 : HOLD_MS });
      if (status.state === 'in_progress') await pacer.nothingNew(signal);
    }
  }
}

/** The status as soon as more chunks are done or set aside than were known. */
async function watched(
  { api, id, signal }: WaitOptions,
  status: Extract<SubmissionStatus, { state: 'in_progress' }>,
  known: number,
): Promise<SubmissionStatus> {
  // From the page behind the last one on: only the count is wanted.
  const fromPage = Math.ceil(status.record.chunksTotal / PAGE_CHUNKS);
  const answer = await api.chunksDone(id, { known, fromPage, holdMs: HOLD_MS }, signal);
  if (answer === null) throw new SubmissionForgottenError(id);
  if (answer.state !== 'in_progress') return statusOf({ api, id, isKnown: true, signal });
  return { ...status, chunksDone: answer.chunksDone, chunksFailed: answer.chunksFailed };
}

function countsOf(status: SubmissionStatus): ProgressCounts {
  const { chunksTotal } = status.record;
  const chunksDone = chunksDoneOf(status);
  if (status.state === 'in_progress') return { chunksDone, chunksFailed: status.chunksFailed, chunksTotal };
  const isIncomplete = status.state === 'completed_with_failures';
  return { chunksDone, chunksFailed: isIncomplete ? chunksTotal - chunksDone : 0, chunksTotal };
}

/** How many chunks of it are done. */
export function chunksDoneOf(status: SubmissionStatus): number {
  return status.state === 'completed' ? status.record.chunksTotal : (status.chunksDone ?? 0);
}
