import { Gauge, Registry, Summary } from 'prom-client';
import type { Queue } from '../../queue/queue.ts';
import type { Sketch } from '../../queue/stats/sketch.ts';
import type { QueueStats } from '../../queue/stats/stats.ts';
import type { Store } from '../../store/store.ts';
import type { Clock } from '../../system/time/clock.ts';
import { HttpMetrics } from './http.ts';
import { type NodeMetricsOptions, registerNode } from './node.ts';
import { registerQueues } from './queues.ts';
import { addCounter, addGauge } from './register.ts';

export interface MetricsOptions {
  readonly queue: Queue;
  readonly store: Store;
  readonly clock: Clock;
  readonly node: NodeMetricsOptions;
}

/** Those of the original. */
const QUANTILES = [0, 0.5, 0.9, 0.95, 0.99, 0.999, 1];

/** Prometheus metrics: names, types and labels are those of the original, and some of ours. */
export class Metrics {
  readonly http: HttpMetrics;
  readonly #registry = new Registry();
  readonly #storeGauges: readonly StoreGauge[];

  constructor({ queue, store, clock, node }: MetricsOptions) {
    this.http = new HttpMetrics(this.#registry, clock);
    registerCounters(this.#registry, queue.stats);
    registerGauges(this.#registry, queue);
    this.#storeGauges = storeGauges(this.#registry, store);
    registerSummaries(this.#registry, queue.stats);
    registerQueues(this.#registry, queue, clock);
    this.#registry.registerMetric(queue.stats.commitSeconds);
    this.#registry.registerMetric(queue.stats.loopDelaySeconds);
    registerNode(this.#registry, node);
  }

  /** Learns how large the store is; the gauges report nothing before. */
  async lookAtStore(): Promise<void> {
    await Promise.all(this.#storeGauges.map((gauge) => gauge.look()));
  }

  /** The whole, in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function registerCounters(registry: Registry, stats: QueueStats): void {
  const counter = (name: string, help: string, value: () => number) =>
    addCounter(registry, name, help, value);
  counter(
    'submissions_total_count',
    'Total count of submissions (in backlog + completed + failed), i.e. total that ever entered the system',
    () => stats.submissionsTotal,
  );
  counter(
    'submissions_completed_count',
    'Number of submissions completed successfully',
    () => stats.submissionsCompleted,
  );
  counter(
    'submissions_failed_count',
    'Number of submissions failed permanently',
    () => stats.submissionsFailed,
  );
  counter(
    'submissions_completed_with_failures_count',
    'Number of submissions that ended with chunks set aside',
    () => stats.submissionsIncomplete,
  );
  counter(
    'submissions_retried_count',
    'Number of times that a submission which had failed, or completed with failures, was opened again',
    () => stats.submissionsRetried,
  );
  counter(
    'submissions_cancelled_count',
    'Number of submissions cancelled (client-requested cancellation, not failure) permanently',
    () => stats.submissionsCancelled,
  );
  counter(
    'chunks_total_count',
    'Total count of chunks (in backlog + completed + failed), i.e. total that ever entered the system',
    () => stats.chunksTotal,
  );
  counter('chunks_completed_count', 'Number of chunks completed', () => stats.chunksCompleted);
  counter(
    'chunks_failed_count',
    'Number of chunks failed permanently (retries exhausted). Does not include skipped chunks',
    () => stats.chunksFailed,
  );
  counter(
    'chunks_retried_count',
    'Number of chunks that failed temporarily and will be retried',
    () => stats.chunksRetried,
  );
  counter(
    'chunks_skipped_count',
    'Number of chunks skipped (because another chunk in the submission failed)',
    () => stats.chunksSkipped,
  );
  counter(
    'reserver_reservations_succeeded_count',
    'Number of reservations answered with chunks',
    () => stats.reservationsSucceeded,
  );
  counter(
    'reserver_reservations_failed_count',
    'Number of reservations refused',
    () => stats.reservationsFailed,
  );
}

function registerGauges(registry: Registry, queue: Queue): void {
  const gauge = (name: string, help: string, value: () => number) => addGauge(registry, name, help, value);
  gauge(
    'chunks_in_backlog_count',
    'Number of chunks in the backlog. Note that this is a _gauge_ reflecting the accurate state of the DB',
    () => queue.counts.chunksInBacklog,
  );
  gauge(
    'operations_in_backlog_count',
    'Slight overestimation of the number of operations in the backlog (chunk_size * chunk_count for each submission). For simplicity, we always consider the last chunk full.',
    () => queue.counts.operationsInBacklog,
  );
  gauge(
    'consumers_connected_count',
    'Number of healthy websocket connections between the system and consumers',
    () => queue.counts.consumers,
  );
  gauge(
    'reserver_chunks_reserved_count',
    'Number of chunks currently reserved by the reserver, i.e. being worked on by the consumers',
    () => queue.counts.chunksReserved,
  );
  gauge(
    'queues_paused_count',
    'Number of queues that are paused as such; the whole server counts as one more',
    () => queue.scopesPaused,
  );
  gauge('store_healthy', '1 if the store takes what it is given, else 0', () => (queue.isHealthy ? 1 : 0));
  gauge('journal_pending_bytes', 'Bytes that wait for their commit', () => queue.journalHealth.bytesPending);
}

/**
 * What was found when the store was asked last, and nothing before that: metrics must be told also while it does not
 * answer.
 */
class StoreGauge {
  readonly #ask: () => Promise<number>;
  #bytes: number | null = null;

  constructor(registry: Registry, name: string, help: string, ask: () => Promise<number>) {
    this.#ask = ask;
    const bytes = () => this.#bytes;
    const look = () => this.look();
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const known = bytes();
        if (known === null) this.remove();
        else this.set(known);
        void look();
      },
    });
  }

  async look(): Promise<void> {
    try {
      this.#bytes = await this.#ask();
    } catch {
      // It is as it was, as far as is known.
    }
  }
}

function storeGauges(registry: Registry, store: Store): StoreGauge[] {
  return [
    new StoreGauge(registry, 'store_size_bytes', 'Bytes that the store takes, as of the last look', () =>
      store.sizeBytes(),
    ),
    new StoreGauge(
      registry,
      'store_wal_bytes',
      "Bytes of the database's write-ahead log, as of the last look",
      () => store.maintenance?.walBytes() ?? Promise.resolve(0),
    ),
  ];
}

function registerSummaries(registry: Registry, stats: QueueStats): void {
  const summary = (name: string, help: string, sketch: Sketch) =>
    registry.registerMetric(new SketchSummary(name, help, () => [{ labels: {}, sketch }]));
  summary(
    'submissions_complete_duration_seconds',
    'Time between a submission entering the system and its final chunk being completed. Does not count failed submissions.',
    stats.submissionCompleteSeconds,
  );
  summary(
    'submissions_fail_duration_seconds',
    'Time between a submission entering the system and its first chunk being failed.',
    stats.submissionFailSeconds,
  );
  summary(
    'submissions_cancel_duration_seconds',
    'Time between a submission entering the system and it being cancelled (client-requested cancellation, not failure).',
    stats.submissionCancelSeconds,
  );
  summary(
    'chunks_duration_completed_seconds',
    "How long it took from the moment a chunk was reserved until 'complete_chunk' was called, as measured from Opsqueue (so including network overhead and reading/writing to the object_store to get the chunk data)",
    stats.chunkCompletedSeconds,
  );
  summary(
    'chunks_duration_failure_seconds',
    "How long it took from the moment a chunk was reserved until 'fail_chunk' was called, as measured from Opsqueue (so including network overhead and reading/writing to the object_store to get the chunk data). Includes chunks that are retried.",
    stats.chunkFailedSeconds,
  );
  summary(
    'consumer_complete_chunk_duration_seconds',
    'Time spent by Opsqueue to mark a given chunk as completed',
    stats.completeSeconds,
  );
  summary(
    'consumer_fail_chunk_duration_seconds',
    'Time spent by Opsqueue to mark a given chunk as failed',
    stats.failSeconds,
  );
  registry.registerMetric(
    new SketchSummary(
      'consumer_fetch_and_reserve_chunks_duration_seconds',
      'Time spent by Opsqueue to reserve `limit` chunks for a consumer using strategy `strategy`',
      () =>
        Array.from(stats.reserveSeries(), ({ limit, strategy, durations }) => ({
          labels: { limit, strategy },
          sketch: durations,
        })),
    ),
  );
}

interface LabelledSketch {
  readonly labels: Readonly<Record<string, string>>;
  readonly sketch: Sketch;
}

/** A summary whose observations are kept in {@link Sketch}es. */
class SketchSummary extends Summary {
  readonly #name: string;
  readonly #help: string;
  readonly #sketches: () => readonly LabelledSketch[];

  constructor(name: string, help: string, sketches: () => readonly LabelledSketch[]) {
    super({ name, help, registers: [] });
    this.#name = name;
    this.#help = help;
    this.#sketches = sketches;
  }

  override async get(): ReturnType<Summary['get']> {
    const values = this.#sketches().flatMap(({ labels, sketch }) => [
      ...QUANTILES.map((quantile) => ({
        metricName: this.#name,
        labels: { ...labels, quantile },
        value: sketch.quantile(quantile),
      })),
      { metricName: `${this.#name}_sum`, labels, value: sketch.sum },
      { metricName: `${this.#name}_count`, labels, value: sketch.count },
    ]);
    const summary = await super.get();
    return { ...summary, name: this.#name, help: this.#help, values };
  }
}
