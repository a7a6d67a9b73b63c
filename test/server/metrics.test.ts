import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { goldenText } from '../support/protocol/golden.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { faultyStore } from '../support/store/faulty-store.ts';

/** `name` -> type, and `name{labels}` -> value, of a text in Prometheus' format. */
function parse(text: string): { readonly types: Map<string, string>; readonly values: Map<string, number> } {
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type) types.set(type[1]!, type[2]!);
    const value = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line);
    if (value && !line.startsWith('#')) values.set(value[1]!, Number(value[2]));
  }
  return { types, values };
}

/** The names of a series' labels, whose order means nothing. */
const labelsOf = (series: string) =>
  [...series.matchAll(/([a-z]+)="/g)]
    .map((match) => match[1])
    .sort()
    .join(',');

async function metricsOf(queue: TestServer): Promise<ReturnType<typeof parse> & { readonly text: string }> {
  const answer = await queue.get('/metrics');
  assert.deepEqual(answer.headers[0], ['content-type', 'text/plain; charset=utf-8']);
  const text = answer.body.toString();
  return { text, ...parse(text) };
}

test('every metric of the original is there, under its name, with its type and labels', async () => {
  await using queue = await TestServer.start({ chunkRetriesMax: 1 });
  const consumer = await queue.consumer();
  const failing = await queue.insert('fails', 4);
  await consumer.reserved(2);
  consumer.fail({ submissionId: failing, chunkIndex: 0 });
  await queue.status(failing, '?wait_ms=10000');
  await queue.insert('open', 1);
  const { types, values } = await metricsOf(queue);
  const golden = parse(goldenText('metrics-sample.txt'));
  for (const [name, type] of golden.types) assert.equal(types.get(name), type, name);
  for (const name of goldenText('metrics-names.txt').split('\n').filter(Boolean)) {
    assert.ok(types.has(name), name);
  }
  const shapes = new Set([...values.keys()].map((series) => `${series.split('{')[0]}{${labelsOf(series)}}`));
  for (const series of golden.values.keys()) {
    const shape = `${series.split('{')[0]}{${labelsOf(series)}}`;
    assert.ok(shapes.has(shape), shape);
  }
});

test('metrics of the process have the usual names', async () => {
  await using queue = await TestServer.start();
  const { text, values } = await metricsOf(queue);
  assert.match(text, /^build_info\{version="\d+\.\d+\.\d+[^"]*",node_version="v\d[^"]*"\} 1$/m);
  const startedMs = values.get('process_start_time_seconds')! * 1000;
  assert.ok(Math.abs(performance.timeOrigin - startedMs) < 5_000, String(startedMs));
  if (process.platform === 'linux')
    assert.ok(values.get('process_open_fds')! <= values.get('process_max_fds')!);
});

test('returned chunks are counted by kind, waiting is reported by its age, commits and the event loop as histograms', async () => {
  await using queue = await TestServer.start({ chunkRetriesMax: 100, reservationExpirationMs: 50 });
  const first = await metricsOf(queue);
  assert.ok(first.values.has('store_size_bytes'));
  assert.equal(first.values.get('oldest_waiting_seconds{queue="-"}'), 0);
  const id = await queue.insert('waits', 2);
  const waiting = (await metricsOf(queue)).values.get('oldest_waiting_seconds{queue="-"}')!;
  assert.ok(waiting >= 0 && waiting < 60, String(waiting));
  const consumer = await queue.consumer();
  await consumer.reserved(1);
  consumer.fail({ submissionId: id, chunkIndex: 0 });
  await consumer.reserved(1);
  let { values } = await metricsOf(queue);
  while (values.get('chunks_setbacks_total{kind="expired",queue="-"}') === 0)
    ({ values } = await metricsOf(queue));
  assert.equal(values.get('chunks_setbacks_total{kind="failed",queue="-"}'), 1);
  assert.equal(values.get('chunks_retried_count'), 1);
  assert.equal(values.get('chunks_setbacks_total{kind="disconnected",queue="-"}'), 0);
  assert.ok(values.get('store_commit_seconds_count')! > 0);
  while (!values.get('event_loop_delay_seconds_count')) ({ values } = await metricsOf(queue));
});

test('the figures are those of what happened', async () => {
  await using queue = await TestServer.start({ chunkRetriesMax: 2 });
  const consumer = await queue.consumer();
  const completed = await queue.insert('completes', 2, { chunk_size: 10 });
  for (const { chunk } of await consumer.reserved(2)) consumer.complete(chunk);
  await queue.status(completed, '?wait_ms=10000');
  const failed = await queue.insert('fails', 4);
  for (let i = 0; i < 2; i++) {
    const [reserved] = await consumer.reserved(1);
    consumer.fail(reserved!.chunk);
  }
  await queue.status(failed, '?wait_ms=10000');
  const cancelled = await queue.insert('cancelled', 3);
  await queue.request(`POST /producer/submissions/cancel/${cancelled}`);
  await queue.insert('open', 5, { chunk_size: 7 });
  await consumer.reserved(2);
  consumer.reserve(0);
  await consumer.next('reserve_refused');
  const { values } = await metricsOf(queue);
  const expected = {
    submissions_total_count: 4,
    submissions_completed_count: 1,
    submissions_failed_count: 1,
    submissions_cancelled_count: 1,
    chunks_total_count: 14,
    chunks_completed_count: 2,
    chunks_failed_count: 1,
    chunks_retried_count: 1,
    chunks_skipped_count: 3,
    chunks_in_backlog_count: 5,
    operations_in_backlog_count: 35,
    reserver_chunks_reserved_count: 2,
    reserver_reservations_succeeded_count: 4,
    reserver_reservations_failed_count: 1,
    consumers_connected_count: 1,
    'submissions_in_backlog_count{queue="-"}': 1,
    store_healthy: 1,
    submissions_complete_duration_seconds_count: 1,
    submissions_fail_duration_seconds_count: 1,
    submissions_cancel_duration_seconds_count: 1,
    chunks_duration_completed_seconds_count: 2,
    chunks_duration_failure_seconds_count: 2,
    consumer_complete_chunk_duration_seconds_count: 2,
    consumer_fail_chunk_duration_seconds_count: 2,
    'consumer_fetch_and_reserve_chunks_duration_seconds_count{limit="2",strategy="Oldest"}': 2,
    'axum_http_requests_total{method="POST",status="200",endpoint="/producer/submissions"}': 4,
    'axum_http_requests_pending{method="POST",endpoint="/producer/submissions"}': 0,
    'axum_http_requests_total{method="GET",status="101",endpoint="/consumer"}': 1,
  };
  assert.deepEqual(
    Object.fromEntries(Object.keys(expected).map((name) => [name, values.get(name)])),
    expected,
  );
});

test('our further metrics tell what waits and what it takes', async () => {
  await using queue = await TestServer.start();
  const consumer = await queue.consumer();
  const id = await queue.insert('delayed', 1, { retry_delay_ms: 3_600_000 });
  await consumer.reserved();
  consumer.fail({ submissionId: id, chunkIndex: 0 });
  await consumer.control('pong');
  consumer.reserve();
  await consumer.control('pong');
  const { values } = await metricsOf(queue);
  assert.equal(values.get('chunks_delayed_count{queue="-"}'), 1);
  assert.equal(values.get('reserver_reservations_waiting_count{queue="-"}'), 1);
  assert.equal(values.get('consumers_sick_count{queue="-"}'), 0);
  assert.equal(values.get('consumers_paused_count{queue="-"}'), 0);
  for (const name of ['store_size_bytes', 'journal_pending_bytes']) assert.ok(values.get(name)! >= 0, name);
  assert.ok(values.get('process_resident_memory_bytes')! > 10_000_000);
});

test('series are bounded, whatever paths and reservations clients come with', async () => {
  await using queue = await TestServer.start();
  for (let i = 0; i < 60; i++) await queue.get(`/nope-${i}`);
  await queue.get(`/${'x'.repeat(5_000)}`);
  await queue.insert('many', 10_000);
  const consumer = await queue.consumer();
  for (let max = 1; max <= 130; max++) await consumer.reserved(max);
  const { values, text } = await metricsOf(queue);
  const counted = [...values.keys()].filter((series) => series.startsWith('axum_http_requests_total{'));
  assert.ok(counted.length < 50, String(counted.length));
  assert.ok(counted.some((series) => series.includes('endpoint="other"')));
  const reserved = [...values.keys()].filter((series) => /^consumer_fetch.*_count\{/.test(series));
  assert.equal(reserved.length, 101);
  assert.ok(text.length < 200_000);
});

test('metrics are told also while the store does not answer: then it has no size, rather than one of 0', async () => {
  const store = faultyStore(new MemoryStore(), (call) => (call === 'sizeBytes' ? 'hang' : 'none'));
  await using queue = await TestServer.start({ store });
  const { values, types } = await metricsOf(queue);
  assert.equal(types.get('store_size_bytes'), 'gauge');
  assert.equal(values.get('store_size_bytes'), undefined);
});
