import type { Frame, PauseItem } from './lists.ts';

/** `GET /api/v1/queue`: the server as it is set up. */
export interface QueueAnswer extends Frame {
  readonly since: string;
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  /** Resident memory of the process. */
  readonly memory_bytes: number;
  /** By their flags, such as `--max-chunk-retries`, without secrets; durations as texts (`30 minutes`). */
  readonly settings: Readonly<Record<string, string | number | boolean | readonly string[] | null>>;
  readonly features: { readonly consumers: readonly string[]; readonly producers: readonly string[] };
  readonly store: { readonly kind: string; readonly size_bytes: number | null };
  /** Connections that were closed as they came, since the start, by reason. */
  readonly connections_rejected: Readonly<Record<string, number>>;
  /** Views that are kept, what they cost, and how often one was refused. */
  readonly views: { readonly kept: number; readonly cost_ms: number; readonly refused: number };
}

/** An item of `GET /api/v1/queues`. */
export interface QueueRow {
  readonly name: string;
  readonly submissions_open: number;
  readonly chunks_waiting: number;
  readonly chunks_reserved: number;
  readonly chunks_delayed: number;
  readonly chunks_paused: number;
  readonly consumers: number;
  /** Its own, then the server's. */
  readonly pauses: readonly QueuePauseItem[];
}

export interface QueuePauseItem extends PauseItem {
  /** What is paused: the queue itself, or the whole server. */
  readonly of: 'queue' | 'server';
}
