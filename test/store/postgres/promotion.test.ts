/** A store whose database fails over: the primary goes, and its standby is promoted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openStore } from '../../../src/store/index.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { PostgresPair } from '../../support/store/postgres-pair.ts';
import { withoutPostgres } from '../../support/store/postgres-server.ts';

test('a primary that is killed while commits are under way: the promoted standby has every one that was acknowledged, and the log says that it stands alone', {
  skip: withoutPostgres(),
}, async () => {
  await using pair = await PostgresPair.start();
  const ports = [pair.standby?.port, pair.primary.port];
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join();
  // The standby comes first: it takes no writes yet.
  const url = pair.primary.url('?schema=promoted').replace(/127[.\d:]+/, hosts);
  const logger = recordingLogger();
  // As long as the first one has none, it says so; then nobody is told of that standby.
  await pair.waitForStandby(false);
  await using session = await StoreSession.open({
    open: () => openStore(url, { logger }),
    dispose: async () => {},
  });
  let id = 0n;
  let isOver = false;
  const committing = (async () => {
    while (!isOver) await session.commit(insertOf(++id));
  })();
  while (id < 20n) await new Promise((resolve) => setImmediate(resolve));
  const warnings = () => logger.lines.filter(({ message }) => message.includes('no synchronous standby'));
  assert.equal(warnings().length, 1);
  await pair.waitForStandby(true);
  const idConfirmed = id;
  while (id < idConfirmed + 20n) await new Promise((resolve) => setImmediate(resolve));
  await pair.failOver('crash');
  const idThen = id;
  while (id < idThen + 20n) await new Promise((resolve) => setImmediate(resolve));
  isOver = true;
  await committing;
  assert.equal(warnings().length, 2);
  await pair.endSessions();
  await session.commit(insertOf(++id));
  assert.equal(warnings().length, 2, 'said again of the same server');
  const loaded = await session.loadAll();
  assert.deepEqual(
    loaded.map(({ record }) => record.id),
    Array.from({ length: Number(id) }, (_, i) => BigInt(i + 1)),
  );
});
