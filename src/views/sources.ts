import type { Queue, QueueSight } from '../queue/queue.ts';
import type { Clock } from '../system/time/clock.ts';
import type { Disk } from './disk.ts';
import type { Sampler } from './sampler.ts';
import type { Watcher } from './tallies/watcher.ts';

/** What views are computed from. */
export interface Sources {
  readonly queue: Queue;
  readonly clock: Clock;
  readonly watcher: Watcher;
  readonly sampler: Sampler;
  readonly disk: Disk;
  /** When all counting began, in Unix milliseconds. */
  readonly sinceMs: number;
  /** A moment on the monotonic clock in Unix milliseconds: the same whenever it is asked for, also if the wall clock is set. */
  unixMs(monotonicMs: number): number;
  /** Shards that are open on no node, for longer than a hand-over takes. */
  shardsMissing(): number;
  /** How far apart views are computed now, in milliseconds. */
  throttling(): number;
  /** Connections that were closed as they came, since the start, by reason. */
  refusals(): Readonly<Record<string, number>>;
  /** Where this server is reached by others. */
  address(): string;
}

/** Entries that are looked at until a computation offers to give others their turn. */
export const STRIDE = 256;

/** The queues that are asked for; null: all that are in use. */
export function* queuesOf({ queue }: Sources, name: string | null): Generator<QueueSight> {
  for (const each of queue.schedules()) if (name === null || each.name === name) yield each;
}

export function iso(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

export function isoOrNull(unixMs: number | null): string | null {
  return unixMs === null ? null : iso(unixMs);
}

/** The larger one of those that there are. */
export function most(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b);
}

/** Two figures after the point are enough for a rate. */
export function rounded(rate: number): number {
  return Math.round(rate * 100) / 100;
}
