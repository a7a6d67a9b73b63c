/** What is between the store and its database: links that break, and poolers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { insertOf, page } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import type { StoreError } from '../../../src/store/errors.ts';
import { type CommitResult, openStore } from '../../../src/store/index.ts';
import { Connections } from '../../../src/store/postgres/connections.ts';
import { parseLocation } from '../../../src/store/postgres/location.ts';
import { prepareDatabase } from '../../../src/store/postgres/open.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { randomInt, seededRandom } from '../../../src/system/random.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { freePort } from '../../support/network/free-port.ts';
import { TcpProxy } from '../../support/network/tcp-proxy.ts';
import { PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';
import { TransactionPooler } from '../../support/store/transaction-pooler.ts';
import { eventually } from '../../support/time/eventually.ts';

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

  /** With little patience for a link on which nothing comes. */
  async function openQuick(url: string, logger = recordingLogger(), leaseTimeoutMs = 1000) {
    const location = parseLocation(pg, url.slice('postgres:'.length));
    const connections = new Connections({
      pg,
      location,
      logger,
      clock: systemClock,
      quietMs: 100,
      leaseTimeoutMs,
    });
    await prepareDatabase(connections, { logger, clock: systemClock });
    return new PostgresStore(connections);
  }

  /** Of the only session of the store that has written lately, if its commit waits so; else null. */
  async function blockedPid(admin: pg.Client, waitEventType: string): Promise<number | null> {
    const { rows } = await admin.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'opsqueue' AND state = 'active' AND wait_event_type = $1",
      [waitEventType],
    );
    return rows[0]?.pid ?? null;
  }

  async function withAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
    const admin = new pg.Client(server.url());
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.end();
    }
  }

  /** Commits wait for a standby, which there is not, from some moment on. */
  async function whileUnconfirmed(admin: pg.Client, work: () => Promise<void>): Promise<void> {
    await admin.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await admin.query('SELECT pg_reload_conf()');
    try {
      await work();
    } finally {
      await admin.query('ALTER SYSTEM RESET synchronous_standby_names');
      await admin.query('SELECT pg_reload_conf()');
    }
  }

  for (const how of ['swallow', 'swallow answers'] as const) {
    test(`goes dead in the middle of a commit, without a word (${how}): another one is opened, and nothing is lost`, async () => {
      await using proxy = await TcpProxy.start(server.port);
      const logger = recordingLogger();
      const url = server.url(`?schema=${how.replace(' ', '_')}`, undefined, proxy.port);
      await using session = await StoreSession.open({
        open: () => openQuick(url, logger),
        dispose: async () => {},
      });
      await session.commit(insertOf(1n));
      await Promise.all([1n, 2n, 3n].map((id) => session.store.findById(id)));
      proxy.breakAll(how);
      const result = await session.store.commit(session.batch([insertOf(2n)]));
      assert.equal(result.kind, 'unknown');
      // The links that read are as dead as the one that wrote, and nobody waits for each of them to find out.
      const lastSeq = await session.store.lastSeq(0);
      assert.ok(
        lastSeq === 1 || (how === 'swallow answers' && lastSeq === 2),
        `the last batch is ${lastSeq}`,
      );
      await session.commit(insertOf(2n));
      assert.deepEqual(
        (await session.loadAll()).map(({ record }) => record.id),
        [1n, 2n],
      );
      const said = logger.lines.filter(({ message }) => /: cutting the connection$/.test(message));
      assert.ok(said.length >= 1);
    });
  }

  test('goes dead while it is idle: a lease notices, and what is read then goes over new connections', async () => {
    await using proxy = await TcpProxy.start(server.port);
    const logger = recordingLogger();
    const store = await openQuick(server.url('?schema=idle', undefined, proxy.port), logger, 300);
    await Promise.all([store.leases.look(null), ...[1n, 2n, 3n].map((id) => store.findById(id))]);
    proxy.isDead = true;
    proxy.breakAll('swallow');
    await assert.rejects(store.leases.look(null), /no answer for 300 ms$/);
    proxy.isDead = false;
    assert.deepEqual(await Promise.all([1n, 2n, 3n].map((id) => store.findById(id))), [null, null, null]);
    assert.deepEqual(
      logger.lines.filter(({ message }) => message.includes('cutting the connection')),
      [],
    );
    await store.close();
  });

  test('goes dead while a connection is being opened: that takes its time limit, and closing does not wait for it', async () => {
    await using proxy = await TcpProxy.start(server.port);
    const store = await openQuick(server.url('?schema=opening', undefined, proxy.port));
    await store.acquire([0], 'test');
    proxy.isDead = true;
    proxy.breakAll('reset');
    const reading = store.findById(1n).catch((error: unknown) => error);
    const again = store.findById(1n).catch((error: unknown) => error);
    await store.close(0);
    for (const error of [await reading, await again]) assert.ok(error instanceof Error, String(error));
  });

  test('is fine, but the commit has to wait in the database: it is waited for, and the log says for what', async () => {
    const logger = recordingLogger();
    const url = server.url('?schema=waits');
    await using session = await StoreSession.open({
      open: () => openQuick(url, logger),
      dispose: async () => {},
    });
    await session.commit(insertOf(1n));
    await withAdmin(async (admin) => {
      await admin.query('BEGIN');
      await admin.query('SELECT FROM waits.shards FOR UPDATE');
      const committing = session.commit(insertOf(2n));
      await eventually(() =>
        logger.lines.some(({ fields }) => /"doing":"Lock: \w+"/.test(JSON.stringify(fields))),
      );
      assert.ok(logger.lines.some(({ message }) => message === 'no answer from the database yet'));
      await admin.query('COMMIT');
      await committing;
    });
    assert.ok(!logger.lines.some(({ message }) => /cutting/.test(message)));
  });

  test('is fine, but no synchronous standby confirms: a wait that is cancelled is not an answer', async () => {
    const logger = recordingLogger();
    const url = server.url('?schema=unreplicated');
    await using session = await StoreSession.open({
      open: () => openQuick(url, logger),
      dispose: async () => {},
    });
    await session.commit(insertOf(1n));
    await withAdmin(async (admin) => {
      await whileUnconfirmed(admin, async () => {
        const batch = session.batch([insertOf(2n)]);
        for (const end of ['pg_cancel_backend', 'pg_terminate_backend', 'pg_cancel_backend']) {
          let pid: number | null = null;
          let isOver = true;
          let committing: Promise<CommitResult> | null = null;
          // The database is told of its standbys, and heeds that a moment later: until then it does not wait.
          await eventually(async () => {
            if (isOver) {
              isOver = false;
              committing = session.store.commit(batch).finally(() => {
                isOver = true;
              });
            }
            pid = await blockedPid(admin, 'IPC');
            return pid !== null;
          });
          await logger.line(/^the database is waiting for its synchronous standby$/);
          await admin.query(`SELECT ${end}(${pid})`);
          const result = await committing!;
          assert.equal(result.kind, 'unknown', end);
          assert.equal(result.kind === 'unknown' && result.error.storeClass, 'transient');
          assert.equal(await session.read((store) => store.lastSeq(0)), 2);
        }
      });
    });
    await session.commit(insertOf(2n));
    assert.equal(session.seq, 2);
  });

  test('is fine, but nothing is confirmed by a standby for long: one line for all that wait, and one when it is over', async () => {
    const logger = recordingLogger();
    await using session = await StoreSession.open({
      open: () => openQuick(server.url('?schema=stalled'), logger, 400),
      dispose: async () => {},
    });
    const { leases } = session.store;
    assert.ok(leases);
    const told = (message: string) => logger.lines.filter((line) => line.message === message).length;
    const lines = () => [
      told('the database is waiting for its synchronous standby'),
      told('the database confirms commits again'),
    ];
    await session.commit(insertOf(1n));
    await withAdmin(async (admin) => {
      for (const round of [1, 2]) {
        let committing: Promise<unknown> = Promise.resolve();
        await whileUnconfirmed(admin, async () => {
          await eventually(() =>
            leases.proveCommit().then(
              () => false,
              () => true,
            ),
          );
          committing = session.commit(insertOf(BigInt(10 * round)));
          // On a busy machine a look at what it waits for may come too late.
          await eventually(async () => {
            const error = await leases.proveCommit().catch((cause: unknown) => cause as StoreError);
            return /: no answer for 400 ms: the database is waiting for its .* standby$/.test(
              `${error?.message}`,
            );
          });
          assert.deepEqual(lines(), [round, round - 1]);
        });
        await committing;
        await leases.proveCommit();
        assert.deepEqual(lines(), [round, round]);
      }
    });
  });

  test('goes dead after a lease has waited for a standby: the wait that is over is not told as the reason', async () => {
    await using proxy = await TcpProxy.start(server.port);
    const logger = recordingLogger();
    const store = await openQuick(server.url('?schema=waited', undefined, proxy.port), logger, 1500);
    const waits = () =>
      logger.lines.filter(({ message }) => /waiting for its .* standby$/.test(message)).length;
    await withAdmin(async (admin) => {
      // On a busy machine the wait may take longer than a lease may, whose connection is another one then.
      await eventually(async () => {
        const known = waits();
        let isProved = false;
        let isOver = true;
        let proving: Promise<void> = Promise.resolve();
        await whileUnconfirmed(admin, () =>
          eventually(() => {
            if (isOver) {
              isOver = false;
              proving = store.leases
                .proveCommit()
                .then(
                  () => true,
                  () => false,
                )
                .then((is) => {
                  isProved = is;
                  isOver = true;
                });
            }
            return waits() > known;
          }),
        );
        await proving;
        return isProved;
      });
    });
    proxy.isDead = true;
    proxy.breakAll('swallow');
    await assert.rejects(store.leases.look(null), /no answer for 1500 ms$/);
    await store.close(0);
  });

  test('is fine, but no standby confirms: nodes that ask whether it does wait for that, and not for each other', async () => {
    const open = () => openQuick(server.url('?schema=proofs'));
    const stores = [await open(), await open(), await open()];
    const prove = () => Promise.allSettled(stores.map(({ leases }) => leases.proveCommit()));
    await withAdmin(async (admin) => {
      let proving: Promise<unknown> | null = null;
      await whileUnconfirmed(admin, () =>
        eventually(async () => {
          proving ??= prove().then(() => {
            proving = null;
          });
          const { rows } = await admin.query(
            "SELECT FROM pg_stat_activity WHERE application_name = 'opsqueue' AND wait_event = 'SyncRep'",
          );
          return rows.length === stores.length;
        }),
      );
      await proving;
    });
    for (const store of stores) await store.close();
  });

  test('leads to a server on which nothing may be written any more: no commit is proved', async () => {
    const store = await openQuick(server.url('?schema=read_only'));
    await withAdmin(async (admin) => {
      await store.leases.proveCommit();
      await admin.query('ALTER DATABASE postgres SET default_transaction_read_only = on');
      try {
        await admin.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsqueue'",
        );
        await eventually(() =>
          store.leases.proveCommit().then(
            () => false,
            (error: Error) => /takes no writes|read.only/.test(error.message),
          ),
        );
      } finally {
        await admin.query('SET default_transaction_read_only = off');
        await admin.query('ALTER DATABASE postgres RESET default_transaction_read_only');
      }
      await store.leases.proveCommit();
    });
    await store.close();
  });

  test('is fine, but a lease gets no answer: that is given up soon, and the database does not go on with it', async () => {
    await using session = await StoreSession.open({
      open: () => openQuick(server.url('?schema=leases'), recordingLogger(), 300),
      dispose: async () => {},
    });
    const { leases } = session.store;
    assert.ok(leases);
    await withAdmin(async (admin) => {
      await admin.query('BEGIN');
      await admin.query('LOCK TABLE leases.shards');
      for (let i = 0; i < 5; i++) {
        await assert.rejects(leases.look(null, [{ shard: 0, epoch: 1 }]), {
          code: 'STORE_TRANSIENT',
          message: /: the lease cannot be looked at: no answer for 300 ms(?: \(doing: Lock: relation\))?$/,
        });
      }
      const { rows } = await admin.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
      assert.ok(rows.length <= 2, `${rows.length} sessions wait`);
      await admin.query('COMMIT');
    });
    assert.deepEqual((await leases.look(null, [{ shard: 0, epoch: 1 }])).renewed, [0]);
  });

  test('leads to the first of several servers that can be reached, whichever that is at the moment', async () => {
    const nothing = await freePort();
    await using proxy = await TcpProxy.start(server.port);
    const hosts = (...ports: number[]) => ports.map((port) => `127.0.0.1:${port}`).join();
    const one = server.url('?schema=several&target_session_attrs=read-write');
    const url = (...ports: number[]) => one.replace(hosts(server.port), hosts(...ports));
    const store = await openQuick(url(nothing, proxy.port, server.port));
    await store.acquire([0], 'test');
    assert.ok(proxy.links > 0);
    // The second one goes: the third one takes over.
    proxy.isDead = true;
    proxy.breakAll('reset');
    const links = proxy.links;
    await store.lastSeq(0).catch(() => {});
    assert.equal(await store.lastSeq(0), 0);
    assert.equal(proxy.links, links);
    await store.close();
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

  test('comes to go through such a pooler while it runs: no statement is taken for that of another session', async () => {
    await using pooler = await TransactionPooler.start(server.port);
    const location = parseLocation(pg, server.url('', undefined, pooler.port).slice('postgres:'.length));
    const connections = new Connections({ pg, location, logger: silentLogger, clock: systemClock });
    await connections.write((a) =>
      connections.read(async (b) => {
        // Each gets the connection that was free last, unless the other has it.
        await a.transaction(async () => {
          assert.deepEqual(await b.query('SELECT 2::integer'), [[2]]);
        });
        assert.deepEqual(await a.query('SELECT 1::integer'), [[1]]);
        await b.transaction(async () => {
          await assert.rejects(a.query('SELECT 1::integer'), { code: '26000' });
        });
      }),
    );
    await connections.close();
  });
});
