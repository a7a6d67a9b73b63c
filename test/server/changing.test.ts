import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { List } from '../../src/protocol/api/lists.ts';
import type { ChunkRow } from '../../src/protocol/api/submissions.ts';
import { withParts } from '../../src/system/parts.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

// What is read of a queue that changes while it is read, and what a client may ask for to make that costly.

async function page<T>(server: TestServer, path: string): Promise<List<T>> {
  const { status, body } = await server.get(`/api/v1/${path}`);
  assert.equal(status, 200, body.toString());
  return JSON.parse(body.toString()) as List<T>;
}

test('chunks that are held longest come once each, however long a reader takes from page to page', async () => {
  const clock = new ManualClock();
  await using server = await TestServer.start(withParts({ heartbeatIntervalMs: 3_600_000 }, { clock }));
  const id = await server.insert('a', 20);
  const consumer = await server.consumer();
  for (let i = 0; i < 20; i++) {
    await consumer.reserved();
    clock.advance(100);
  }
  const found: number[] = [];
  for (let cursor = ''; ; clock.advance(5_000)) {
    const { items, next } = await page<ChunkRow>(
      server,
      `submissions/${id}/chunks?sort=held&limit=3${cursor}`,
    );
    found.push(...items.map(({ index }) => index));
    if (next === null) break;
    cursor = `&cursor=${next}`;
  }
  assert.deepEqual(
    found,
    Array.from({ length: 20 }, (_, i) => i),
  );
});

test('a state that no chunk is in is looked for a page at a time', async () => {
  await using server = await TestServer.start();
  const id = await server.insert('a', 120_000);
  const pages: string[] = [];
  for (let cursor = ''; ; ) {
    const { items, next } = await page<ChunkRow>(
      server,
      `submissions/${id}/chunks?state=skipped&limit=1${cursor}`,
    );
    assert.deepEqual(items, []);
    if (next === null) break;
    pages.push(next);
    cursor = `&cursor=${next}`;
  }
  assert.deepEqual(pages, ['50000', '100000']);
});

test('chunks by index have cursors that hold whatever becomes of the submission; those of another list are refused', async () => {
  await using server = await TestServer.start();
  const id = await server.insert('a', 8);
  const consumer = await server.consumer();
  await consumer.reserved(5);
  const path = `submissions/${id}/chunks?state=reserved&limit=2`;
  const first = await page<ChunkRow>(server, path);
  assert.deepEqual([first.items.map(({ index }) => index), first.matched, first.next], [[0, 1], 5, '2']);
  const second = await page<ChunkRow>(server, `${path}&cursor=${first.next}`);
  assert.deepEqual([second.items.map(({ index }) => index), second.matched, second.next], [[2, 3], 5, '4']);
  const third = await page<ChunkRow>(server, `${path}&cursor=${second.next}`);
  assert.deepEqual([third.items.map(({ index }) => index), third.next], [[4], null]);
  await server.post(`/producer/submissions/cancel/${id}`, '');
  const after = await page<ChunkRow>(server, `submissions/${id}/chunks?state=skipped&cursor=${second.next}`);
  assert.deepEqual(
    after.items.map(({ index }) => index),
    [4, 5, 6, 7],
  );
  for (const cursor of ['x', '-1', 'W10', '12345678901']) {
    const { status } = await server.get(`/api/v1/submissions/${id}/chunks?cursor=${cursor}`);
    assert.equal(status, 400, cursor);
  }
});

test('who waits for an event of one kind costs one timer, whatever else happens', async () => {
  const clock = new ManualClock();
  await using server = await TestServer.start(withParts({}, { clock }));
  const waiting = server.get('/api/v1/events?kind=store_stuck&wait_ms=60000');
  await server.insert('first', 1);
  const before = clock.timersPending;
  for (let i = 0; i < 20; i++) await server.insert(`p${i}`, 1);
  assert.ok(clock.timersPending <= before + 5, `${clock.timersPending} after ${before}`);
  clock.advance(60_000);
  assert.equal((await waiting).status, 200);
});

test('a filter that contradicts itself, a time of no zone and a cursor out of range are refused, or match nothing', async () => {
  await using folder = await temporaryFolder();
  await using server = await TestServer.start({ databaseFilename: join(folder.path, 'queue.db') });
  const id = await server.insert('a', 1, { strategic_metadata: { customer: 1 } });
  for (const [query, status] of [
    ['meta=customer:1&meta=customer:2', 400],
    ['meta=customer:1&meta=customer:1', 200],
    ['inserted_after=2026-11-27T15:14:16', 400],
    ['inserted_after=2026-11-27T15:14', 400],
    ['inserted_after=2026-11-27T15:14Z', 200],
    ['inserted_after=2026-11-27T15:14:16.5%2B01:00', 200],
    ['inserted_after=2026-11-27', 200],
  ] as const) {
    assert.equal((await server.get(`/api/v1/submissions?${query}`)).status, status, query);
  }
  await server.post(`/producer/submissions/cancel/${id}`, '');
  const { items } = await page<object>(server, 'submissions?state=cancelled&cursor=9999999999999999999');
  assert.equal(items.length, 1);
});
