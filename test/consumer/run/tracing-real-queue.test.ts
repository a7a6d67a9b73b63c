// In a process of its own: its tracer is that of the process.
/** One trace from the producer through the real queue into the consumer's callback, with the real SDK. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { realQueue } from '../../support/queues/real-queue.ts';

const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(
  new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
);

test('the context of the producer arrives in the callback, across the queue', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const seen: { readonly spanId: string | undefined; readonly tenant: string | undefined }[] = [];
  const over = consumer.runEachOp((op: number) => {
    seen.push({
      spanId: trace.getActiveSpan()?.spanContext().spanId,
      tenant: propagation.getActiveBaggage()?.getEntry('tenant')?.value,
    });
    return op + 1;
  });
  const caller = trace.getTracer('test').startSpan('caller');
  const baggage = propagation.createBaggage({ tenant: { value: 'seven' } });
  const active = propagation.setBaggage(trace.setSpan(context.active(), caller), baggage);
  const results = await context.with(active, () =>
    Array.fromAsync(queue.producer.runSubmission([1, 2, 3], { chunkSize: 2 })),
  );
  caller.end();
  await consumer.stop();
  await over;
  assert.deepEqual(results, [2, 3, 4]);

  const spans = exporter.getFinishedSpans();
  const named = (name: string) => spans.filter((span) => span.name === name);
  const parents = (name: string) => new Set(named(name).map((span) => span.parentSpanContext?.spanId));
  const idsOf = (name: string) => new Set(named(name).map((span) => span.spanContext().spanId));
  assert.equal(new Set(spans.map((span) => span.spanContext().traceId)).size, 1);
  assert.deepEqual(parents('run_submission'), new Set([caller.spanContext().spanId]));
  const chunks = named('run_chunk');
  assert.deepEqual(chunks.map(({ attributes }) => attributes.chunk_index).sort(), [0, 1]);
  assert.deepEqual(parents('run_chunk'), idsOf('run_submission'));
  // The producer's uploads and downloads, and the consumer's of each chunk.
  assert.deepEqual([named('upload_chunk').length, named('download_chunk').length], [4, 4]);
  assert.deepEqual(
    seen.map(({ tenant }) => tenant),
    ['seven', 'seven', 'seven'],
  );
  assert.deepEqual(new Set(seen.map(({ spanId }) => spanId)), idsOf('run_chunk'));
});
