import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SubmissionStatus } from '../../../src/model/submission.ts';
import type { QueueApi } from '../../../src/producer/queue-api.ts';
import { waitForEnd } from '../../../src/producer/results/completion.ts';
import { ProgressMeter } from '../../../src/producer/results/progress.ts';
import { submissionRecord } from '../../../src/store/conformance/records.ts';
import { HastyClock } from '../../support/time/hasty-clock.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

const record = submissionRecord({ id: 1n, prefix: 'p', chunkSizeOps: 5 });
const { signal } = new AbortController();

function apiOf(features: readonly string[], statuses: readonly SubmissionStatus[]) {
  const left = [...statuses];
  const asked: (number | undefined)[] = [];
  const api: Pick<QueueApi, 'status' | 'chunksDone' | 'announces'> = {
    announces: (feature) => features.includes(feature),
    chunksDone: () => Promise.reject(new Error('not asked')),
    async status(_id, options = {}) {
      asked.push(options.holdMs);
      return left.shift() ?? { state: 'completed', record, endedAtMs: 5 };
    },
  };
  return { api, asked };
}

const inProgress = (chunksDone: number): SubmissionStatus => ({
  state: 'in_progress',
  record,
  chunksDone,
  chunksFailed: 0,
});

test('polls a queue that does not hold answers after 10 ms, doubled each time, at most 5 s', async () => {
  const clock = new HastyClock();
  const { api } = apiOf([], Array<SubmissionStatus>(12).fill(inProgress(0)));
  assert.equal((await waitForEnd({ api, clock, id: 1n, signal, isKnown: true })).state, 'completed');
  assert.deepEqual(clock.waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
});

test('polls faster again after something was done', async () => {
  const clock = new HastyClock();
  const { api } = apiOf([], [0, 0, 0, 1, 1, 1].map(inProgress));
  await waitForEnd({ api, clock, id: 1n, signal, isKnown: true });
  assert.deepEqual(clock.waits, [10, 20, 40, 10, 20]);
});

test('asks at once again where the answer was held back, and pauses where it was not', async () => {
  const clock = new HastyClock();
  const { api, asked } = apiOf(['wait'], Array<SubmissionStatus>(4).fill(inProgress(0)));
  const held: typeof api = {
    ...api,
    status: (id, options) => {
      clock.advance(asked.length < 3 ? 20_000 : 0);
      return api.status(id, options);
    },
  };
  await waitForEnd({ api: held, clock, id: 1n, signal, isKnown: true });
  assert.deepEqual(asked, [0, 20_000, 20_000, 20_000, 20_000]);
  assert.deepEqual(clock.waits, [40]);
});

test('tells progress with the rate of late and the time left at that rate', () => {
  const clock = new ManualClock();
  const meter = new ProgressMeter(clock, 5, 48);
  const read = (chunksDone: number, chunksFailed = 0) =>
    meter.read('in_progress', { chunksDone, chunksFailed, chunksTotal: 10 });
  assert.deepEqual(read(0), {
    state: 'in_progress',
    chunksDone: 0,
    chunksFailed: 0,
    chunksTotal: 10,
    opsDone: 0,
    perSecond: 0,
    msLeft: null,
  });
  clock.advance(1000);
  const second = read(4);
  assert.deepEqual([second.opsDone, second.perSecond, second.msLeft], [20, 20, 1400]);
  clock.advance(20_000);
  read(4);
  clock.advance(1000);
  const stalled = read(4);
  assert.deepEqual([stalled.perSecond, stalled.msLeft], [0, null]);
  const last = meter.read('completed', { chunksDone: 10, chunksFailed: 0, chunksTotal: 10 });
  assert.deepEqual([last.opsDone, last.msLeft], [48, 0]);
});

test('a chunk that is set aside counts as work that is over, not as operations that are done', () => {
  const clock = new ManualClock();
  const meter = new ProgressMeter(clock, 5, 50);
  const read = (chunksDone: number, chunksFailed: number) =>
    meter.read('in_progress', { chunksDone, chunksFailed, chunksTotal: 10 });
  read(0, 0);
  clock.advance(1000);
  const { opsDone, perSecond, msLeft, chunksFailed } = read(1, 4);
  assert.deepEqual([opsDone, perSecond, msLeft, chunksFailed], [5, 5, 1000, 4]);
  const counts = { chunksDone: 6, chunksFailed: 4, chunksTotal: 10 };
  const last = meter.read('completed_with_failures', counts);
  assert.deepEqual([last.opsDone, last.chunksFailed, last.msLeft], [30, 4, 0]);
});
