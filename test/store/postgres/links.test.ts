/** What is between the store and its database: links that break, and poolers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { insertOf, page } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openStore } from '../../../src/store/index.ts';
import { randomInt, seededRandom } from '../../../src/system/random.ts';
import { TcpProxy } from '../../support/network/tcp-proxy.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';
import { TransactionPooler } from '../../support/store/transaction-pooler.ts';

describe('the link to PostgreSQL', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  test('is cut at any byte, in good order or with a reset: no batch is lost, and none takes place twice', async (t) => {
    const seed = 20_261_127;
    t.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    let cuts = 0;
    await using proxy = await TcpProxy.start(server.port, () => {
      // The first two connections, those of the start, hold for long.
      const afterBytes = cuts++ < 2 ? 40_000 : 3_000 + randomInt(random, 15_000);
      return { cut: { afterBytes, how: random.next() < 0.5 ? 'end' : 'reset' } };
    });
    const fixture = {
      open: () => openStore(server.url('?schema=cut', undefined, proxy.port)),
      dispose: async () => {},
    };
    await using session = await StoreSession.open(fixture);
    for (let id = 1n; id <= 40n; id++) {
      const [mine, again] = await session.commit(
        insertOf(id, { prefix: `p${id}` }),
        insertOf(1000n + id, { prefix: `p${id > 1n ? id - 1n : id}` }),
        page(id, 0, [Number(id % 10n)]),
      );
      assert.equal(mine?.kind, 'inserted');
      assert.equal(again?.kind === 'exists' && again.submission.record.id, id > 1n ? id - 1n : id);
    }
    assert.equal(await session.read((store) => store.lastSeq(0)), 40);
    assert.ok(proxy.cuts.end + proxy.cuts.reset > 5, `${JSON.stringify(proxy.cuts)}`);
    await using direct = await StoreSession.open({
      ...fixture,
      open: () => openStore(server.url('?schema=cut')),
    });
    const loaded = await direct.loadAll();
    assert.deepEqual(
      loaded.map(({ record, done }) => [record.id, [...done]]),
      Array.from({ length: 40 }, (_, i) => [BigInt(i + 1), [(i + 1) % 10]]),
    );
  });

  test('goes through a pooler in transaction mode: that is noticed, and refused', async () => {
    await using pooler = await TransactionPooler.start(server.port);
    await assert.rejects(openStore(server.url('?schema=pooled', undefined, pooler.port)), {
      code: 'STORE_UNUSABLE',
      message:
        `database postgres://postgres@127.0.0.1:${pooler.port}/postgres?schema=pooled: ` +
        'a connection pooler in transaction mode is in between, which does not keep sessions: ' +
        'connect to PostgreSQL itself, or to a pooler in session mode',
    });
  });
});
