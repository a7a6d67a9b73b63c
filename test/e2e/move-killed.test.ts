import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { StoreSession } from '../../src/store/conformance/session.ts';
import { moveStore, openStore } from '../../src/store/index.ts';
import { randomInt, seededRandom, systemRandom } from '../../src/system/random.ts';
import { runOpsqueue, startQueue } from '../support/processes.ts';
import { dumpSqlite } from '../support/store/dump.ts';
import { PostgresServer, withoutPostgres } from '../support/store/postgres-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SUBMISSIONS = 4_000;

/** A store with as many submissions, half of them completed, and a page of each that is open. */
async function sourceAt(filename: string): Promise<void> {
  const session = await StoreSession.open({
    open: () => openStore(`sqlite:${filename}`),
    dispose: async () => {},
  });
  await session.store.close();
  using database = new DatabaseSync(filename);
  database.exec(`
    WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ${SUBMISSIONS})
    INSERT INTO submissions (id, state, prefix, chunks_total, chunk_size_ops, retry_delay_ms, ended_at_ms)
      SELECT id, id % 2, 'prefix ' || id, 4096, 1, 0, CASE id % 2 WHEN 1 THEN id END FROM n;
    INSERT INTO pages SELECT id, 0, randomblob(512), 0 FROM submissions WHERE state = 0;
    UPDATE shards SET highest_id = ${SUBMISSIONS}, last_seq = 7`);
}

/** Kills a move at some time, and says what it had printed. */
async function killedMove(from: string, to: string, afterLines: number): Promise<string> {
  await using move = runOpsqueue(['move', '--from', from, '--to', to, '--json']);
  await move.lines(/rows_done|took_ms/, afterLines);
  await move.kill('SIGKILL');
  return move.output('stdout');
}

describe('a move that is killed', { skip: withoutPostgres() }, () => {
  const seed = randomInt(systemRandom, 1_000_000);
  const random = seededRandom(seed);
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  for (const kind of ['sqlite', 'postgres'] as const) {
    test(`leaves nothing that a queue could start on (${kind}, seed ${seed}), and may be run again`, async () => {
      await using folder = await temporaryFolder();
      const file = (name: string) => join(folder.path, name);
      await sourceAt(file('a'));
      const before = dumpSqlite(file('a'));
      const from = `sqlite:${file('a')}`;
      const to = kind === 'sqlite' ? `sqlite:${file('b')}` : server.fixture().url;
      // Six pages and a line before them.
      for (const lines of kind === 'sqlite' ? [1, 1 + randomInt(random, 6)] : [1 + randomInt(random, 6)]) {
        const said = await killedMove(from, to, lines);
        assert.ok(!said.includes('took_ms'), `not too late: ${lines}`);
        await assert.rejects(openStore(to), /has not come to its end/);
      }
      await using queue = runOpsqueue(['--port', '0', '--store', to]);
      assert.equal((await queue.exit()).code, 1);
      assert.match(
        queue.output('stderr'),
        /an opsqueue move into it has not come to its end: run the same opsqueue move again/,
      );
      assert.deepEqual(dumpSqlite(file('a')), before);
      await using move = runOpsqueue(['move', '--from', from, '--to', to]);
      assert.equal((await move.exit()).code, 0, move.output('stderr'));
      assert.match(
        move.output('stdout'),
        /^moved 4,000 submissions \(2,000 in progress\), 2,000 of pages in .+\nfrom database .+\nto {3}database .+\nEvery row was read back/m,
      );
      const back = kind === 'sqlite' ? file('b') : file('c');
      if (kind === 'postgres') await moveStore({ from: to, to: `sqlite:${back}` });
      assert.deepEqual(dumpSqlite(back), before);
    });
  }

  test('is refused while a queue runs on the source, and the queue goes on', async () => {
    await using folder = await temporaryFolder();
    const filename = join(folder.path, 'a');
    const { queue, port } = await startQueue(['--database-filename', filename]);
    await using _queue = queue;
    await using move = runOpsqueue(['move', '--from', `sqlite:${filename}`, '--to', server.fixture().url]);
    assert.equal((await move.exit()).code, 1);
    assert.match(move.output('stderr'), /^opsqueue: database \S+a: it is in use by another queue .*\n$/);
    await using count = runOpsqueue(['count', '--url', `localhost:${port}`]);
    assert.equal((await count.exit()).code, 0);
  });
});
