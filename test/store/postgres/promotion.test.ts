/** A store whose database fails over: the primary goes, and its standby is promoted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openStore } from '../../../src/store/index.ts';
import { PostgresPair } from '../../support/store/postgres-pair.ts';
import { withoutPostgres } from '../../support/store/postgres-server.ts';

test('a primary that is killed while commits are under way: the promoted standby has every one that was acknowledged', {
  skip: withoutPostgres(),
}, async () => {
  await using pair = await PostgresPair.start();
  const ports = [pair.standby?.port, pair.primary.port];
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join();
  // The standby comes first: it takes no writes yet.
  const url = pair.primary.url('?schema=promoted').replace(/127[.\d:]+/, hosts);
  await using session = await StoreSession.open({ open: () => openStore(url), dispose: async () => {} });
  let id = 0n;
  let isOver = false;
  const committing = (async () => {
    while (!isOver) await session.commit(insertOf(++id));
  })();
  while (id < 20n) await new Promise((resolve) => setImmediate(resolve));
  await pair.failOver('crash');
  const idThen = id;
  while (id < idThen + 20n) await new Promise((resolve) => setImmediate(resolve));
  isOver = true;
  await committing;
  const loaded = await session.loadAll();
  assert.deepEqual(
    loaded.map(({ record }) => record.id),
    Array.from({ length: Number(id) }, (_, i) => BigInt(i + 1)),
  );
});
