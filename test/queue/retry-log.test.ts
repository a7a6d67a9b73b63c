import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal } from '../../src/queue/journal/journal.ts';
import { RetryLog } from '../../src/queue/journal/retry-log.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { unlimitedTenure } from '../../src/store/lease.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { seededRandom } from '../../src/system/random.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';

import { faultyStore } from '../support/store/faulty-store.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

test('batches of several shards that are refused alike are one line, with their shards', async () => {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const retryLog = new RetryLog({ clock, logger });
  let isFull = true;
  const store = faultyStore(new MemoryStore(), (call) => (call === 'commit' && isFull ? 'full' : 'none'));
  const grants = await store.acquire([9, 3, 7], 'test');
  const journals = grants.map(
    (grant) =>
      new Journal({
        store,
        tenure: unlimitedTenure(grant),
        clock,
        random: seededRandom(1),
        logger,
        retryLog,
      }),
  );
  const inserts = journals.map((journal, i) =>
    journal.insert({ kind: 'insert', record: submissionRecord({ id: BigInt(i + 1) }) }),
  );
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(100);
  const lines = logger.lines.filter(({ message }) => message === 'a batch is refused; trying again');
  assert.equal(lines.length, 1);
  const { shards, code, error } = lines[0]!.fields as Readonly<Record<string, unknown>>;
  assert.deepEqual(shards, [3, 7, 9]);
  assert.equal(code, 'STORE_FULL');
  assert.equal(typeof error, 'string');
  isFull = false;
  let settled = false;
  const all = Promise.all(inserts).finally(() => {
    settled = true;
  });
  while (!settled) {
    clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    (await all).map(({ kind }) => kind),
    ['inserted', 'inserted', 'inserted'],
  );
});
