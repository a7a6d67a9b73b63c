// In a process of its own: its tracer is that of the process.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { ProducerClient } from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workEverything } from '../support/fakes/fake-queue-worker.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const contexts = new AsyncLocalStorageContextManager().enable();
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(contexts);
propagation.setGlobalPropagator(
  new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
);
after(() => provider.shutdown());

function inSpan<T>(work: () => T): { readonly result: T; readonly traceId: string; readonly spanId: string } {
  const span = trace.getTracer('test').startSpan('caller');
  const baggage = propagation.createBaggage({ tenant: { value: 'seven' } });
  const inner = propagation.setBaggage(trace.setSpan(context.active(), span), baggage);
  const result = context.with(inner, work);
  span.end();
  return { result, ...span.spanContext() };
}

test('a run is a span below the caller, its transfers are spans below it, and the queue gets its context', async () => {
  exporter.reset();
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
  await using producer = new ProducerClient(queue.url, store);
  // The context is the one of the call, not the one in which somebody reads.
  const { result, traceId, spanId } = inSpan(() => producer.runSubmission([1, 2, 3], { chunkSize: 2 }));
  assert.equal(exporter.getFinishedSpans().length, 1);
  await Array.fromAsync(result);
  const spans = exporter.getFinishedSpans();
  const run = spans.find(({ name }) => name === 'run_submission')!;
  assert.equal(run.spanContext().traceId, traceId);
  assert.equal(run.parentSpanContext?.spanId, spanId);
  assert.equal(run.kind, SpanKind.PRODUCER);
  const id = String(queue.only().record.id);
  assert.equal(run.attributes.submission_id, id);
  for (const name of ['upload_chunk', 'download_chunk']) {
    const transfers = spans.filter((span) => span.name === name);
    assert.deepEqual(transfers.map(({ attributes }) => attributes.chunk_index).sort(), [0, 1]);
    for (const { parentSpanContext } of transfers) {
      assert.equal(parentSpanContext?.spanId, run.spanContext().spanId);
    }
  }
  const { headers } = queue.only();
  assert.equal(headers.traceparent, `00-${traceId}-${run.spanContext().spanId}-01`);
  assert.equal(headers.baggage, 'tenant=seven');
});

test('an insert carries the context of its caller', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const { result, traceId, spanId } = inSpan(() => producer.insertSubmission([1], { chunkSize: 1 }));
  await result;
  assert.equal(queue.only().headers.traceparent, `00-${traceId}-${spanId}-01`);
});

test('a run that fails, and one that is left early, end their spans', async () => {
  exporter.reset();
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
  await using producer = new ProducerClient(queue.url, store);
  const broken = (function* () {
    yield 1;
    throw new Error('the source is broken');
  })();
  await assert.rejects(Array.fromAsync(producer.runSubmission(broken, { chunkSize: 1 })));
  for await (const _ of producer.runSubmission([1, 2], { chunkSize: 1 })) break;
  const runs = exporter.getFinishedSpans().filter(({ name }) => name === 'run_submission');
  assert.deepEqual(
    runs.map(({ status }) => status.code),
    [SpanStatusCode.ERROR, SpanStatusCode.UNSET],
  );
  assert.equal(runs[0]!.events[0]?.attributes?.['exception.message'], 'the source is broken');
});
