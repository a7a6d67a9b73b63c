import type { List } from './lists.ts';

export const EVENT_KINDS = [
  'server_started',
  'submission_inserted',
  'submission_ended',
  'submission_retried',
  'acted',
  'consumer_connected',
  'consumer_gone',
  'consumer_sick',
  'store_stuck',
  'store_recovered',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** An item of `GET /api/v1/events`. The last 10 000 are kept. */
export interface EventRow {
  /** Rises by one with each, on each node. */
  readonly seq: number;
  readonly at: string;
  readonly kind: EventKind;
  readonly queue: string | null;
  readonly submission: string | null;
  readonly conn_id: string | null;
  readonly by: string | null;
  readonly text: string;
}

/** Which events are told where there are more than the limit: those that come next, or the latest ones. */
export const EVENT_TAKES = ['next', 'latest'] as const;

/**
 * `GET /api/v1/events`, the oldest first. `next` goes as it is as `after` into the next request: a place in the life of a server,
 * or of each of several nodes.
 */
export interface EventsAnswer extends List<EventRow> {
  readonly next: string;
  /** Events after that place which are not told here or later: forgotten, or skipped to get to the latest. null: `after` is of a server that is gone, and nobody knows. */
  readonly missed: number | null;
}
