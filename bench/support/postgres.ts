/** A PostgreSQL to measure on: that of the tests, in a temporary folder, with its settings as they come. */
import pg from 'pg';
import { PostgresServer, withoutPostgres } from '../../test/support/store/postgres-server.ts';

export interface BenchPostgres extends AsyncDisposable {
  /** An empty store for each call. */
  storeUrl(): string;
  /** The bound of every commit: an update of one row, in milliseconds each. */
  bareCommitsMs(times: number): Promise<number[]>;
}

/** @throws if test/postgres is not installed: its tests do that */
export async function startPostgres(): Promise<BenchPostgres> {
  if (withoutPostgres() !== false) throw new Error('run first: npm test -- test/store/postgres');
  const server = await PostgresServer.start();
  return {
    storeUrl: () => server.fixture().url,
    async bareCommitsMs(times) {
      const client = new pg.Client(server.url());
      await client.connect();
      await client.query('CREATE TABLE IF NOT EXISTS bare AS SELECT 1 AS id, 0 AS number');
      const taken: number[] = [];
      for (let i = 0; i < times; i++) {
        const began = performance.now();
        await client.query({ name: 'bare', text: 'UPDATE bare SET number = number + 1 WHERE id = 1' });
        taken.push(performance.now() - began);
      }
      await client.end();
      return taken;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
