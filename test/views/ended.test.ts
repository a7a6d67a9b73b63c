import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SubmissionNotFoundError } from '../../src/model/errors.ts';
import { RETRY_DEFAULT } from '../../src/model/retry.ts';
import { Strategy } from '../../src/model/strategy.ts';
import type { EndState } from '../../src/model/submission.ts';
import type { SubmissionItem } from '../../src/protocol/api/submissions.ts';
import { endedList, joinedByAge } from '../../src/views/answers/ended-submissions.ts';
import { eventsAfter } from '../../src/views/answers/events.ts';
import { submission } from '../../src/views/answers/submission.ts';
import { type SubmissionsQuery, submissionsWith } from '../../src/views/answers/submissions.ts';
import { fingerprintOf } from '../../src/views/fingerprint.ts';
import type { Views } from '../../src/views/views.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, OPEN_SUBMISSIONS, startViews } from '../support/queues/test-views.ts';

const COLLECTING = { failureMode: 'collect', retry: { ...RETRY_DEFAULT, triesMax: 1 } } as const;

async function seen({ sources }: Views, id: bigint) {
  return made(await submission(sources, id, null));
}

async function setBackInList({ sources }: Views, state: EndState) {
  const { items } = made(await endedList(sources, { ...OPEN_SUBMISSIONS, state }, null));
  return items.map(({ set_back: setBack }) => setBack);
}

test('what was counted of a submission is known after its end, with how its tries failed', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const id = await world.insert('a', 30, COLLECTING);
  const consumer = world.consumer();
  for (let chunk = 0; chunk < 30; chunk++) {
    const [held] = consumer.take();
    world.clock.advance(100);
    if (chunk < 28) consumer.complete(held!.chunk);
    else consumer.fail(held!.chunk, 'TypeError: no address');
  }
  await world.settle();
  assert.equal(await world.stateOf(id), 'completed_with_failures');
  const { set_back: setBack, durations_ms: durations, failures, timeline } = await seen(views, id);
  assert.deepEqual([setBack, durations?.max], [2, 100]);
  assert.deepEqual(
    failures.map(({ title, count }) => [title, count]),
    [['TypeError: no address', 2]],
  );
  assert.equal(timeline.at(-1)?.text, '2 of 30 chunks failed');
  assert.deepEqual(await setBackInList(views, 'completed_with_failures'), [2]);
  views.stop();
});

test('where all chunks failed, the time line and the event say that all did', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const id = await world.insert('a', 2, COLLECTING);
  const consumer = world.consumer();
  for (let chunk = 0; chunk < 2; chunk++) consumer.fail(consumer.take()[0]!.chunk, 'TypeError: no address');
  await world.settle();
  assert.equal((await seen(views, id)).timeline.at(-1)?.text, 'all 2 chunks failed');
  const query = { queue: null, after: null, kind: [], submission: id, take: 'next', limit: 9 } as const;
  assert.equal(
    eventsAfter(views.sources, query).items.at(-1)?.text,
    'all 2 chunks failed: chunk 0: TypeError: no address',
  );
  views.stop();
});

test('what is not known of a submission that has ended is not told as none', async () => {
  const before = await QueueWorld.start();
  const id = await before.insert('a', 1);
  const consumer = before.consumer();
  consumer.complete(consumer.take()[0]!.chunk);
  await before.settle();
  const views = startViews(await QueueWorld.start({ store: before.store }));
  const { set_back: setBack, durations_ms: durations } = await seen(views, id);
  assert.deepEqual([setBack, durations], [null, null]);
  assert.deepEqual(await setBackInList(views, 'completed'), [null]);
  await assert.rejects(() => seen(views, 1n), SubmissionNotFoundError);
  views.stop();
});

test('of very many that end, those of which tries failed are remembered', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const consumer = world.consumer();
  const troubled = await world.insert('troubled', 1, COLLECTING);
  consumer.fail(consumer.take()[0]!.chunk);
  const first = await world.insert('first', 1);
  consumer.complete(consumer.take()[0]!.chunk);
  await world.settle();
  for (let i = 0; i < 2_000; i++) await world.insert(`${i}`, 0);
  await world.settle();
  assert.equal((await seen(views, troubled)).set_back, 1);
  assert.equal((await seen(views, first)).set_back, null);
  views.stop();
});

