import { Histogram } from 'prom-client';
import { submissionIdTimeMs } from '../../model/ids.ts';
import type { Strategy } from '../../model/strategy.ts';
import { fieldOf, isInnerField, STRATEGY_KINDS, type StrategyField } from '../../model/strategy-shape.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { EventObserver, QueueEvent } from '../events.ts';
import { StatsByQueue } from './by-queue.ts';
import { Sketch } from './sketch.ts';

/** Reservations are told apart by at most so many pairs of limit and strategy; both come from clients. */
const RESERVE_SERIES_MAX = 100;
/** Stands for the pairs beyond that. */
const OTHER = 'other';

const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** How long reservations with one limit and strategy took. */
export interface ReserveSeries {
  readonly limit: string;
  readonly strategy: string;
  readonly durations: Sketch;
}

/** What has happened since the start, in plain numbers, so that counting costs next to nothing. */
export class QueueStats implements EventObserver {
  submissionsTotal = 0;
  submissionsCompleted = 0;
  /** Ended with chunks that were set aside. */
  submissionsIncomplete = 0;
  submissionsFailed = 0;
  /** Ended before, and open again. */
  submissionsRetried = 0;
  submissionsCancelled = 0;
  chunksTotal = 0;
  chunksCompleted = 0;
  /** Failed for good: their submission failed with them, or they were set aside. */
  chunksFailed = 0;
  /** Told as failed by their consumer, and get another try. */
  chunksRetried = 0;
  /** Not done when another chunk failed their submission. */
  chunksSkipped = 0;
  readonly byQueue = new StatsByQueue();
  readonly commitSeconds = new Histogram({
    name: 'store_commit_seconds',
    help: 'How long the store took to put a batch on disk',
    buckets: SECONDS_BUCKETS,
    registers: [],
  });
  readonly loopDelaySeconds = new Histogram({
    name: 'event_loop_delay_seconds',
    help: 'How much later than wanted a timer came, looked at ten times a second',
    buckets: SECONDS_BUCKETS,
    registers: [],
  });
  reservationsSucceeded = 0;
  /** Refused. */
  reservationsFailed = 0;

  /** Of late, for people. */
  readonly commitsOfLate: Sketch;
  readonly loopDelaysOfLate: Sketch;
  readonly submissionCompleteSeconds: Sketch;
  readonly submissionFailSeconds: Sketch;
  readonly submissionCancelSeconds: Sketch;
  /** From a chunk's reservation to its completion or failure. */
  readonly chunkCompletedSeconds: Sketch;
  readonly chunkFailedSeconds: Sketch;
  /** How long the queue itself took for a message. */
  readonly completeSeconds: Sketch;
  readonly failSeconds: Sketch;

