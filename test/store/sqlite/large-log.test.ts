import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { unlimitedTenure } from '../../../src/store/lease.ts';
import type { Mutation } from '../../../src/store/store.ts';
import { seededRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { TestServer } from '../../support/queues/test-server.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';

const MEBIBYTE = 1024 * 1024;

/** A transaction that is open until it is ended. */
function openReader(filename: string): { end(): void } {
  const reader = new DatabaseSync(filename, { readOnly: true });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM submissions').get();
  return { end: () => reader.close() };
}

test('a reader with an open transaction: one warning with its likely cause, and a line when it is over', async () => {
  const fixture = await sqliteFixture('thread');
  const store = await fixture.open();
  const [grant] = await store.acquire([0], 'test');
  assert.ok(grant);
  const logger = recordingLogger();
  const journal = new Journal({
    store,
    tenure: unlimitedTenure(grant),
    clock: systemClock,
    random: seededRandom(1),
    logger,
  });
  await journal.insert(insertOf(1n, { prefix: null, chunksTotal: 20 }));
  const reader = openReader(fixture.filename);
  const grow = (chunkIndex: number): Mutation & { kind: 'direct_output' } => ({
    kind: 'direct_output',
    id: 1n,
    chunkIndex,
    content: new Uint8Array(7 * MEBIBYTE),
  });
  for (let chunkIndex = 0; chunkIndex < 10; chunkIndex++) {
    journal.add(grow(chunkIndex));
    await journal.committed();
  }
  const warning = await logger.line(/write-ahead log of the database is large/);
  assert.equal(warning.level, 'warn');
  assert.match(warning.message, /another program \(sqlite3, a backup\) keeps a read transaction open/);
  assert.ok((warning.fields as { walBytes: number }).walBytes > 64 * MEBIBYTE);
  assert.ok(((await store.maintenance?.walBytes()) ?? 0) > 64 * MEBIBYTE);

  reader.end();
  for (const id of [2n, 3n]) await journal.insert(insertOf(id));
  await logger.line(/write-ahead log of the database is small again/);
  assert.equal(logger.lines.filter(({ level }) => level === 'warn').length, 1);
  await journal.drain();
  await store.close();
  await fixture.dispose();
});

test('the size of the log is a metric', async () => {
  const fixture = await sqliteFixture('thread');
  const store = await fixture.open();
  {
    await using queue = await TestServer.start({ store });
    await queue.insert('a', 1);
    const size = async () =>
      /^store_wal_bytes (\d+)$/m.exec((await queue.get('/metrics')).body.toString())?.[1];
    await size();
    assert.ok(Number(await size()) > 0);
  }
  await fixture.dispose();
});
