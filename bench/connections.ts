/**
 * What thousands of clients that come and go leave behind, in their process and in the queue: nothing.
 *
 *     npm run bench -- connections [--quick] [--json]
 *
 * Each consumer connects (from a thread of its own, as always), works on one chunk, and stops; each producer submits,
 * reads its result and closes. Heaps are measured after garbage collections. It fails if a handle, a thread or a
 * descriptor is left, or if the last thousand clients made the heap grow by more than a megabyte.
 */
import { readdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { ConsumerClient } from '../src/consumer/index.ts';
import { ProducerClient } from '../src/producer/index.ts';
import { benchArguments } from './support/arguments.ts';
import { MB, type Row, report } from './support/report.ts';
import { residentBytes, startOurs } from './support/server-process.ts';

const AT_ONCE = 4;
const STEPS = 6;

const { json, quick } = benchArguments();
const clients = quick ? 600 : 3_000;
// Submissions that have ended are remembered; not for long here, or they would look like a leak.
// And its heap is small, or garbage that nobody collects yet would.
const server = await startOurs({
  flags: ['--max-submission-age', '1s'],
  nodeFlags: ['--max-old-space-size=48', '--max-semi-space-size=2'],
});
const url = `127.0.0.1:${server.port}`;
const objects = 'memory:///connections';
const rows: Row[] = [];

/** The first rounds compile, fill pools and caches: they are the warm-up. */
async function measure(what: string, each: () => Promise<void>): Promise<void> {
  const heaps: number[] = [];
  await times(clients / 10, each);
  const before = await state(what, 0);
  for (let step = 1; step <= STEPS; step++) {
    await times(clients / STEPS, each);
    const after = await state(what, (clients * step) / STEPS);
    heaps.push(after.heapMb);
    rows.push(after.row);
    for (const kind of ['handles', 'descriptors', 'queueDescriptors'] as const) {
      if (after[kind] > before[kind])
        throw new Error(`${after[kind]} ${kind} after ${what}: ${before[kind]} before`);
    }
  }
  const growth = heaps.at(-1)! - heaps.at(-3)!;
  if (growth > 1) throw new Error(`the heap grew by ${growth.toFixed(1)} MB over the last third of ${what}`);
}

async function times(count: number, each: () => Promise<void>): Promise<void> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await each();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function state(what: string, count: number) {
  // The queue notices the end of a connection a moment later.
  for (let settled = 0; settled < 50; settled++) await setImmediate();
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (let i = 0; i < 3; i++) {
    await setImmediate();
    globalThis.gc?.();
  }
  const heapMb = process.memoryUsage().heapUsed / MB;
  const handles = process.getActiveResourcesInfo().length;
  const descriptors = readdirSync('/proc/self/fd').length;
  const threads = readdirSync('/proc/self/task').length;
  const queueDescriptors = readdirSync(`/proc/${server.pid}/fd`).length;
  const row: Row = {
    clients: what,
    'so far': count,
    'heap MB': heapMb,
    'RSS MB': residentBytes(process.pid) / MB,
    handles,
    threads,
    descriptors,
    'queue RSS MB': server.residentBytes()! / MB,
    'queue descriptors': queueDescriptors,
  };
  if (count === 0) rows.push(row);
  return { heapMb, handles, descriptors: descriptors + threads, queueDescriptors, row };
}

const feeder = new ProducerClient(url, objects);
await measure('consumers', async () => {
  const consumer = new ConsumerClient(url, objects);
  const begun = Promise.withResolvers<void>();
  const over = consumer.runEachOp((op) => {
    begun.resolve();
    return op;
  });
  const id = await feeder.insertSubmission(['one'], { chunkSize: 1 });
  await begun.promise;
  await consumer.stop();
  await over;
  await feeder.submission(id).done();
  await feeder.submission(id).delete();
});
const worker = new ConsumerClient(url, objects);
const over = worker.runEachOp((op) => op);
await measure('producers', async () => {
  const producer = new ProducerClient(url, objects);
  const results = producer.runSubmission(['one'], { chunkSize: 1, cleanup: 'after-results' });
  for await (const result of results) if (result !== 'one') throw new Error(`the result is ${result}`);
  await producer.close();
});
await worker.stop();
await over;
await feeder.close();
await server.stop();
report('Clients that come and go', rows, json);
