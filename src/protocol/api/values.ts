import type { List } from './lists.ts';

/** A key of strategic metadata that open submissions carry: an item of `GET /api/v1/keys`. */
export interface KeyRow {
  readonly key: string;
  readonly values: number;
}

export const VALUE_SORTS = [
  'waiting',
  'in_flight',
  'backlog',
  'rate',
  'set_back',
  'oldest',
  'value',
] as const;
export type ValueSort = (typeof VALUE_SORTS)[number];

/** A value of a key: an item of `GET /api/v1/values?key=...`. */
export interface ValueRow {
  readonly value: string;
  /** Open ones that carry it. */
  readonly submissions: number;
  /** Chunks of them that could be handed out: none of what is paused, by itself, with its queue or with the server. */
  readonly waiting: number;
  readonly in_flight: number;
  readonly backlog: number;
  /** Chunks done per second, over the last five to ten seconds or since somebody looked before; null the first time, and of keys with more than 20 000 values. */
  readonly rate: number | null;
  /** Tries of the last minute that failed, expired or ended with their connection, of the last 2 000 that did. */
  readonly set_back_60s: number;
  /** Of all chunks in flight that carry the key, 0 to 1. */
  readonly share: number;
  /** Age of the oldest of the submissions. */
  readonly oldest_ms: number;
}

/** `GET /api/v1/values`. */
export interface ValuesAnswer extends List<ValueRow> {
  /** Of all values: what each one's share is of. */
  readonly in_flight: number;
}
