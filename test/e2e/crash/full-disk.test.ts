import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { crashPatienceMs } from '../../support/crash/budget.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { InlineDatabase } from '../../support/fakes/inline-database.ts';
import { ConsumerPeer } from '../../support/peers/consumer-peer.ts';
import { TestServer } from '../../support/queues/test-server.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const request = (prefix: string, bytes: number) =>
  JSON.stringify({
    chunk_contents: { SeeObjectStorage: { prefix, count: 3 } },
    metadata: Array<number>(bytes).fill(7),
  });

test('a database that may not grow: 503 and unhealthy, what was in the batch is answered when there is room again, and only then', {
  timeout: crashPatienceMs(0),
}, async () => {
  await using folder = await temporaryFolder();
  const databaseFilename = `${folder.path}/q.db`;
  {
    const database = new InlineDatabase({ kind: 'file', path: databaseFilename, mustExist: false });
    await using queue = await TestServer.start({ store: new SqliteStore(database, true) });
    const pages = Object.values(database.sqlite.prepare('PRAGMA page_count').get() ?? {})[0];
    const id = await queue.insert('before', 3);
    using client = await RawQueue.connect(queue.port);
    const peer = await ConsumerPeer.connect(queue.port);
    const [first] = await peer.reserved(1);
    assert.ok(first);

    database.sqlite.exec(`PRAGMA max_page_count = ${pages}`);
    using stuck = await RawQueue.connect(queue.port);
    let answered = false;
    const answer = stuck.post('/producer/submissions', request('stuck', 100_000)).then((came) => {
      answered = true;
      return came;
    });
    while ((await client.get('/ping')).status === 200);
    const refused = await client.post('/producer/submissions', request('refused', 10));
    assert.deepEqual(
      [refused.status, refused.body.toString()],
      [503, '"the store takes nothing at the moment"'],
    );
    // What was there can be read; what is done meanwhile is not told.
    peer.complete(first.chunk);
    peer.reserve(1);
    await peer.next('reserved');
    const found = await client.status(id);
    assert.ok(found?.status.state === 'in_progress' && found.status.chunksDone === 0, found?.text ?? 'gone');
    assert.equal(await client.idByPrefix('stuck'), null);
    assert.equal(answered, false);

    database.sqlite.exec('PRAGMA max_page_count = 1000000');
    assert.equal((await answer).status, 200);
    assert.equal((await client.get('/ping')).body.toString(), 'pong');
    assert.deepEqual([...(await client.done(id))], [first.chunk.chunkIndex]);
    assert.equal((await client.post('/producer/submissions', request('after', 10))).status, 200);
    peer.cut();
  }
  await using again = await TestServer.start({ databaseFilename });
  using client = await RawQueue.connect(again.port);
  for (const prefix of ['before', 'stuck', 'after']) assert.ok(await client.idByPrefix(prefix), prefix);
  assert.equal(await client.idByPrefix('refused'), null);
});
