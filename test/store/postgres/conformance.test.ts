import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { storeConformance } from '../../../src/store/conformance/index.ts';
import { failed, insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
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
        await admin.query(`UPDATE ${schema}.shards SET expires_at = expires_at - $1 * interval '1 ms'`, [ms]);
        await admin.end();
      },
    };
  });

  test('a claim that comes late, after the node has taken the lease by another one, changes nothing', async () => {
    const fixture = server.fixture();
    const store = await fixture.open();
    const leases = store.leases!;
    const claim = { holder: 'a', address: 'a:3999', leaseMs: 60_000 };
    const first = await leases.take(0, claim);
    assert(first.kind === 'taken');
    await leases.give(0, first.grant.epoch);
    const admin = new pg.Client(server.url());
    await admin.connect();
    await admin.query(`SET search_path = ${new URL(fixture.url).searchParams.get('schema')}`);
    await admin.query('BEGIN');
    await admin.query("UPDATE shards SET epoch = epoch + 1, expires_at = now() + interval '1 minute'");
    const late = leases.take(0, claim);
    late.catch(() => {});
    for (let isWaiting = false; !isWaiting; ) {
      const { rows } = await admin.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
      isWaiting = rows.length > 0;
    }
    await admin.query('COMMIT');
    await assert.rejects(late, { code: 'STORE_TRANSIENT' });
    assert.equal(await leases.renew(0, first.grant.epoch + 1), true);
    await admin.end();
    await store.close();
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

  test('who has been fenced cleans up nothing any more', async () => {
    const fixture = server.fixture();
    await using before = await StoreSession.open(fixture);
    await before.commit(insertOf(1n), failed(1n, 100));
    await using now = await StoreSession.open(fixture);
    await assert.rejects(before.store.forget([1n]), { code: 'STORE_FENCED' });
    assert.equal(await now.store.forget([1n]), 1);
  });

  storeConformance('postgres', { fixture: async () => server.fixture(), second: 'fences', randomRuns: 8 });
});
