import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { SHARDS, shardOfQueue } from '../../../src/model/shard.ts';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { type MoveProgress, moveStore, openStore } from '../../../src/store/index.ts';
import { SCHEMA_VERSION } from '../../../src/store/sqlite/tables/schema.ts';
import { dumpSqlite } from '../../support/store/dump.ts';
import { fileDigest } from '../../support/store/file-digest.ts';
import { fillStore } from '../../support/store/fill-store.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';
import { storeSnapshot } from '../../support/store/store-workload.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const fixtureOf = (url: string) => ({ open: () => openStore(url), dispose: async () => {} });

async function commit(url: string, ...mutations: Parameters<StoreSession['commit']>): Promise<void> {
  await using session = await StoreSession.open(fixtureOf(url));
  await session.commit(...mutations);
}

async function snapshot(url: string) {
  await using session = await StoreSession.open(fixtureOf(url));
  return { ...(await storeSnapshot(session)), highestId: session.grant.highestId };
}

function refused(move: Promise<unknown>, message: RegExp): Promise<void> {
  return assert.rejects(move, (error: Error & { code?: string }) => {
    assert.equal(error.code, 'STORE_UNUSABLE', error.message);
    assert.match(error.message, message);
    assert.ok(!error.message.includes('\n'));
    return true;
  });
}

