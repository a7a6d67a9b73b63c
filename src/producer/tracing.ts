import {
  type Context,
  context,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import { isError } from '../model/kinds.ts';
import { messageOf } from '../model/thrown.ts';
import { VERSION } from '../model/version.ts';

/** The spans of one submission, all below the context in which it was started. Costs nothing without an SDK. */
export class SubmissionTracing {
  readonly #tracer: Tracer;
  readonly #name: string | null;
  #context: Context;
  #span: Span | null = null;
  #submissionId: string | null = null;

  /** @param name of the span that covers the whole of it; null for none */
  constructor(name: string | null) {
    this.#tracer = trace.getTracer('opsqueue.producer', VERSION);
    this.#name = name;
    this.#context = context.active();
  }

  /** Begins the span of the whole, in the context in which this was made. */
  begin(): void {
    if (this.#name === null) return;
    this.#span = this.#tracer.startSpan(this.#name, { kind: SpanKind.PRODUCER }, this.#context);
    this.#context = trace.setSpan(this.#context, this.#span);
  }

  /** Headers that carry the context to the queue, and from there to the consumers. */
  headers(): Record<string, string> {
    const carrier: Record<string, string> = {};
    propagation.inject(this.#context, carrier);
    return carrier;
  }

  inserted(id: SubmissionId): void {
    this.#submissionId = String(id);
    this.#span?.setAttribute('submission_id', this.#submissionId);
  }

  /** A span around the transfer of one chunk. */
  async transfer<T>(
    name: 'upload_chunk' | 'download_chunk',
    chunkIndex: ChunkIndex,
    work: () => Promise<T>,
  ): Promise<T> {
    const span = this.#tracer.startSpan(name, { kind: SpanKind.CLIENT }, this.#context);
    if (!span.isRecording()) return work();
    span.setAttribute('chunk_index', chunkIndex);
    // During an upload there is none yet.
    if (this.#submissionId !== null) span.setAttribute('submission_id', this.#submissionId);
    try {
      return await context.with(trace.setSpan(this.#context, span), work);
    } catch (error) {
      fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  /** Ends the span of the whole. */
  end(error?: unknown): void {
    if (this.#span === null) return;
    if (error !== undefined) fail(this.#span, error);
    this.#span.end();
  }
}

function fail(span: Span, error: unknown): void {
  if (isError(error)) span.recordException(error);
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: messageOf(error),
  });
}
