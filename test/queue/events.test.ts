import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { NO_CONTROL } from '../../src/model/control.ts';
import { type EventBatch, type QueueEvent, QueueEvents } from '../../src/queue/events.ts';
import { LongPolls } from '../../src/queue/long-polls.ts';
import type { OpenSubmission } from '../../src/scheduler/types.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

function setUp() {
  const noted: QueueEvent[] = [];
  const events = new QueueEvents(new ManualClock(), { note: (event) => noted.push(event) });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { events, noted, turn };
}

function open(id: bigint): OpenSubmission {
  const record = submissionRecord({ id, chunksTotal: 10 });
  const done = new ChunkSet(10);
  return {
    record,
    done,
    state: 'open',
    control: NO_CONTROL,
    completions: 0,
    tally: null,
    tallyMark: 0,
    isWithheld: false,
    chunksReserved: 0,
    failed: null,
    hasOpenChunk: () => true,
    reservation: () => undefined,
  };
}

const refused: QueueEvent = { kind: 'reservation_refused', queue: '' };

test('an observer sees each event at once, subscribers get those of a turn together', async () => {
  const { events, noted, turn } = setUp();
  const batches: EventBatch[] = [];
  const unsubscribe = events.subscribe(10, (batch) => batches.push(batch));
  const [a, b] = [open(1n), open(2n)];
  for (const [chunkIndex, submission] of [a, a, b, a].entries()) {
    events.publish({ kind: 'chunk_completed', queue: '', submission, chunkIndex, tookMs: null, by: null }, 0);
  }
  events.publish(refused, 0);
  assert.equal(noted.length, 5);
  assert.equal(batches.length, 0);
  await turn();
  assert.deepEqual(batches, [{ events: [refused], changed: new Set([a, b]), missed: 0 }]);
  await turn();
  assert.equal(batches.length, 1, 'nothing happened');
  unsubscribe();
  events.publish(refused, 0);
  await turn();
  assert.equal(batches.length, 1);
});

test('a subscriber for which too much happens in a turn learns how much it missed', async () => {
  const { events, noted, turn } = setUp();
  const [small, large]: EventBatch[][] = [[], []];
  events.subscribe(3, (batch) => small!.push(batch));
  events.subscribe(100, (batch) => large!.push(batch));
  for (let i = 0; i < 10; i++) {
    events.publish(
      { kind: 'chunk_completed', queue: '', submission: open(BigInt(i)), chunkIndex: 0, tookMs: 1, by: null },
      0,
    );
    events.publish(refused, 0);
  }
  await turn();
  assert.deepEqual(
    [...small!, ...large!].map(({ events, changed, missed }) => [events.length, changed.size, missed]),
    [
      [1, 2, 17],
      [10, 10, 0],
    ],
  );
  assert.equal(noted.length, 20);
  events.publish(refused, 0);
  await turn();
  assert.equal(small![1]?.missed, 0, 'each gap is reported once');
});

test('who waits for a submission is woken even where too much happens in a turn', async () => {
  const { events, turn } = setUp();
  const longPolls = new LongPolls(new ManualClock(), events);
  const submission = open(1n);
  let woken = 0;
  longPolls.wait(submission, null, 60_000, () => woken++);
  for (let i = 0; i < 2_000; i++) events.publish(refused, 0);
  const { record } = submission;
  events.publish(
    {
      kind: 'submission_ended',
      record,
      submission,
      end: { state: 'completed', endedAtMs: 0 },
      chunksDone: 10,
    },
    0,
  );
  await turn();
  assert.equal(woken, 1);
});
