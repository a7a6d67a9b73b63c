/** The queue on PostgreSQL, when either of them dies in the middle of work. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { randomInt } from '../../../src/system/random.ts';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { Ledger } from '../../support/crash/ledger.ts';
import { Load } from '../../support/crash/load.ts';
import { RawQueue } from '../../support/crash/raw-queue.ts';
import { verifyLedger } from '../../support/crash/verify.ts';
import { startQueue } from '../../support/processes.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';

const SHARE = 0.1;

describe('on PostgreSQL', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  test('a queue that is killed, and at times its database with it, keeps all that it had told', {
    timeout: crashPatienceMs(SHARE),
  }, async (t) => {
    const { random, numbers } = crashRounds(t, 2, SHARE);
    // A queue that is killed leaves its lease behind.
    const store = { env: { OPSQUEUE_STORE: server.url('?schema=killed'), OPSQUEUE_LEASE: '2s' } };
    const flags = ['--max-chunk-retries', '3'];
    const ledger = new Ledger();
    for (const round of numbers) {
      ledger.restarted();
      const { queue, port } = await startQueue(flags, store);
      await using _queue = queue;
      const load = Load.start(port, { ledger, random, name: `round-${round}` });
      await load.reaches(ledger.facts + 50 + randomInt(random, 200));
      const killed = queue.kill('SIGKILL');
      if (round % 2 === 0) {
        await server.stop('crash');
        await server.startAgain();
      }
      assert.deepEqual(await killed, { code: null, signal: 'SIGKILL' });
      await load.ended();
    }
    ledger.restarted();
    const { queue, port } = await startQueue(flags, store);
    await using _queue = queue;
    using client = await RawQueue.connect(port);
    const compared = await verifyLedger(client, ledger);
    assert.ok(compared > 20 && ledger.facts > 100, `${compared} submissions, ${ledger.facts} facts`);
    assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
  });

  test('a database that is restarted, or crashes, under load is waited for: one line each time, and nothing is lost', async () => {
    // Longer than the restarts take.
    const store = { env: { OPSQUEUE_STORE: server.url('?schema=restarted'), OPSQUEUE_LEASE: '60s' } };
    const { queue, port } = await startQueue([], store);
    await using _queue = queue;
    const acknowledged = new Map<string, string>();
    let isStopping = false;
    let number = 0;
    /** Inserts one after the other, each until it is acknowledged. */
    const insertAll = async () => {
      using client = await RawQueue.connect(port);
      while (!isStopping) {
        const prefix = `p${++number}`;
        const request = { chunk_contents: { SeeObjectStorage: { prefix, count: 5 } }, chunk_size: 3 };
        for (;;) {
          const { status, body } = await client.post('/producer/submissions', JSON.stringify(request));
          if (status === 200) {
            acknowledged.set(prefix, body.toString());
            break;
          }
          assert.equal(status, 503, body.toString());
        }
      }
    };
    const producers = Promise.all(Array.from({ length: 8 }, insertAll));
    for (const [round, how] of (['fast', 'crash'] as const).entries()) {
      await server.stop(how);
      await queue.lines(/the store takes no batches/, round + 1);
      await server.startAgain();
      await queue.lines(/the store takes batches again/, round + 1);
    }
    isStopping = true;
    await producers;
    assert.equal(queue.output('stderr').split('the store takes no batches').length - 1, 2);
    using client = await RawQueue.connect(port);
    for (const [prefix, id] of acknowledged) {
      assert.equal(String(await client.idByPrefix(prefix)), id, prefix);
    }
    assert.equal((await client.openIds()).length, acknowledged.size);
    assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
  });
});
