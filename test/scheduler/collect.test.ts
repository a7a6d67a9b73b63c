import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const { oldest } = Strategy;

/** A submission that collects failures, of which a consumer `A` fails chunks for good. */
function sceneOf(chunksTotal: number, options: ConstructorParameters<typeof Scene>[0] = {}) {
  const scene = new Scene(options);
  scene.insert(1, { chunksTotal, failureMode: 'collect', chunkSizeOps: 10 });
  const a = scene.consumer('A', { concurrency: chunksTotal });
  const failForGood = (chunk: string) => scene.fail(a, chunk, { retryable: false });
  return { scene, a, failForGood };
}

test('a chunk that is out of tries is set aside, and the others go on', () => {
  const { scene, a, failForGood } = sceneOf(3);
  assert.deepEqual(scene.reserve(a, oldest(), 2), ['1#0', '1#1']);
  scene.takeTold();
  assert.equal(failForGood('1#0'), 'set_aside');
  assert.deepEqual(scene.takeTold(), ['tries of 1#0: 1, 0', '1#0 set aside: 1#0 went wrong']);
  const { chunksFailed, chunksInBacklog, operationsInBacklog } = scene.scheduler.counts;
  assert.deepEqual([chunksFailed, chunksInBacklog, operationsInBacklog], [1, 2, 20]);
  assert.deepEqual(scene.reserve(a, oldest(), 5), ['1#2']);
  scene.complete(a, '1#1');
  scene.complete(a, '1#2');
  assert.deepEqual(scene.takeTold(), ['page of 1', 'page of 1', '1 completed_with_failures']);
  assert.equal(scene.scheduler.counts.chunksFailed, 0);
  scene.scheduler.checkInvariants();
});

test('the submission does not end while chunks are in flight, delayed or available', () => {
  const { scene, a, failForGood } = sceneOf(2, { chunkRetriesMax: 5 });
  scene.reserve(a, oldest(), 2);
  failForGood('1#0');
  assert.equal(scene.ends.size, 0, 'one is in flight');
  scene.fail(a, '1#1', { delayMs: 50 });
  assert.equal(scene.ends.size, 0, 'it is delayed');
  scene.pass(50);
  assert.equal(scene.ends.size, 0, 'it is available');
  scene.reserve(a, oldest());
  assert.equal(failForGood('1#1'), 'set_aside');
  assert.equal(scene.ends.get(1n)?.state, 'completed_with_failures');
});

test('expiries and broken connections set a chunk aside as failures do', () => {
  const { scene, a } = sceneOf(2, { chunkRetriesMax: 1, chunkDisconnectsMax: 1 });
  scene.reserve(a, oldest());
  scene.pass(1_000);
  assert.equal(scene.scheduler.counts.chunksFailed, 1);
  scene.reserve(a, oldest());
  scene.remove(a, 'broken');
  assert.equal(scene.ends.get(1n)?.state, 'completed_with_failures');
});

test('a late result of a chunk that was set aside counts: the work is done', () => {
  const { scene, a, failForGood } = sceneOf(2);
  scene.reserve(a, oldest(), 2);
  failForGood('1#0');
  scene.takeTold();
  assert.equal(scene.complete(null, '1#0'), true);
  assert.deepEqual(scene.takeTold(), ['page of 1', '1#0 is not set aside any more']);
  assert.equal(scene.scheduler.counts.chunksFailed, 0);
  scene.complete(a, '1#1');
  assert.equal(scene.ends.get(1n)?.state, 'completed');
});

test('a retry makes what was set aside available, with all its tries, and nothing of what is done', () => {
  const { scene, a, failForGood } = sceneOf(4, { chunkRetriesMax: 3 });
  scene.reserve(a, oldest(), 3);
  scene.complete(a, '1#0');
  scene.fail(a, '1#1');
  scene.reserve(a, oldest());
  scene.fail(a, '1#1');
  failForGood('1#2');
  scene.takeTold();
  assert.equal(scene.scheduler.retry(1n, scene.nowMs), 1);
  assert.deepEqual(scene.takeTold(), ['retry of 1']);
  scene.takeAnswers();
  scene.reserve(a, oldest(), 9);
  assert.deepEqual(
    scene.answers[0]?.chunks.map(({ chunkIndex, retries }) => [chunkIndex, retries]),
    [
      [1, 0],
      [2, 0],
      [3, 0],
    ],
  );
  assert.equal(scene.scheduler.retry(1n, scene.nowMs), 0, 'nothing has failed now');
  assert.deepEqual(scene.takeTold(), []);
});

