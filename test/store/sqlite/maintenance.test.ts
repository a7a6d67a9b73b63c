import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { Journal } from '../../../src/queue/journal/journal.ts';
import { failed, insertOf, page } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { unlimitedTenure } from '../../../src/store/lease.ts';
import { openSqliteStore, SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { seededRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { InlineDatabase } from '../../support/fakes/inline-database.ts';
import { type SqliteFixture, sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { storeSnapshot, workloadBatch, workloadSnapshots } from '../../support/store/store-workload.ts';

async function use(
  where: 'thread' | 'inline',
  run: (fixture: SqliteFixture) => Promise<void>,
): Promise<void> {
  const fixture = await sqliteFixture(where);
  try {
    await run(fixture);
  } finally {
    await fixture.dispose();
  }
}

function openFile(path: string): Promise<StoreSession> {
  const open = async () => new SqliteStore(new InlineDatabase({ kind: 'file', path, mustExist: true }), true);
  return StoreSession.open({ open, dispose: async () => {} });
}

describe('forgetting', () => {
  test('that was interrupted is finished by the next one, whatever that is to forget', () =>
    use('inline', async (fixture) => {
      const database = new InlineDatabase({ kind: 'file', path: fixture.filename, mustExist: false });
      const store = new SqliteStore(database, true);
      await using session = await StoreSession.open({ open: async () => store, dispose: async () => {} });
      await session.commit(insertOf(1n), page(1n, 0, [1]));
      await session.commit(failed(1n, 5));
      // What the thread does first; then the process ends.
      assert.equal(database.database.forget([1n]), 1);
      const rows = (table: string) => database.sqlite.prepare(`SELECT * FROM ${table}`).all().length;
      assert.deepEqual([rows('submissions'), rows('pages')], [1, 1]);
      assert.equal(await store.findById(1n), null);
      assert.equal(await store.forget([]), 0);
      assert.deepEqual([rows('submissions'), rows('pages')], [0, 0]);
    }));
});

describe('a backup', () => {
  test('that is made beside commits is a database of some of the first batches', () =>
    use('thread', async (fixture) => {
      const batches = 80;
      await using session = await StoreSession.open(fixture);
      // Enough pages for many steps of the copy.
      const ballast = [new Uint8Array(8_000_000)];
      await session.commit(
        ...workloadBatch(1).map((m) =>
          m.kind === 'insert' && m.record.id === 2n ? { ...m, directInputs: ballast } : m,
        ),
      );
      const expected = await workloadSnapshots(batches);
      for (let number = 2; number <= 20; number++) await session.commit(...workloadBatch(number));
      const to = `${fixture.filename}.backup`;
      let isCopied = false;
      const copying = session.store.maintenance?.backup(to).then(() => {
        isCopied = true;
      });
      let meanwhile = 0;
      for (let number = 21; number <= batches; number++) {
        await session.commit(...workloadBatch(number));
        if (!isCopied) meanwhile++;
      }
      await copying;
      assert(meanwhile > 0, 'nothing was committed meanwhile');
      await using copy = await openFile(to);
      const found = await storeSnapshot(copy);
      assert(found.lastSeq >= 20);
      assert.deepEqual(found, expected[found.lastSeq]);
    }));

  test('overwrites nothing', () =>
    use('inline', async (fixture) => {
      await using session = await StoreSession.open(fixture);
      const to = `${fixture.filename}.backup`;
      writeFileSync(to, 'precious');
      await assert.rejects(
        async () => session.store.maintenance?.backup(to),
        /opsqueue\.db\.backup exists already/,
      );
      assert.equal(readFileSync(to, 'utf8'), 'precious');
    }));
});

describe('the log', () => {
  test('is emptied by a checkpoint, and its size is told', () =>
    use('inline', async (fixture) => {
      await using session = await StoreSession.open(fixture);
      for (let number = 1; number <= 5; number++) await session.commit(...workloadBatch(number));
      const { maintenance } = session.store;
      assert.equal(await maintenance?.walBytes(), statSync(`${fixture.filename}-wal`).size);
      await maintenance?.checkpoint();
      assert.equal(await maintenance?.walBytes(), 0);
    }));

  test('does not grow with the number of commits', () =>
    use('inline', async (fixture) => {
      await using session = await StoreSession.open(fixture);
      await session.commit(insertOf(1n, { chunksTotal: 4_000_000 }));
      for (let number = 1; number <= 60; number++) {
        // Each is a page of the file, or nearly.
        await session.commit(
          ...Array.from({ length: 60 }, (_, i) => page(1n, i * 8 + (number % 8), [number])),
        );
      }
      const bytes = (await session.store.maintenance?.walBytes()) ?? 0;
      assert(bytes < 6 * 1024 * 1024, `${bytes} bytes`);
    }));
});

describe('a damaged page', () => {
  const damages: [what: string, sql: string][] = [
    [
      'one bit',
      "UPDATE pages SET content = CAST(x'03' || substr(content, 2) AS BLOB) WHERE submission_id = 77",
    ],
    ['its length', 'UPDATE pages SET content = substr(content, 2) WHERE submission_id = 77'],
    ['a page of another place', 'UPDATE pages SET page = 2 WHERE submission_id = 77'],
    ['a page of another submission', 'UPDATE pages SET submission_id = 77 WHERE submission_id = 66'],
    ['bits turned into all', 'UPDATE pages SET content = NULL WHERE submission_id = 77'],
  ];
  for (const [what, sql] of damages) {
    test(`is a refusal that names the submission, never an empty page: ${what}`, () =>
      use('inline', async (fixture) => {
        const session = await StoreSession.open(fixture);
        await session.commit(
          insertOf(66n, { chunksTotal: 20_000 }),
          insertOf(77n, { chunksTotal: 20_000 }),
          page(66n, 3, [5]),
          page(77n, 0, [1, 9]),
        );
        await session.store.close();
        const database = new DatabaseSync(fixture.filename);
        database.exec(sql);
        database.close();
        await using damaged = await StoreSession.open(fixture);
        await assert.rejects(damaged.loadAll(), {
          code: 'STORE_CORRUPT',
          message:
            /the database is damaged: submission 77, page \d of its finished chunks has a wrong checksum/,
        });
        await assert.rejects(damaged.store.chunksDone(77n), { code: 'STORE_CORRUPT' });
      }));
  }

  test('is found where one bit of the file has flipped', () =>
    use('thread', async (fixture) => {
      const session = await StoreSession.open(fixture);
      await session.commit(insertOf(77n, { chunksTotal: 20_000 }));
      await session.commit({ kind: 'page', id: 77n, page: 1, content: new Uint8Array(512).fill(0x5a) });
      await session.store.close();
      const file = readFileSync(fixture.filename);
      const at = file.indexOf(Buffer.alloc(512, 0x5a));
      assert(at > 0);
      file[at + 200] = 0x5b;
      writeFileSync(fixture.filename, file);
      await using damaged = await StoreSession.open(fixture);
      await assert.rejects(damaged.loadAll(), /submission 77, page 1 /);
      assert(damaged.store.lost.aborted);
    }));
});

test('a database thread that dies is the end of the store and of its journal', async () => {
  const workers: Worker[] = [];
  const onWorker = (message: unknown) => void workers.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', onWorker);
  const store = await openSqliteStore({ filename: ':memory:', logger: silentLogger });
  unsubscribe('worker_threads', onWorker);
  const [grant] = await store.acquire([0], 'test');
  assert(grant);
  const journal = new Journal({
    store,
    tenure: unlimitedTenure(grant),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  });
  await journal.insert(insertOf(1n));
  assert.equal(workers.length, 1);
  const pending = assert.rejects(journal.insert(insertOf(2n)), { code: 'STORE_TRANSIENT' });
  await workers[0]?.terminate();
  await pending;
  assert(store.lost.aborted);
  assert(journal.lost.aborted);
  assert.match(String(store.lost.reason), /the database thread ended with status 1/);
  await assert.rejects(store.findById(1n), { code: 'STORE_TRANSIENT' });
  const result = await store.commit({ shard: 0, epoch: grant.epoch, seq: 2, mutations: [] });
  assert.equal(result.kind, 'unknown');
  await store.close();
});
