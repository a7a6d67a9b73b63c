import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../../system/time/clock.ts';

/** Combinations of method, status and endpoint that have a series of their own; unknown paths come from any caller. */
const SERIES_MAX = 200;
/** Unknown paths that have a series of their own. */
const UNKNOWN_PATHS_MAX = 30;
const PATH_LENGTH_MAX = 60;
const OTHER = 'other';

interface Endpoint {
  readonly method: string;
  readonly endpoint: string;
  readonly pending: { inc(): void; dec(): void };
  readonly byStatus: Map<number, Finished>;
}

interface Finished {
  readonly total: { inc(): void };
  readonly seconds: { observe(value: number): void };
}

/** Counts and times requests, under the names of the original. Labels are bound once for each series. */
export class HttpMetrics {
  readonly #clock: Clock;
  readonly #total: Counter<'method' | 'status' | 'endpoint'>;
  readonly #pending: Gauge<'method' | 'endpoint'>;
  readonly #seconds: Histogram<'method' | 'status' | 'endpoint'>;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #unknownPaths = new Set<string>();
  #seriesTotal = 0;

  constructor(registry: Registry, clock: Clock) {
    this.#clock = clock;
    const registers = [registry];
    const labelNames = ['method', 'status', 'endpoint'] as const;
    this.#total = new Counter({
      name: 'axum_http_requests_total',
      help: 'Requests answered (named after the HTTP library of the original opsqueue)',
      labelNames,
      registers,
    });
    this.#pending = new Gauge({
      name: 'axum_http_requests_pending',
      help: 'Requests not answered yet',
      labelNames: ['method', 'endpoint'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'axum_http_requests_duration_seconds',
      help: 'Time from a request to its answer',
      labelNames,
      registers,
    });
  }

  /** A request has come. Gives what is to be called when it is answered. */
  begin(method: string, endpoint: string): (status: number) => void {
    const series = this.#endpoint(method, endpoint);
    const startedMs = this.#clock.monotonicMs();
    series.pending.inc();
    return (status) => {
      series.pending.dec();
      const finished = this.#finished(series, status);
      finished.total.inc();
      finished.seconds.observe((this.#clock.monotonicMs() - startedMs) / 1000);
    };
  }

  /** The label of a path that is no endpoint: the path itself, as long as there are not too many. */
  unknownPath(path: string): string {
    if (path.length > PATH_LENGTH_MAX) return OTHER;
    if (!this.#unknownPaths.has(path)) {
      if (this.#unknownPaths.size >= UNKNOWN_PATHS_MAX) return OTHER;
      this.#unknownPaths.add(path);
    }
    return path;
  }

  #endpoint(method: string, endpoint: string): Endpoint {
    const key = `${method} ${endpoint}`;
    const known = this.#endpoints.get(key);
    if (known !== undefined) return known;
    if (this.#endpoints.size >= SERIES_MAX && endpoint !== OTHER) return this.#endpoint(OTHER, OTHER);
    const pending = this.#pending.labels({ method, endpoint });
    const series: Endpoint = { method, endpoint, pending, byStatus: new Map() };
    this.#endpoints.set(key, series);
    return series;
  }

  #finished(series: Endpoint, status: number): Finished {
    const known = series.byStatus.get(status);
    if (known !== undefined) return known;
    const isFull = this.#seriesTotal >= SERIES_MAX;
    const { method, endpoint } = isFull ? { method: OTHER, endpoint: OTHER } : series;
    const labels = { method, status: String(status), endpoint };
    const finished = { total: this.#total.labels(labels), seconds: this.#seconds.labels(labels) };
    series.byStatus.set(status, finished);
    this.#seriesTotal++;
    return finished;
  }
}
