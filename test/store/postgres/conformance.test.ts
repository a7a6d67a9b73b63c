import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { storeConformance } from '../../../src/store/conformance/index.ts';
import { failed, insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import type { Store } from '../../../src/store/store.ts';
import { leaseConformance } from '../../support/store/lease-conformance.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';

describe('PostgreSQL', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  leaseConformance('postgres', async () => {
    const fixture = server.fixture();
    return {
      open: () => fixture.open(),
      async passes(ms) {
        const admin = new pg.Client(fixture.url);
        await admin.connect();
        const schema = new URL(fixture.url).searchParams.get('schema');
        for (const table of ['shards', 'nodes']) {
          await admin.query(`UPDATE ${schema}.${table} SET expires_at = expires_at - $1 * interval '1 ms'`, [
            ms,
          ]);
        }
        await admin.end();
      },
    };
  });

  test('a batch that takes long holds up neither the renewal of other leases, nor what is taken, awaited and given', async () => {
    const fixture = server.fixture();
    await using store = Object.assign(await fixture.open(), {
      async [Symbol.asyncDispose](this: Store) {
        await this.close();
      },
    });
    const leases = store.leases!;
    const claim = { holder: 'a', address: 'a:3999', leaseMs: 60_000 };
    const free = [1, 2, 3, 4].map((shard) => ({ shard, epoch: 0 }));
    const grants = await leases.take(free.slice(0, 3), claim);
    const [one, two, three] = [1, 2, 3].map((shard) => grants.find((grant) => grant.shard === shard)!);
    const admin = new pg.Client(server.url());
    await admin.connect();
    await admin.query(`SET search_path = ${new URL(fixture.url).searchParams.get('schema')}`);
    await admin.query('BEGIN');
    await admin.query('UPDATE shards SET last_seq = last_seq WHERE shard = 1');
    assert.deepEqual((await leases.look(claim, [one!, two!])).renewed, [2]);
    assert.deepEqual(await leases.take([one!], claim), []);
    assert.equal((await leases.take(free.slice(3), claim)).length, 1);
    assert.deepEqual(await leases.ready([one!, two!]), [one]);
    assert.deepEqual(await leases.give([one!, two!, three!]), [one]);
    const freeNow = async () => (await leases.look(null)).free.map(({ shard }) => shard).slice(0, 4);
    assert.deepEqual(await freeNow(), [0, 2, 3, 5]);
    await admin.query('COMMIT');
    await admin.end();
    assert.deepEqual(await leases.give([one!, two!]), []);
    assert.deepEqual(await freeNow(), [0, 1, 2, 3]);
  });

  test('what another session is about to reopen is not forgotten, and is counted once', async () => {
    const fixture = server.fixture();
    await using session = await StoreSession.open(fixture);
    await session.commit(insertOf(1n), failed(1n, 100), insertOf(2n), failed(2n, 100));
    const admin = new pg.Client(server.url());
    await admin.connect();
    await admin.query(`SET search_path = ${new URL(fixture.url).searchParams.get('schema')}`);
    await admin.query('BEGIN');
    await admin.query('UPDATE submissions SET state = 0, ended_at_ms = NULL WHERE id = 1');
    const forgetting = session.store.forget([1n, 2n]);
    for (let isWaiting = false; !isWaiting; ) {
      const { rows } = await admin.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
      isWaiting = rows.length > 0;
    }
    await admin.query('COMMIT');
    await admin.end();
    assert.equal(await forgetting, 1);
    assert.deepEqual(
      (await session.loadAll()).map(({ record }) => record.id),
      [1n],
    );
    assert.equal(await session.store.countEnded('', 'failed'), 1);
  });

  test('two nodes that clean up the same submission leave nothing of it behind', async () => {
    const fixture = server.fixture();
    await using a = await StoreSession.open(fixture);
    await a.commit(insertOf(1n), failed(1n, 100));
    const b = await fixture.open();
    const admin = new pg.Client(server.url());
    await admin.connect();
    await admin.query(`SET search_path = ${new URL(fixture.url).searchParams.get('schema')}`);
    await admin.query("INSERT INTO direct_inputs SELECT 1, i, '' FROM generate_series(0, 10000) AS i");
    await admin.query('BEGIN');
    await admin.query('SELECT FROM direct_inputs WHERE chunk_index = 0 FOR UPDATE');
    const waiting = async (): Promise<number> => {
      const { rows } = await admin.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
      return rows.length;
    };
    let isForgotten = false;
    const first = a.store.forget([1n], () => {
      isForgotten = true;
    });
    while ((await waiting()) < 1);
    assert.ok(isForgotten);
    let isOver = false;
    const second = b.forget([]).then(() => {
      isOver = true;
    });
    while (!isOver && (await waiting()) < 2);
    await admin.query('COMMIT');
    await Promise.all([first, second]);
    const { rows } = await admin.query(
      'SELECT submission_id FROM direct_inputs UNION SELECT id FROM submissions',
    );
    await admin.end();
    await b.close();
    assert.deepEqual(rows, []);
  });

  test('a batch that takes long keeps only the submissions of its shard from being forgotten', async () => {
    const fixture = server.fixture();
    const store = await fixture.open();
    for (const { shard, epoch } of await store.acquire([0, 1], 'test')) {
      const id = BigInt(shard + 1);
      await store.commit({ shard, epoch, seq: 1, mutations: [insertOf(id), failed(id, 100)] });
    }
    const admin = new pg.Client(server.url());
    await admin.connect();
    await admin.query(`SET search_path = ${new URL(fixture.url).searchParams.get('schema')}`);
    await admin.query('BEGIN');
    await admin.query('UPDATE shards SET last_seq = last_seq WHERE shard = 1');
    assert.equal(await store.forget([1n, 2n]), 1);
    await admin.query('COMMIT');
    await admin.end();
    assert.equal(await store.forget([1n, 2n]), 1);
    await store.close();
  });

  test('who has been fenced cleans up nothing any more', async () => {
    const fixture = server.fixture();
    await using before = await StoreSession.open(fixture);
    await before.commit(insertOf(1n), failed(1n, 100));
    await using now = await StoreSession.open(fixture);
    assert.equal(await before.store.forget([1n]), 0);
    assert.equal(await now.store.forget([1n]), 1);
  });

  storeConformance('postgres', { fixture: async () => server.fixture(), second: 'fences', randomRuns: 8 });
});