test('open submissions and those that have ended are one list, page by page, and so are those that failed in one way', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const consumer = world.consumer();
  const oldest = await world.insert('oldest', 2);
  const ids = [oldest];
  for (const outcome of ['fails', 'completes', 'fails', 'completes', 'fails'] as const) {
    ids.unshift(await world.insert(`${outcome} ${ids.length}`, 1, COLLECTING));
    const [held] = consumer.take(1, Strategy.newest());
    if (outcome === 'fails') consumer.fail(held!.chunk, `TypeError: no address ${ids.length}`);
    else consumer.complete(held!.chunk);
  }
  // It is open, and one of its tries failed so as well.
  consumer.fail(consumer.take(1, Strategy.newest())[0]!.chunk, 'TypeError: no address 0');
  ids.unshift(await world.insert('newest', 1));
  await world.settle();
  const { ring } = views.sources.watcher.failures;
  const failure = ring.at(ring.firstSeq);
  const failed = made(submissionsWith(views.sources, fingerprintOf(failure!).id));
  for (const [wanted, among] of [
    [ids, null],
    [ids.filter((_, index) => index % 2 === 1 || index === 6), failed],
  ] as const) {
    const found: SubmissionItem[] = [];
    for (let cursor: string | null = null; ; ) {
      const query: SubmissionsQuery = { ...OPEN_SUBMISSIONS, state: 'all', limit: 2, cursor };
      const page = made(await endedList(views.sources, query, among));
      found.push(...page.items);
      cursor = page.next;
      if (cursor === null) break;
    }
    assert.deepEqual(
      found.map(({ id }) => BigInt(id)),
      wanted,
    );
  }
  const { matched } = made(await endedList(views.sources, { ...OPEN_SUBMISSIONS, state: 'all' }, failed));
  assert.equal(matched, 4);
  views.stop();
});

test('of several nodes, each with its own open submissions and all that have ended, the pages are those of one list', () => {
  const item = fc.record({
    id: fc.bigInt(1n, 2n ** 62n).map(String),
    ended: fc.constantFrom(null, '2026-11-28T00:00:00.000Z'),
    node: fc.nat(1),
  });
  const newestFirst = (items: readonly SubmissionItem[]) =>
    items.toSorted((a, b) => (BigInt(a.id) > BigInt(b.id) ? -1 : 1));
  const walked = (
    page: (cursor: string | null) => { items: readonly SubmissionItem[]; next: string | null },
  ) => {
    const found: SubmissionItem[] = [];
    for (let cursor: string | null = null; ; ) {
      const { items, next } = page(cursor);
      found.push(...items);
      if (next === null) return found;
      assert.notEqual(next, cursor);
      cursor = next;
    }
  };
  fc.assert(
    fc.property(
      fc.uniqueArray(item, { selector: ({ id }) => id, maxLength: 40 }),
      fc.integer({ min: 1, max: 7 }),
      fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
      (made, limit, looks) => {
        const all = made as unknown as readonly (SubmissionItem & { readonly node: number })[];
        const query: SubmissionsQuery = { ...OPEN_SUBMISSIONS, state: 'all', limit };
        // A node gives up early where what matches is rare.
        const part = (node: number, cursor: string | null) => {
          const own = newestFirst(all.filter((each) => each.ended !== null || each.node === node));
          const rest = own.filter(({ id }) => cursor === null || BigInt(id) < BigInt(cursor));
          const items = rest.slice(0, Math.min(limit, looks[node] ?? 1));
          return {
            matched: null,
            items,
            next: items.length < rest.length ? (items.at(-1)?.id ?? null) : null,
          };
        };
        const found = walked((cursor) =>
          joinedByAge([part(0, cursor), part(1, cursor)], { ...query, cursor }),
        );
        assert.deepEqual(found, newestFirst(all));
      },
    ),
  );
});

test('how often tries were set back is told by the node that counted it, in whichever order nodes answer', async () => {
  const world = await QueueWorld.start();
  const counting = startViews(world);
  const id = await world.insert('a', 1, COLLECTING);
  const consumer = world.consumer();
  consumer.fail(consumer.take()[0]!.chunk, 'TypeError: no address');
  await world.settle();
  // It sees the same store, and has not seen what happened.
  const other = startViews(world);
  const query: SubmissionsQuery = { ...OPEN_SUBMISSIONS, state: 'all' };
  const parts = await Promise.all(
    [counting, other].map(async ({ sources }) => made(await endedList(sources, query, null))),
  );
  assert.deepEqual(
    parts.map(({ items }) => items.map(({ set_back: setBack }) => setBack)),
    [[1], [null]],
  );
  for (const each of [parts, parts.toReversed()]) {
    const { items } = joinedByAge(each, query);
    assert.deepEqual(
      items.map((item) => [item.id, item.set_back]),
      [[String(id), 1]],
    );
  }
  counting.stop();
  other.stop();
});
