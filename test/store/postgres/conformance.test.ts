import { after, before, describe } from 'node:test';
import pg from 'pg';
import { storeConformance } from '../../../src/store/conformance/index.ts';
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

  storeConformance('postgres', { fixture: async () => server.fixture(), second: 'fences', randomRuns: 8 });
});