  readonly #clock: Clock;
  readonly #reserve = new Map<string, Map<number | string, ReserveSeries>>();
  #reserveSeriesTotal = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.commitsOfLate = new Sketch(clock);
    this.loopDelaysOfLate = new Sketch(clock);
    this.submissionCompleteSeconds = new Sketch(clock);
    this.submissionFailSeconds = new Sketch(clock);
    this.submissionCancelSeconds = new Sketch(clock);
    this.chunkCompletedSeconds = new Sketch(clock);
    this.chunkFailedSeconds = new Sketch(clock);
    this.completeSeconds = new Sketch(clock);
    this.failSeconds = new Sketch(clock);
  }

  note(event: QueueEvent, atMs: number): void {
    switch (event.kind) {
      case 'submission_inserted':
        this.submissionsTotal++;
        this.chunksTotal += event.record.chunksTotal;
        break;
      case 'submission_ended':
        this.#ended(event, atMs);
        break;
      case 'chunk_completed':
        this.chunksCompleted++;
        this.byQueue.of(event.queue).chunksCompleted++;
        if (event.tookMs !== null) this.chunkCompletedSeconds.observe(event.tookMs / 1000, atMs);
        break;
      case 'chunk_set_back':
        this.byQueue.of(event.submission.record.queue).setbacks[event.cause]++;
        if (event.isFatal && event.submission.record.failureMode === 'collect') this.chunksFailed++;
        if (event.cause !== 'failed') break;
        if (!event.isFatal) this.chunksRetried++;
        this.chunkFailedSeconds.observe(event.tookMs / 1000, atMs);
        break;
      case 'reservation_answered':
        this.reservationsSucceeded++;
        break;
      case 'reservation_refused':
        this.reservationsFailed++;
        break;
      case 'submission_retried':
        this.submissionsRetried++;
        break;
      case 'consumer_sick':
        this.byQueue.of(event.queue).consumersPaused++;
        break;
      case 'consumer_connected':
      case 'consumer_gone':
      case 'submission_changed':
      case 'submission_begun':
      case 'submissions_forgotten':
      case 'scope_changed':
        break;
      default:
        event satisfies never;
    }
  }

  /** How long a commit took that took place. */
  committed(seconds: number): void {
    this.commitSeconds.observe(seconds);
    this.commitsOfLate.observe(seconds, this.#clock.monotonicMs());
  }

  /** How much later than wanted a timer came. */
  loopDelayed(seconds: number): void {
    this.loopDelaySeconds.observe(seconds);
    this.loopDelaysOfLate.observe(seconds, this.#clock.monotonicMs());
  }

  /** How long the queue took to answer a reservation. */
  reserved(limit: number, strategy: Strategy, seconds: number, nowMs: number): void {
    this.#series(limit, strategyLabel(strategy)).durations.observe(seconds, nowMs);
  }

  *reserveSeries(): Generator<ReserveSeries> {
    for (const byLimit of this.#reserve.values()) yield* byLimit.values();
  }

  #ended(
    { record, end: { state }, chunksDone }: Extract<QueueEvent, { kind: 'submission_ended' }>,
    atMs: number,
  ): void {
    const seconds = Math.max(0, this.#clock.nowMs() - submissionIdTimeMs(record.id)) / 1000;
    switch (state) {
      case 'completed':
        this.submissionsCompleted++;
        if (record.chunksTotal > 0) this.submissionCompleteSeconds.observe(seconds, atMs);
        break;
      case 'completed_with_failures':
        this.submissionsIncomplete++;
        this.submissionCompleteSeconds.observe(seconds, atMs);
        break;
      case 'failed':
        this.submissionsFailed++;
        this.chunksFailed++;
        this.chunksSkipped += record.chunksTotal - chunksDone - 1;
        this.submissionFailSeconds.observe(seconds, atMs);
        break;
      case 'cancelled':
        this.submissionsCancelled++;
        this.submissionCancelSeconds.observe(seconds, atMs);
        break;
      default:
        state satisfies never;
    }
  }

  #series(limit: number | string, strategy: string): ReserveSeries {
    let byLimit = this.#reserve.get(strategy);
    const known = byLimit?.get(limit);
    if (known !== undefined) return known;
    if (this.#reserveSeriesTotal >= RESERVE_SERIES_MAX && limit !== OTHER) return this.#series(OTHER, OTHER);
    if (byLimit === undefined) {
      byLimit = new Map();
      this.#reserve.set(strategy, byLimit);
    }
    const series = { limit: String(limit), strategy, durations: new Sketch(this.#clock) };
    byLimit.set(limit, series);
    this.#reserveSeriesTotal++;
    return series;
  }
}

/**
 * As the reference writes it: `PreferDistinct { meta_key: "company_id", underlying: Oldest }`. Without the values of
 * selections: a thousand consumers, each with its own, are one series.
 */
export function strategyLabel(strategy: Strategy): string {
  const { wireName, fields } = STRATEGY_KINDS[strategy.kind];
  if (fields.length === 0) return wireName;
  return `${wireName} { ${fields.map((field) => fieldLabel(strategy, field)).join(', ')} }`;
}

function fieldLabel(strategy: Strategy, field: StrategyField): string {
  const value = fieldOf(strategy, field);
  if (isInnerField(field)) return `${field}: ${strategyLabel(value as Strategy)}`;
  if (field === 'values') return 'values: ..';
  return field === 'max' ? `max: ${value}` : `meta_key: ${JSON.stringify(value)}`;
}
