import type { FailureGroup } from './failures.ts';
import type { ActRow, Frame, PauseItem, Quantiles } from './lists.ts';

/** Filters by state. Those of open submissions come first; `open` is all of these, and `all` are those that have ended as well. */
export const SUBMISSION_FILTERS = [
  'open',
  'waiting',
  'running',
  'paused',
  'delayed',
  'failing',
  'completed',
  'completed_with_failures',
  'failed',
  'cancelled',
  'all',
] as const;
export type SubmissionFilter = (typeof SUBMISSION_FILTERS)[number];

/** Whether some that it is for have ended: these come in one order only. */
export function isOfEnded(filter: string): boolean {
  return (SUBMISSION_FILTERS as readonly string[]).indexOf(filter) >= SUBMISSION_FILTERS.indexOf('completed');
}

/** `paused`: by itself, or with its queue or the server. `ending`: its end waits for its commit. */
export const SUBMISSION_STATES = [
  'waiting',
  'running',
  'paused',
  'delayed',
  'ending',
  'completed',
  'completed_with_failures',
  'failed',
  'cancelled',
] as const;
export type SubmissionState = (typeof SUBMISSION_STATES)[number];

export const SUBMISSION_SORTS = [
  'inserted',
  'left',
  'done',
  'waiting',
  'rate',
  'tries',
  'oldest_held',
] as const;
export type SubmissionSort = (typeof SUBMISSION_SORTS)[number];

/** Why nobody can say how long an open submission still takes, in words. In lists, one that no strategy gives out just stands still. */
export const LEFT_UNKNOWN_WORDS = {
  paused: 'it is paused',
  not_started: 'it has not begun',
  queue_paused: 'its queue is paused',
  store_stuck: 'the store takes nothing',
  no_consumers: 'no consumer is connected',
  excluded: 'the strategies of all consumers exclude it',
  all_delayed: 'what is left waits for its next try',
  stands_still: 'nobody works on it',
  few_done: 'fewer than 20 of its chunks are done',
} as const;
export type LeftUnknown = keyof typeof LEFT_UNKNOWN_WORDS;

/** An item of `GET /api/v1/submissions`. */
export interface SubmissionItem {
  readonly id: string;
  /** `-` for the unnamed one. */
  readonly queue: string;
  readonly prefix: string | null;
  readonly state: SubmissionState;
  /** It is open, and tries of it failed in the last minute, or chunks are set aside. */
  readonly failing: boolean;
  readonly chunks: ChunkCounts;
  /** null where the queue does not know. */
  readonly chunk_size: number | null;
  /** Chunks per second, over the last minute. */
  readonly rate: number;
  /** Until its end, at the rate of the last minute without the time in which it stood still, or of all its time if it has run for less than ten seconds of that; null: `left_unknown` says why. */
  readonly left_ms: Quantiles | null;
  /** null where the time left is known, and of what has ended. */
  readonly left_unknown: LeftUnknown | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly inserted: string;
  readonly ended: string | null;
  readonly deadline: string | null;
  readonly start_after: string | null;
  /** Tries that failed, expired or ended with their connection, since the start of the server; null: it has ended, and they are not kept any more. */
  readonly set_back: number | null;
  readonly oldest_held_ms: number | null;
  /** Since when that chunk is held. */
  readonly oldest_held_since: string | null;
  /** Its own pauses; those of its queue are in the overview. */
  readonly pauses: readonly PauseItem[];
}

export interface ChunkCounts {
  readonly total: number;
  readonly done: number;
  readonly reserved: number;
  /** Could be handed out now. */
  readonly waiting: number;
  /** Wait for their next try. */
  readonly delayed: number;
  /** Would be waiting if the submission, its queue or the server were not paused, or it had been started. */
  readonly paused: number;
  /** Set aside. */
  readonly failed: number;
}

/** `GET /api/v1/submissions/{id}`. */
export interface SubmissionAnswer extends Frame, SubmissionItem {
  readonly failure_mode: 'fail' | 'collect';
  /** Of chunks, from reservation to completion, since the start of the server; null before the twentieth, and where they are not kept after the end. */
  readonly durations_ms: (Quantiles & { readonly max: number; readonly count: number }) | null;
  /** The lowest chunk that is not done; null if there is none. */
  readonly first_not_done: number | null;
  /** Pauses of its queue and of the server. */
  readonly queue_pauses: readonly PauseItem[];
  /** What became of it, in this order; only the beginning is remembered beyond a restart, and the end. */
  readonly timeline: readonly Moment[];
  /** What was done to it, the last 20, the latest last. */
  readonly acted_by: readonly ActRow[];
  /** Those with most failures first, at most 5. */
  readonly failures: readonly FailureGroup[];
  /** Those of before are forgotten, and not counted there; null: all are there. */
  readonly failures_since: string | null;
  /** Why it ended, of one that failed or was cancelled. */
  readonly end: { readonly chunk: number | null; readonly text: string; readonly by: string | null } | null;
}

export const MOMENT_KINDS = [
  'inserted',
  'starts',
  'first_chunk',
  'first_failure',
  'acted',
  'deadline',
  'ended',
] as const;

export interface Moment {
  readonly kind: (typeof MOMENT_KINDS)[number];
  readonly at: string;
  readonly by: string | null;
  readonly text: string;
}

/** `skipped`: not done when its submission failed or was cancelled. */
export const CHUNK_STATES = [
  'waiting',
  'reserved',
  'delayed',
  'paused',
  'failed',
  'done',
  'skipped',
] as const;
export type ChunkItemState = (typeof CHUNK_STATES)[number];
export const CHUNK_SORTS = ['index', 'held', 'tries'] as const;
export type ChunkSort = (typeof CHUNK_SORTS)[number];

/** An item of `GET /api/v1/submissions/{id}/chunks`. */
export interface ChunkRow {
  readonly index: number;
  readonly state: ChunkItemState;
  /** `conn_id` of the consumer that has reserved it. */
  readonly holder: string | null;
  readonly held_ms: number | null;
  /** Until its reservation expires. */
  readonly expires_in_ms: number | null;
  /** Until its next try. */
  readonly due_in_ms: number | null;
  readonly straggler: boolean;
  /** Tries that failed or expired. */
  readonly retries: number;
  /** Tries that ended with their connection. */
  readonly disconnects: number;
  readonly last_failure: string | null;
}

/** What a cell of the map, `GET /api/v1/submissions/{id}/map`, has in its second octet. The first is the share that is done, 1 to 254 if neither none nor all. */
export const MAP_BITS = { reserved: 1, delayed: 2, tried: 4, straggler: 8, failed: 16 } as const;
/** `duration`: the octets are the mean and the longest duration in the cell; 0: none, else 2^((octet - 1) / 8) ms. */
export const MAP_MODES = ['state', 'duration'] as const;
export type MapMode = (typeof MAP_MODES)[number];
/** Cells of one answer. */
export const MAP_CELLS_MAX = 16_384;
/** Names what was answered: `opsqueue-map: total=10000000; from=0; cell=1024; cells=9766`. */
export const MAP_HEADER = 'opsqueue-map';
