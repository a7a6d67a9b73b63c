import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import type { SubmissionSight } from '../../src/scheduler/sight.ts';
import { ScheduledSubmission } from '../../src/scheduler/state.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { SortedMap } from '../../src/system/sorted-map.ts';
import { openList } from '../../src/views/answers/submissions.ts';
import type { Sources } from '../../src/views/sources.ts';
import { OPEN_SUBMISSIONS } from '../support/queues/test-views.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

function sourcesOf(queues: readonly (readonly bigint[])[]): Sources {
  const schedules = queues.map((ids, queue) => {
    const submissions = new SortedMap<SubmissionSight>(4);
    for (const id of ids) {
      const record = submissionRecord({ id, prefix: id % 2n === 0n ? 'even' : 'odd', chunksTotal: 1 });
      submissions.set(id, new ScheduledSubmission(record, new ChunkSet(1), []));
    }
    return {
      name: `q${queue}`,
      counts: { consumers: 1 },
      schedule: { submissions, metadata: { key: () => undefined } },
    };
  });
  const clock = new ManualClock();
  const made = {
    clock,
    unixMs: (ms: number) => ms,
    queue: { schedules: () => schedules, isPaused: () => false, isHandOutHeld: false },
    sampler: { stops: () => null },
  };
  return made as unknown as Sources;
}

test('page by page, each open submission is listed once, in order, and each page tells how many there are', () => {
  const id = fc.bigInt(1n, 2n ** 60n);
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.record({ id, queue: fc.nat(2) }), { selector: (each) => each.id, maxLength: 60 }),
      fc.constantFrom('asc', 'desc'),
      fc.constantFrom('even', null),
      fc.integer({ min: 1, max: 9 }),
      (inserted, order, prefix, limit) => {
        const queues = [0, 1, 2].map((queue) =>
          inserted.filter((each) => each.queue === queue).map((each) => each.id),
        );
        const sources = sourcesOf(queues);
        const found: string[] = [];
        const matched = new Set<number | null>();
        for (let cursor: string | null = null; ; ) {
          const computation = openList(sources, { ...OPEN_SUBMISSIONS, order, prefix, limit, cursor });
          let step = computation.next();
          while (step.done !== true) step = computation.next();
          found.push(...step.value.items.map((item) => item.id));
          matched.add(step.value.matched);
          cursor = step.value.next;
          if (cursor === null) break;
        }
        const wanted = inserted.map((each) => each.id).filter((each) => prefix === null || each % 2n === 0n);
        wanted.sort((a, b) => (a < b === (order === 'asc') ? -1 : 1));
        assert.deepEqual(found, wanted.map(String));
        assert.deepEqual([...matched], [wanted.length]);
      },
    ),
  );
});

test('the newest and the oldest of very many are found without a look at the others', () => {
  const sources = sourcesOf([Array.from({ length: 20_000 }, (_, i) => BigInt(i + 1))]);
  for (const order of ['asc', 'desc'] as const) {
    const computation = openList(sources, { ...OPEN_SUBMISSIONS, order });
    let steps = 1;
    let step = computation.next();
    for (; step.done !== true; steps++) step = computation.next();
    assert.deepEqual([step.value.items.length, step.value.matched], [50, 20_000]);
    assert.ok(steps < 10, `${steps} steps`);
  }
});
