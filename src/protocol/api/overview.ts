import type { Frame, PauseItem, Quantiles } from './lists.ts';

/** `paused`: the server, or the queue that was asked for; `store_stuck`: nothing can be written. */
export const QUEUE_STATES = ['running', 'paused', 'store_stuck', 'stopping'] as const;
export type QueueState = (typeof QUEUE_STATES)[number];

/** `GET /api/v1/overview`. Totals and rates begin at `since`. */
export interface Overview extends Frame {
  /** The start of the server. */
  readonly since: string;
  /** Which queue it is of, `-` for the unnamed one; null: all together. */
  readonly queue: string | null;
  readonly state: QueueState;
  readonly counts: OverviewCounts;
  readonly totals: Totals;
  /** Per second, over the last second, ten seconds and minute. */
  readonly rates: { readonly last_1s: Rates; readonly last_10s: Rates; readonly last_60s: Rates };
  readonly oldest_waiting: {
    readonly submission: string;
    readonly queue: string;
    readonly age_ms: number;
  } | null;
  /** Until the last of the queues that go on is done with what is open, at the rate of its last minute, though it may have stood still in it, without what is paused; null: none goes on. */
  readonly left_ms: number | null;
  /** Open submissions that take longest, at most 5, of those whose time left is known; of the first 2 000. */
  readonly longest_left: readonly LongSubmission[];
  /** Those with most consumers first, at most 50. */
  readonly strategies: readonly StrategyRow[];
  readonly store: StoreHealth;
  /** How late timers come, over the last minute or two. */
  readonly event_loop_delay_ms: { readonly p50: number; readonly p99: number };
  /** Of the server, then of the queue that was asked for. */
  readonly pauses: readonly PauseItem[];
  /** What a person should look at, the most severe first, at most 100. */
  readonly attention: readonly Attention[];
}

export interface OverviewCounts {
  readonly submissions_open: number;
  readonly submissions_paused: number;
  /** Neither done nor set aside. */
  readonly chunks_backlog: number;
  readonly operations_backlog: number;
  /** Could be handed out now. */
  readonly chunks_waiting: number;
  readonly chunks_reserved: number;
  /** Wait for their next try. */
  readonly chunks_delayed: number;
  /** Of submissions that are paused, by themselves or with their queue, or not to be started yet. */
  readonly chunks_paused: number;
  /** Set aside, of open submissions. */
  readonly chunks_failed: number;
  readonly consumers: number;
  /** They hold chunks. */
  readonly consumers_working: number;
  /** They hold none and wait for some. */
  readonly consumers_waiting: number;
  /** Slowed down because all of theirs failed. */
  readonly consumers_sick: number;
}

export interface Totals {
  readonly submissions_inserted: number;
  readonly submissions_completed: number;
  readonly submissions_failed: number;
  readonly submissions_cancelled: number;
  readonly chunks_done: number;
  /** Tries that failed, expired or ended with their connection. */
  readonly chunks_set_back: number;
}

/** null where nothing is known: in the first second of a server or queue, and of a queue that is not in use. */
export interface Rates {
  readonly inserted: number | null;
  readonly done: number | null;
  readonly set_back: number | null;
}

export interface StrategyRow {
  /** In text form; null: it has asked for nothing yet. */
  readonly strategy: string | null;
  readonly consumers: number;
  readonly waiting: number;
  readonly held: number;
}

export interface StoreHealth {
  readonly healthy: boolean;
  readonly error: { readonly code: string; readonly text: string } | null;
  /** Since nothing gets through; null if it does. */
  readonly stuck_ms: number | null;
  /** Nothing is handed out until the store takes batches again. */
  readonly hand_out_held: boolean;
  /** How long commits take, over the last minute or two; null if there was none. */
  readonly commit_ms: { readonly p50: number; readonly p99: number } | null;
  /** When something was written last; null: nothing was since the start of the server. */
  readonly last_commit: string | null;
  readonly pending_bytes: number;
  readonly size_bytes: number | null;
  /** Of the disk that the database file is on; null where there is none. */
  readonly disk_free_bytes: number | null;
  readonly disk_total_bytes: number | null;
}

export const ATTENTION_CODES = [
  'store_unhealthy',
  'hand_out_held',
  'shards_missing',
  'disk_low',
  'no_consumers',
  'consumers_idle',
  'stalled',
  'failing',
  'submissions_failed',
  'slow_consumers',
  'stragglers',
  'paused_with_work',
  'clients_refused',
  'versions_mixed',
  'clock_stepped',
  'views_throttled',
] as const;
export type AttentionCode = (typeof ATTENTION_CODES)[number];
export const SEVERITIES = ['critical', 'warning', 'info'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Where it may be told: each is a path below `/api/v1/`, and a view of the page other than the overview, which has told it. */
export const ATTENTION_VIEWS = ['why', 'submissions', 'consumers', 'failures', 'queue'] as const;
export type AttentionView = (typeof ATTENTION_VIEWS)[number];
export type AttentionLink = AttentionView | `${AttentionView}?${string}` | `submissions/${string}`;

export interface Attention {
  readonly code: AttentionCode;
  readonly severity: Severity;
  /** Of what the text names; 1 where nothing is counted. */
  readonly count: number;
  readonly text: string;
  /** Where more of it is told, with its query. */
  readonly link: AttentionLink;
  /** The submissions that it is about, the latest first, at most 3; none where it is about something else. */
  readonly submissions: readonly NamedSubmission[];
  /** What all submissions that it is about have in their metadata, those that are not named as well. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The latest failure, where it is about some. */
  readonly example: FailureExample | null;
}

/** A submission with what a person knows it by. */
export interface NamedSubmission {
  readonly id: string;
  readonly queue: string;
  readonly prefix: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface LongSubmission extends NamedSubmission {
  readonly left_ms: Quantiles;
}

export interface FailureExample {
  readonly at: string;
  readonly submission: string;
  readonly chunk: number;
  /** What went wrong, on one line: of errors that caused one another, the one at the root. */
  readonly text: string;
}

/** Series of `GET /api/v1/history`: per second, or as of the end of each point. Those of the store and the process are the server's. */
export const HISTORY_SERIES = [
  'inserted',
  'done',
  'set_back',
  'backlog',
  'waiting',
  'reserved',
  'delayed',
  'consumers',
  'consumers_waiting',
  'commit_p50_ms',
  'commit_p99_ms',
  'event_loop_delay_ms',
] as const;
export type HistorySeries = (typeof HISTORY_SERIES)[number];

/** Windows of the history: how far it goes back, and how far apart its points are, in seconds. */
export const HISTORY_WINDOWS = {
  '10m': { points: 600, seconds: 1 },
  '6h': { points: 2_160, seconds: 10 },
  '7d': { points: 10_080, seconds: 60 },
} as const;
export type HistoryWindow = keyof typeof HISTORY_WINDOWS;

/** `GET /api/v1/history`: columns of equal length. */
export interface History extends Frame {
  readonly since: string;
  readonly queue: string | null;
  readonly window: HistoryWindow;
  /** Between two points. */
  readonly step_ms: number;
  /** The end of each point, in Unix milliseconds. */
  readonly at_ms: readonly number[];
  /** null where nothing is known. */
  readonly series: Readonly<Partial<Record<HistorySeries, readonly (number | null)[]>>>;
}