test('a retry serves those who wait', () => {
  const { scene, a, failForGood } = sceneOf(2);
  scene.reserve(a, oldest(), 2);
  failForGood('1#0');
  const b = scene.consumer('B');
  assert.equal(scene.reserve(b, oldest()), null);
  scene.takeAnswers();
  scene.scheduler.retry(1n, scene.nowMs);
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
});

test('a retried chunk does not go to an old client that still owes the answer to its expiry', () => {
  const { scene, a } = sceneOf(2, { chunkRetriesMax: 1 });
  scene.reserve(a, oldest());
  scene.pass(1_000);
  scene.scheduler.retry(1n, scene.nowMs);
  assert.deepEqual(scene.reserve(a, oldest(), 2), ['1#1']);
  scene.fail(a, '1#0');
  assert.deepEqual(scene.reserve(a, oldest()), ['1#0']);
});

test('what is unknown, ends or collects nothing cannot be retried on the schedule', () => {
  const { scene } = sceneOf(1);
  assert.equal(scene.scheduler.retry(9n, 0), null);
  scene.insert(2, { chunksTotal: 1 });
  assert.equal(scene.scheduler.retry(2n, 0), 0);
  scene.scheduler.cancel(1n, 0);
  assert.equal(scene.scheduler.retry(1n, 0), null);
});

test('what was set aside before a restart is so after it, and can be retried', () => {
  const scene = new Scene();
  const [done, failed] = [new ChunkSet(5_000), new ChunkSet(5_000)];
  for (let index = 0; index < 4_990; index++) done.add(index);
  for (const index of [4_991, 4_995, 4_999]) failed.add(index);
  const fields = { chunksTotal: 5_000, failureMode: 'collect' } as const;
  scene.insert(1, fields, { done, failed, tries: new Map() });
  scene.scheduler.checkInvariants();
  const a = scene.consumer('A', { concurrency: 10 });
  assert.deepEqual(scene.reserve(a, oldest(), 3), ['1#4990', '1#4992', '1#4993']);
  scene.scheduler.retry(1n, 0);
  scene.scheduler.checkInvariants();
  assert.deepEqual(scene.reserve(a, oldest(), 9), [
    '1#4991',
    '1#4994',
    '1#4995',
    '1#4996',
    '1#4997',
    '1#4998',
    '1#4999',
  ]);
});

test('a submission whose last chunk was set aside just before a restart ends after it', () => {
  const scene = new Scene();
  const [done, failed] = [new ChunkSet(2), new ChunkSet(2)];
  done.add(0);
  failed.add(1);
  scene.insert(1, { chunksTotal: 2, failureMode: 'collect' }, { done, failed, tries: new Map() });
  assert.equal(scene.ends.get(1n)?.state, 'completed_with_failures');
});

test('a million chunks that were set aside before a restart are passed over and retried without a long turn', () => {
  const scene = new Scene();
  const count = 1_000_000;
  const failed = new ChunkSet(count + 2);
  for (let index = 1; index <= count; index++) failed.add(index);
  const fields = { chunksTotal: count + 2, failureMode: 'collect' } as const;
  scene.insert(1, fields, { done: new ChunkSet(count + 2), tries: new Map(), failed });
  const a = scene.consumer('A');
  const startedUs = process.threadCpuUsage();
  assert.deepEqual(scene.reserve(a, oldest(), 2), ['1#0', `1#${count + 1}`]);
  const { user } = process.threadCpuUsage(startedUs);
  // A walk over each of them takes hundreds of milliseconds.
  assert.ok(user < 50_000, `${user} µs`);
  assert.equal(scene.scheduler.retry(1n, scene.nowMs), count);
  assert.deepEqual(scene.reserve(a, oldest(), 3), ['1#1', '1#2', '1#3']);
});

test('a retry after a restart makes available what the hand-out has passed, and what lies ahead', () => {
  const scene = new Scene();
  const failed = new ChunkSet(8);
  for (const index of [0, 2, 3, 6]) failed.add(index);
  const fields = { chunksTotal: 8, failureMode: 'collect' } as const;
  scene.insert(1, fields, { done: new ChunkSet(8), tries: new Map(), failed });
  const a = scene.consumer('A');
  assert.deepEqual(scene.reserve(a, oldest(), 2), ['1#1', '1#4']);
  scene.scheduler.checkInvariants();
  assert.equal(scene.complete(null, '1#2'), true);
  assert.equal(scene.scheduler.retry(1n, scene.nowMs), 3);
  scene.scheduler.checkInvariants();
  assert.deepEqual(scene.reserve(a, oldest(), 9), ['1#0', '1#3', '1#5', '1#6', '1#7']);
});
