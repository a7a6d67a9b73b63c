import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Scheduler } from '../../src/scheduler/scheduler.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { seededRandom } from '../../src/system/random.ts';

/** Where a `Map` or a `Set` of V8 moves all of its entries to a larger table. */
const TABLE_SIZE = 131_072;

/** Inserts up to there with two pairs, one shared by all and one of each one's own; gives the longest insert around it, in ms of CPU. */
function longestInsert(): number {
  const scheduler = new Scheduler<string>({
    random: seededRandom(1),
    reservationExpirationMs: 1_000,
    chunkRetriesMax: 3,
    chunkDisconnectsMax: 3,
  });
  let longestMs = 0;
  for (let id = 1n; id <= TABLE_SIZE + 16; id++) {
    const strategicMetadata = new Map([
      ['shared', 1n],
      ['own', id],
    ]);
    const record = submissionRecord({ id, chunksTotal: 1, strategicMetadata });
    if (id < TABLE_SIZE - 16) {
      scheduler.insert(record, 0);
      continue;
    }
    const started = process.threadCpuUsage();
    scheduler.insert(record, 0);
    const { user, system } = process.threadCpuUsage(started);
    longestMs = Math.max(longestMs, (user + system) / 1_000);
  }
  return longestMs;
}

test('no insert beyond 131 072 open submissions holds up the others', () => {
  // A garbage collection may come in between, though not in each of three.
  const longestMs = Math.min(longestInsert(), longestInsert(), longestInsert());
  assert.ok(longestMs < 5, `an insert takes ${longestMs} ms of CPU time`);
});