async function world() {
  const folder = await temporaryFolder();
  const file = (name: string) => join(folder.path, name);
  return {
    file,
    url: (name: string) => `sqlite:${file(name)}`,
    files: () => readdirSync(folder.path).sort(),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

describe('a move between SQLite files', () => {
  for (const seed of [1, 2]) {
    test(`has all that was there, seed ${seed}, and leaves the source as it was`, async () => {
      await using at = await world();
      await fillStore(fixtureOf(at.url('a')), seed);
      const digest = fileDigest(at.file('a'));
      const progress: MoveProgress[] = [];
      const report = await moveStore({
        from: at.url('a'),
        to: at.url('b'),
        onProgress: (each) => progress.push(each),
      });
      assert.deepEqual(dumpSqlite(at.file('b')), dumpSqlite(at.file('a')));
      assert.equal(fileDigest(at.file('a')), digest);
      assert.equal(report.from, `database ${at.file('a')}`);
      assert.equal(report.to, `database ${at.file('b')}`);
      const total = Object.values(report.rows).reduce((sum, count) => sum + count, 0);
      assert.equal(progress[0]?.rowsDone, 0);
      assert.deepEqual(progress.at(-1), { rowsDone: total, rowsTotal: total });
      // The queue goes on where it was.
      assert.deepEqual(await snapshot(at.url('b')), await snapshot(at.url('a')));
    });
  }

  test('of an empty store has its highest id', async () => {
    await using at = await world();
    await using _session = await StoreSession.open(fixtureOf(at.url('a')));
    await _session.store.close();
    await moveStore({ from: at.url('a'), to: at.url('b') });
    assert.deepEqual(dumpSqlite(at.file('b')), dumpSqlite(at.file('a')));
  });

  test('takes over a database of the original opsqueue first', async () => {
    await using at = await world();
    const original = fileURLToPath(new URL('../../fixtures/reference-db/all-states.db', import.meta.url));
    copyFileSync(original, at.file('a'));
    const lines: string[] = [];
    const info = (_fields: object, message: string) => void lines.push(message);
    const logger = { debug() {}, info, warn: info, error: info };
    await moveStore({ from: at.url('a'), to: at.url('b'), logger });
    assert.match(lines.join(), /^took over the database of the original opsqueue in /);
    assert.deepEqual(dumpSqlite(at.file('b')), dumpSqlite(at.file('a')));
    assert.ok(at.files().some((name) => name.startsWith('a.reference-backup-')));
  });

  test('that ends between two pages leaves a target that no queue takes, and the next one starts over', async () => {
    await using at = await world();
    await fillStore(fixtureOf(at.url('a')), 1);
    const controller = new AbortController();
    const move = moveStore({
      from: at.url('a'),
      to: at.url('b'),
      signal: controller.signal,
      onProgress: ({ rowsDone }) => rowsDone > 0 && controller.abort(new Error('enough')),
    });
    await assert.rejects(move, /^Error: enough$/);
    const sentence =
      /^database \S+b: an opsqueue move into it has not come to its end: run the same opsqueue move again, which starts over$/;
    await refused(openStore(at.url('b')), sentence);
    await refused(moveStore({ from: at.url('b'), to: at.url('c') }), sentence);
    await commit(at.url('a'), insertOf(100n, { prefix: 'later' }));
    await moveStore({ from: at.url('a'), to: at.url('b') });
    assert.deepEqual(dumpSqlite(at.file('b')), dumpSqlite(at.file('a')));
  });

  test('is refused where the target holds something, and that is left as it is', async () => {
    await using at = await world();
    await fillStore(fixtureOf(at.url('a')), 1);
    await commit(at.url('b'), insertOf(1n));
    writeFileSync(at.file('text'), 'no database');
    copyFileSync(
      fileURLToPath(new URL('../../fixtures/reference-db/all-states.db', import.meta.url)),
      at.file('o'),
    );
    for (const [to, message] of [
      ['b', /b: it is not empty: move to a file that does not exist, or remove this one first$/],
      ['o', /o: it is not empty/],
      ['text', /text: the file is not an SQLite database$/],
      ['a', /a: it is in use by another queue/],
      ['none/b', /the folder \S+none does not exist$/],
    ] as const) {
      const digest = existsSync(at.file(to)) ? fileDigest(at.file(to)) : null;
      await refused(moveStore({ from: at.url('a'), to: at.url(to) }), message);
      assert.equal(existsSync(at.file(to)) ? fileDigest(at.file(to)) : null, digest, to);
    }
    // The log of a file that is gone is what was committed last.
    const open = await StoreSession.open(fixtureOf(at.url('e')));
    await open.commit(insertOf(1n));
    copyFileSync(at.file('e-wal'), at.file('c-wal'));
    await open.store.close();
    await refused(
      moveStore({ from: at.url('a'), to: at.url('c') }),
      /c: the file is missing, but its write-ahead log \S+c-wal is there/,
    );
    assert.ok(existsSync(at.file('c-wal')));
    const never = await StoreSession.open(fixtureOf(at.url('d')));
    await never.store.close();
    await moveStore({ from: at.url('a'), to: at.url('d') });
    assert.deepEqual(dumpSqlite(at.file('d')), dumpSqlite(at.file('a')));
  });

  test('is refused where the source is in use, missing, or of another version', async () => {
    await using at = await world();
    const to = at.url('z');
    await refused(moveStore({ from: at.url('a'), to }), /a: the file does not exist$/);
    writeFileSync(at.file('empty'), '');
    await refused(moveStore({ from: at.url('empty'), to }), /empty: it holds nothing to move$/);
    await fillStore(fixtureOf(at.url('a')), 1);
    const store = await openStore(at.url('a'));
    await refused(moveStore({ from: at.url('a'), to }), /a: it is in use by another queue/);
    await store.close();
    for (const [version, message] of [
      [
        SCHEMA_VERSION - 1,
        /an older opsqueue wrote it \(its schema is number \d+, this version moves \d+\): start this version on it once/,
      ],
      [SCHEMA_VERSION + 1, /it was written by a newer opsqueue/],
    ] as const) {
      const database = new DatabaseSync(at.file('a'));
      database.exec(`PRAGMA user_version = ${version}`);
      database.close();
      const digest = fileDigest(at.file('a'));
      await refused(moveStore({ from: at.url('a'), to }), message);
      assert.equal(fileDigest(at.file('a')), digest);
    }
    assert.ok(!existsSync(at.file('z')));
    await assert.rejects(moveStore({ from: 'memory:', to }), {
      code: 'INCORRECT_USAGE',
      message: 'from: a store of memory: cannot be moved: it keeps nothing',
    });
    await assert.rejects(moveStore({ from: at.url('a'), to: 'sqlite::memory:' }), {
      code: 'INCORRECT_USAGE',
    });
    await assert.rejects(moveStore({ from: at.file('a'), to }), /^IncorrectUsageError.*from must be a URL/);
  });
});

describe('a move to PostgreSQL', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  for (const seed of [3, 4]) {
    test(`and back has all that was there, seed ${seed}`, async () => {
      await using at = await world();
      await fillStore(fixtureOf(at.url('a')), seed);
      const { url } = server.fixture();
      const report = await moveStore({ from: at.url('a'), to: url });
      assert.match(report.to, /^database postgres:\/\/postgres@127\.0\.0\.1:\d+\/postgres\?schema=s\d+$/);
      const back = await moveStore({ from: url, to: at.url('b') });
      assert.deepEqual(back.rows, report.rows);
      assert.deepEqual(dumpSqlite(at.file('b')), dumpSqlite(at.file('a')));
      const there = await snapshot(url);
      assert.deepEqual(there, await snapshot(at.url('a')));
      await using session = await StoreSession.open(fixtureOf(url));
      for (let shard = 0; shard < SHARDS; shard++) {
        for (const { record } of (await Array.fromAsync(session.store.load([shard]))).flat())
          assert.equal(shardOfQueue(record.queue), shard);
      }
      assert.equal(
        await session.store.countEnded('', 'cancelled'),
        there.ended.filter(({ end }) => end?.state === 'cancelled').length,
      );
    });
  }

  test('that ends between two pages leaves a target that no queue takes, and the next one starts over', async () => {
    await using at = await world();
    await fillStore(fixtureOf(at.url('a')), 1);
    const { url } = server.fixture();
    const controller = new AbortController();
    const move = moveStore({
      from: at.url('a'),
      to: url,
      signal: controller.signal,
      onProgress: ({ rowsDone }) => rowsDone > 0 && controller.abort(new Error('enough')),
    });
    await assert.rejects(move, /^Error: enough$/);
    const sentence =
      /^database postgres:\S+: an opsqueue move into it has not come to its end: run the same opsqueue move again, which starts over$/;
    await refused(openStore(url), sentence);
    await refused(moveStore({ from: url, to: at.url('c') }), sentence);
    await moveStore({ from: at.url('a'), to: url });
    assert.deepEqual(await snapshot(url), await snapshot(at.url('a')));
  });

  test('is refused where something is, or another move goes on', async () => {
    await using at = await world();
    await fillStore(fixtureOf(at.url('a')), 1);
    const { url } = server.fixture();
    await refused(moveStore({ from: url, to: at.url('b') }), /its schema s\d+ holds nothing to move$/);
    await refused(
      moveStore({
        from: at.url('a'),
        to: url,
        onProgress: () => {},
        signal: AbortSignal.abort(),
      }).catch((error: Error) => {
        if (error.name !== 'AbortError') throw error;
        return moveStore({ from: at.url('a'), to: url }).then(() =>
          moveStore({ from: at.url('a'), to: url }),
        );
      }),
      /it is not empty: move to a schema of its own \(\?schema=NAME\), or drop this one first$/,
    );
    const other = server.fixture().url;
    const client = new pg.Client(server.url());
    await client.connect();
    const schema = new URL(other).searchParams.get('schema');
    await client.query('SELECT pg_advisory_lock(1869640557, hashtext($1))', [schema]);
    await refused(moveStore({ from: at.url('a'), to: other }), /another opsqueue move into it is under way$/);
    await client.end();
  });

  test('is refused to and from a store in which a node has the lease, and nobody takes one of an incomplete store', async () => {
    await using at = await world();
    await fillStore(fixtureOf(at.url('a')), 1);
    const { url } = server.fixture();
    const store = await openStore(url);
    const claim = { holder: 'one', address: 'node-a:3999', leaseMs: 60_000 };
    const leases = store.leases!;
    const take = async () => leases.take((await leases.look(null)).free, claim);
    const taken = (await take()).find(({ shard }) => shard === 0)!;
    const inUse =
      /it is in use by the queue at node-a:3999: stop all its nodes first \(one that was killed has its lease for \d+ s more\)$/;
    await refused(moveStore({ from: url, to: at.url('b') }), inUse);
    await refused(moveStore({ from: at.url('a'), to: url }), inUse);
    assert.deepEqual((await leases.look(null, [taken])).renewed, [0], 'it goes on');
    await leases.give((await leases.look(null)).leases);
    const broken = moveStore({ from: at.url('a'), to: url, signal: AbortSignal.abort() });
    await assert.rejects(broken, { name: 'AbortError' });
    assert.deepEqual(await take(), []);
    assert.match((await leases.look(claim)).reason ?? '', /has not come to its end/);
    await moveStore({ from: at.url('a'), to: url });
    const again = await take();
    assert.equal(again.length, 64);
    assert.ok(
      again.every(({ highestId }) => highestId === 2n ** 63n - 1n),
      'ids of every shard go on',
    );
    await store.close();
  });

  test('notices a row that is not what was written, and one too many, and stays incomplete', async () => {
    await using at = await world();
    await fillStore(fixtureOf(at.url('a')), 1);
    for (const [body, message] of [
      [
        'NEW.checksum := NEW.checksum + 1; RETURN NEW',
        /what was read back differs from what was written: pages \(\d+, \d+\)$/,
      ],
      [
        "INSERT INTO controls VALUES ('zz', '{}') ON CONFLICT DO NOTHING; RETURN NEW",
        /controls has \d+ rows, \d+ were moved$|differs from what was written: controls/,
      ],
    ] as const) {
      const { url } = server.fixture();
      await (await openStore(url)).close();
      const client = new pg.Client(server.url());
      await client.connect();
      const schema = new URL(url).searchParams.get('schema');
      await client.query(`SET search_path = ${schema};
        CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body}; END $$;
        CREATE TRIGGER damage BEFORE INSERT ON pages FOR EACH ROW EXECUTE FUNCTION damage()`);
      await client.end();
      await assert.rejects(moveStore({ from: at.url('a'), to: url }), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'STORE_CORRUPT');
        assert.match(error.message, message);
        return true;
      });
      await refused(openStore(url), /has not come to its end/);
    }
  });

  test('fences a queue that uses the source without a lease, and lets it go on if the move fails', async () => {
    await using at = await world();
    const { url } = server.fixture();
    await fillStore(fixtureOf(url), 1);
    await using session = await StoreSession.open(fixtureOf(url));
    await assert.rejects(moveStore({ from: url, to: at.url('none/b') }), /does not exist/);
    await session.commit(insertOf(200n, { prefix: 'goes on' }));
    await moveStore({ from: url, to: at.url('b') });
    await assert.rejects(session.commit(insertOf(201n, { prefix: 'is fenced' })), { code: 'STORE_FENCED' });
  });
});
