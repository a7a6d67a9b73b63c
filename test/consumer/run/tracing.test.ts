// In a process of its own: its tracer is that of the process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { context, propagation, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { fakeChunk, fakeSubmission } from '../../support/fakes/fake-queue.ts';
import { cbor, quietly, Scene } from '../../support/peers/consumer-scene.ts';
import { eventually } from '../../support/time/eventually.ts';

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(
  new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
);

/** What a producer within a span and with baggage gives the queue. */
function producerTrace() {
  const span = trace.getTracer('test').startSpan('run_submission', {}, ROOT_CONTEXT);
  const baggage = propagation.createBaggage({ customer: { value: 'acme' } });
  const carrier: Record<string, string> = {};
  propagation.inject(propagation.setBaggage(trace.setSpan(ROOT_CONTEXT, span), baggage), carrier);
  span.end();
  return { span, otelTraceCarrier: JSON.stringify(carrier) };
}

const spansNamed = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);

test("the chunk's span is the child of the producer's, carries its baggage, and is active in the callback", async () => {
  exporter.reset();
  await using scene = await Scene.open();
  const active: (string | undefined)[] = [];
  void quietly(
    scene.consumer.runEachOp(async (op: number) => {
      active.push(trace.getActiveSpan()?.spanContext().spanId);
      await null;
      active.push(trace.getActiveSpan()?.spanContext().spanId);
      return op;
    }),
  );
  const { span, otelTraceCarrier } = producerTrace();
  const submission = fakeSubmission({ otelTraceCarrier });
  await scene.objects.putInput(submission.prefix ?? '', 4, cbor.encode([1]));
  const connection = await scene.serve(fakeChunk(submission, 4));
  await connection.until('complete');
  await eventually(() => spansNamed('upload_chunk').length === 1);

  const [run] = spansNamed('run_chunk');
  assert.ok(run);
  assert.equal(run.parentSpanContext?.spanId, span.spanContext().spanId);
  assert.equal(run.spanContext().traceId, span.spanContext().traceId);
  assert.deepEqual(
    [run.attributes.submission_id, run.attributes.chunk_index, run.attributes.customer],
    [String(submission.id), 4, 'acme'],
  );
  assert.deepEqual(active, [run.spanContext().spanId, run.spanContext().spanId]);
  const [download] = spansNamed('download_chunk');
  const [upload] = spansNamed('upload_chunk');
  assert.equal(download?.parentSpanContext?.spanId, span.spanContext().spanId);
  assert.equal(upload?.parentSpanContext?.spanId, run.spanContext().spanId);
});

test('a failed chunk is an error of its span', async () => {
  exporter.reset();
  await using scene = await Scene.open();
  void quietly(
    scene.consumer.runEachOp(() => {
      throw new Error('broken');
    }),
  );
  const connection = await scene.serve(await scene.chunk(0, [1]));
  await connection.until('fail');
  const [run] = spansNamed('run_chunk');
  assert.equal(run?.status.code, SpanStatusCode.ERROR);
  assert.equal(run?.events[0]?.name, 'exception');
});

test('a carrier that makes no sense is no reason not to work', async () => {
  for (const otelTraceCarrier of [
    '',
    'no json',
    '[]',
    'null',
    '{"traceparent":"nonsense"}',
    '{"traceparent":5}',
  ]) {
    exporter.reset();
    await using scene = await Scene.open();
    void quietly(scene.consumer.runEachOp((op) => op));
    const submission = fakeSubmission({ otelTraceCarrier });
    await scene.objects.putInput(submission.prefix ?? '', 0, cbor.encode([1]));
    const connection = await scene.serve(fakeChunk(submission, 0));
    await connection.until('complete');
    assert.equal(spansNamed('run_chunk')[0]?.parentSpanContext, undefined);
  }
});

test('a tracer that throws decides nothing about a chunk', async (t) => {
  for (const method of ['onStart', 'onEnd'] as const) {
    await using scene = await Scene.open();
    t.mock.method(SimpleSpanProcessor.prototype, method, () => {
      throw new Error('no traces today');
    });
    void quietly(
      scene.consumer.runEachOp((op: number) => {
        if (op === 1) throw new Error('not this one');
        return op;
      }),
    );
    const connection = await scene.serve(await scene.chunk(0, [1]), await scene.chunk(1, [2]));
    assert.match((await connection.until('fail')).failure, /not this one/);
    await connection.until('complete');
    t.mock.restoreAll();
  }
});
