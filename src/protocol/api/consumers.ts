import type { Frame, Quantiles } from './lists.ts';

/** `full`: it holds more than it may, or does not read; `waiting`: it holds nothing and waits for chunks; `idle`: it asks for none. */
export const CONSUMER_STATES = ['working', 'waiting', 'idle', 'full', 'sick'] as const;
export type ConsumerState = (typeof CONSUMER_STATES)[number];
export const CONSUMER_SORTS = [
  'since',
  'held',
  'oldest_held',
  'rate',
  'failed',
  'slowest',
  'silent',
] as const;
export type ConsumerSort = (typeof CONSUMER_SORTS)[number];
export const CONSUMER_GROUPINGS = ['none', 'strategy', 'client', 'address'] as const;
export type ConsumerGrouping = (typeof CONSUMER_GROUPINGS)[number];

/** An item of `GET /api/v1/consumers`. */
export interface ConsumerRow {
  readonly conn_id: string;
  readonly queue: string;
  readonly address: string | null;
  /** Name and version of the client; null for old ones, which do not say. */
  readonly client: string | null;
  /** The one that it used last, in text form; null: it has asked for nothing yet. */
  readonly strategy: string | null;
  readonly state: ConsumerState;
  /** Chunks that it works on at once. */
  readonly concurrency: number;
  readonly held: number;
  readonly oldest_held_ms: number | null;
  /** Since when it holds that one. */
  readonly oldest_held_since: string | null;
  readonly requests_waiting: number;
  readonly done: number;
  readonly set_back: number;
  /** Chunks done per second, over the last minute or since it connected. */
  readonly rate: number;
  readonly set_back_60s: number;
  /** Of its chunks, from reservation to completion; null before the fifth. */
  readonly durations_ms: Quantiles | null;
  /** How many times as long a chunk takes it as those with the same strategy, where that is far longer; null: it is not, or too little is known. */
  readonly slow: number | null;
  /** Since it was heard of last. */
  readonly silent_ms: number;
  /** When that was. */
  readonly heard: string;
  readonly since: string;
}

/** An item of `GET /api/v1/consumers?group=...`. */
export interface ConsumerGroup {
  readonly group: string | null;
  readonly consumers: number;
  readonly working: number;
  readonly waiting: number;
  /** Far slower than the others with their strategy. */
  readonly slow: number;
  readonly held: number;
  /** Chunks done per second, all together. */
  readonly rate: number;
  readonly set_back_60s: number;
  readonly oldest_held_ms: number | null;
}

/** `GET /api/v1/consumers/{conn_id}`. */
export interface ConsumerAnswer extends Frame, ConsumerRow {
  /** What it holds, in the order in which it got it; at most 200. */
  readonly holding: readonly HeldItem[];
}

export interface HeldItem {
  readonly submission: string;
  readonly chunk: number;
  readonly held_ms: number;
  readonly expires_in_ms: number;
  readonly retries: number;
}
