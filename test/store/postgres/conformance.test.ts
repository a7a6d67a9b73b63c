import { after, before, describe } from 'node:test';
import { storeConformance } from '../../../src/store/conformance/index.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';

describe('PostgreSQL', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  storeConformance('postgres', { fixture: async () => server.fixture(), second: 'fences', randomRuns: 8 });
});
