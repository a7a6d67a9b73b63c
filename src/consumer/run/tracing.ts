import {
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { isError } from '../../model/kinds.ts';
import { EMPTY_TRACE_CARRIER } from '../../model/submission.ts';
import { messageOf } from '../../model/thrown.ts';
import { VERSION } from '../../model/version.ts';
import type { TransferTimes } from '../thread/protocol.ts';
import type { ChunkJob } from './job.ts';

const CARRIERS_MAX = 256;

/** The span of one chunk, from the start of its callback until the queue was told. */
export interface ChunkSpan {
  /** Whether an upload would be recorded. */
  readonly isRecorded: boolean;
  /** Calls it with the span as the active one. */
  run<T>(callback: () => T): T;
  /** The callback is through. */
  computed(error: unknown): void;
  /** The result is uploaded, or there was nothing to upload. */
  uploaded(times: TransferTimes | null): void;
}

/** Of a chunk that could not be traced. */
const NO_SPAN: ChunkSpan = { isRecorded: false, run: (callback) => callback(), computed() {}, uploaded() {} };

/**
 * Traces chunks as the original opsqueue does: a span `run_chunk` below the producer's, which the queue carried, with
 * the producer's baggage as attributes; and spans `download_chunk` and `upload_chunk`. Without an OpenTelemetry SDK all
 * of it comes to nothing. The SDK is the user's: what it throws is a trace less, and decides nothing about the chunk.
 */
export class RunTracing {
  readonly #tracer = trace.getTracer('opsqueue.consumer', VERSION);
  readonly #contexts = new Map<string, Context>();

  chunk(job: ChunkJob): ChunkSpan {
    try {
      return this.#start(job);
    } catch {
      return NO_SPAN;
    }
  }

  #start(job: ChunkJob): ChunkSpan {
    const parent = this.#contextOf(job.held.submission.otelTraceCarrier);
    const attributes = { submission_id: job.submissionId, chunk_index: job.chunkIndex };
    const { download } = job.held;
    if (download !== null) {
      this.#tracer
        .startSpan(
          'download_chunk',
          { attributes, startTime: download.startMs, kind: SpanKind.CLIENT },
          parent,
        )
        .end(download.endMs);
    }
    const baggage = propagation.getBaggage(parent)?.getAllEntries() ?? [];
    const all = { ...attributes, ...Object.fromEntries(baggage.map(([key, entry]) => [key, entry.value])) };
    const span = this.#tracer.startSpan('run_chunk', { attributes: all, kind: SpanKind.CONSUMER }, parent);
    const inner = trace.setSpan(parent, span);
    return {
      isRecorded: span.isRecording(),
      run: (callback) => context.with(inner, callback),
      computed: (error) => quietly(() => endComputed(span, error)),
      uploaded: (times) => {
        if (times === null) return;
        quietly(() =>
          this.#tracer
            .startSpan('upload_chunk', { attributes, startTime: times.startMs, kind: SpanKind.CLIENT }, inner)
            .end(times.endMs),
        );
      },
    };
  }

  /** All chunks of a submission have the same one. */
  #contextOf(carrier: string): Context {
    if (carrier === EMPTY_TRACE_CARRIER || carrier === '') return ROOT_CONTEXT;
    const known = this.#contexts.get(carrier);
    if (known !== undefined) return known;
    const extracted = extract(carrier);
    if (this.#contexts.size >= CARRIERS_MAX) this.#contexts.clear();
    this.#contexts.set(carrier, extracted);
    return extracted;
  }
}

function quietly(record: () => void): void {
  try {
    record();
  } catch {
    // A trace less.
  }
}

function endComputed(span: Span, error: unknown): void {
  if (error !== null) {
    const message = messageOf(error);
    span.recordException(isError(error) ? error : message);
    span.setStatus({ code: SpanStatusCode.ERROR, message });
  }
  span.end();
}

function extract(carrier: string): Context {
  let fields: unknown;
  try {
    fields = JSON.parse(carrier);
  } catch {
    // Whatever another producer wrote there: no trace is no reason not to work.
    return ROOT_CONTEXT;
  }
  if (typeof fields !== 'object' || fields === null) return ROOT_CONTEXT;
  return propagation.extract(ROOT_CONTEXT, fields);
}
