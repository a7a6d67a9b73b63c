/** Long polls behind something that ends requests which take too long for it. The clock leaps; nobody waits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerClient, QueueRefusedError, QueueUnreachableError } from '../../../src/producer/index.ts';
import { withParts } from '../../../src/system/parts.ts';
import { type Clock, systemClock } from '../../../src/system/time/clock.ts';
import { ALL_FEATURES, FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import type { Reply } from '../../support/fakes/scripted-http.ts';

/** A clock that a test moves on, besides going by itself. */
function leapingClock(): Clock & { leap(ms: number): void } {
  let leaptMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + leaptMs,
    leap(ms) {
      leaptMs += ms;
    },
  };
}

const ANNOUNCED = { 'opsqueue-features': ALL_FEATURES.join(',') };
const waitOf = (path: string) => Number(/wait_ms=([0-9]+)/.exec(path)?.[1] ?? 0);

/**
 * A submission that nobody works on until the queue was polled `polls` times, behind a proxy that ends each request after
 * `limitMs` in its way.
 */
async function proxied(limitMs: number, end: Reply, polls: number) {
  const clock = leapingClock();
  const waits: number[] = [];
  const queue = await FakeQueue.start({
    fault({ path }) {
      const waitMs = waitOf(path);
      if (waitMs === 0) return null;
      waits.push(waitMs);
      if (waits.length >= polls) queue.complete(queue.only(), 0);
      // The fake would hold it in real time.
      clock.leap(Math.min(waitMs, limitMs));
      if (waitMs > limitMs) return end;
      return waits.length >= polls ? null : { status: 200, body: inProgress(path), headers: ANNOUNCED };
    },
  });
  const inProgress = (path: string) =>
    path.includes('chunks_done')
      ? '{"state":"in_progress","chunks_total":1,"chunks_done":0,"pages":[],"next_page":null}'
      : `{"InProgress":{"id":${queue.only().record.id},"prefix":null,"chunks_total":1,"chunks_done":0,"chunk_size":1}}`;
  const producer = new ProducerClient(queue.url, null, withParts({ retryForMs: 15_000 }, { clock }));
  return {
    producer,
    waits,
    async [Symbol.asyncDispose]() {
      await producer.close();
      await queue[Symbol.asyncDispose]();
    },
  };
}

const ENDS: readonly (readonly [string, Reply])[] = [
  ['a 504', { status: 504, body: 'too late' }],
  ['a 502', { status: 502, body: 'upstream closed' }],
  ['a 408', { status: 408 }],
  ['a cut connection', 'cut'],
];

for (const [name, end] of ENDS) {
  for (const onProgress of [undefined, () => {}]) {
    const how = onProgress === undefined ? 'status' : 'progress';
    test(`a proxy that ends polls with ${name} after 10 s: the ${how} is waited for all the same, by shorter polls`, async () => {
      await using scene = await proxied(10_000, end, 5);
      const id = await scene.producer.insertSubmission([1], { in: 'queue', chunkSize: 1 });
      const status = await scene.producer.submission(id).done({ onProgress });
      assert.equal(status.state, 'completed');
      const [first, ...rest] = scene.waits;
      assert.equal(first, 20_000);
      // A connection that was cut once may be the queue's restart.
      const shorter = end === 'cut' ? rest.slice(1) : rest;
      for (const waitMs of shorter) assert.ok(waitMs > 4_000 && waitMs < 6_000, `${scene.waits}`);
    });
  }
}

test('a proxy with a limit of two seconds, then one of 30, which never notices', async () => {
  await using strict = await proxied(2_000, { status: 504 }, 4);
  const one = await strict.producer.insertSubmission([1], { in: 'queue', chunkSize: 1 });
  assert.equal((await strict.producer.submission(one).done()).state, 'completed');
  assert.ok(strict.waits.slice(1).every((waitMs) => waitMs < 1_100));
  await using usual = await proxied(30_000, { status: 504 }, 4);
  const other = await usual.producer.insertSubmission([1], { in: 'queue', chunkSize: 1 });
  assert.equal((await usual.producer.submission(other).done()).state, 'completed');
  assert.deepEqual(usual.waits, [20_000, 20_000, 20_000, 20_000]);
});

test('a proxy that gives up on the queue, at once or after it had to answer, is a failure as any other', async () => {
  for (const tookMs of [0, 25_000]) {
    for (const [, end] of ENDS) {
      const clock = leapingClock();
      await using queue = await FakeQueue.start({
        fault({ path }) {
          if (waitOf(path) === 0) return null;
          clock.leap(tookMs);
          return end;
        },
      });
      await using producer = new ProducerClient(queue.url, null, withParts({ retryForMs: 0 }, { clock }));
      const id = await producer.insertSubmission([1], { in: 'queue', chunkSize: 1 });
      const kind = end === 'cut' ? QueueUnreachableError : QueueRefusedError;
      await assert.rejects(producer.submission(id).done(), kind);
    }
  }
});
