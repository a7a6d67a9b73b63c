/** What a queue says at its start about a database that cannot be used, and whether it waits. */
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openStore } from '../../../src/store/index.ts';
import { Connections } from '../../../src/store/postgres/connections.ts';
import { CannotBeSent } from '../../../src/store/postgres/errors.ts';
import { parseLocation } from '../../../src/store/postgres/location.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { freePort } from '../../support/network/free-port.ts';
import { TLS_CERTIFICATE, TLS_KEY } from '../../support/network/tls-certificate.ts';
import { PASSWORD, PostgresServer, withoutPostgres } from '../../support/store/postgres-server.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

describe('the start on PostgreSQL', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  let admin: pg.Client;
  before(async () => {
    server = await PostgresServer.start();
    admin = new pg.Client(server.url());
    await admin.connect();
  });
  after(async () => {
    await admin.end();
    await server[Symbol.asyncDispose]();
  });

  /** Opens it and expects the message behind the name of the database, without a password in it. */
  async function refused(url: string, message: string | RegExp) {
    await assert.rejects(openStore(url), (error: Error & { code: string }) => {
      assert.equal(error.code, 'STORE_UNUSABLE', error.message);
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.doesNotMatch(error.message, /secret|p@ss|p%40ss/);
      return true;
    });
  }

  /** Opens it while something is in the way; gives the line that the log has of it once it waits, and ends the wait by `mend`. */
  async function waits(url: string, mend: () => Promise<unknown>): Promise<string[]> {
    const logger = recordingLogger();
    const opening = openStore(url, { logger });
    await logger.line(/^waiting for the database$/);
    await mend();
    const store = await opening;
    await store.close();
    return logger.lines.flatMap(({ fields }) => ('error' in fields ? String(fields.error) : []));
  }

  const named = (user = 'postgres', database = 'postgres') =>
    `database postgres://${user}@127.0.0.1:${server.port}/${database}`;

  test('a wrong password, a missing database and refused TLS end it with one sentence', async () => {
    await refused(
      server.url('', 'postgres:secret'),
      `${named()}: cannot connect: password authentication failed for user "postgres" (SQLSTATE 28P01)`,
    );
    await refused(
      server.url().replace(/postgres$/, 'nowhere'),
      /\/nowhere: cannot connect: database "nowhere" does not exist \(SQLSTATE 3D000\)$/,
    );
    await refused(
      server.url('', 'postgres'),
      `${named()}: cannot connect: the server asks for a password, and none was given (PGPASSWORD, or a password file)`,
    );
    await refused(
      server.url('?sslmode=require'),
      `${named()}: cannot connect: the server offers no TLS, which sslmode asks for (sslmode=disable does without)`,
    );
  });

  test('a database whose encoding cannot hold every text ends it', async () => {
    await admin.query(
      "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    await refused(
      server.url().replace(/postgres$/, 'latin'),
      `${named('postgres', 'latin')}: its encoding is LATIN1, UTF8 is needed (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0)`,
    );
  });

  test('a certificate that is not trusted ends it, and the parameter that names its authority helps', async () => {
    await using folder = await temporaryFolder();
    const [certificate, key] = [join(folder.path, 'server.crt'), join(folder.path, 'server.key')];
    await chmod(folder.path, 0o755);
    await writeFile(certificate, TLS_CERTIFICATE);
    await PostgresServer.writeSecret(key, TLS_KEY);
    const files = [`ssl_cert_file=${certificate}`, `ssl_key_file=${key}`];
    await using secure = await PostgresServer.start(['ssl=on', ...files]);
    await assert.rejects(openStore(secure.url('?sslmode=verify-full')), {
      code: 'STORE_UNUSABLE',
      message: /: cannot connect: self-signed certificate \(sslrootcert=FILE names the authority to trust\)$/,
    });
    for (const query of [`sslmode=verify-full&sslrootcert=${certificate}`, 'sslmode=require']) {
      await (await openStore(secure.url(`?${query}`))).close();
    }
  });

  test('tables of another program, or of a newer version, are left alone', async () => {
    await admin.query('CREATE SCHEMA shop; CREATE TABLE shop.submissions (id integer)');
    await refused(
      server.url('?schema=shop'),
      `${named()}?schema=shop: its schema shop belongs to another program (it has submissions): ` +
        'give this queue a schema of its own (?schema=NAME)',
    );
    const url = server.url('?schema=newer');
    await (await openStore(url)).close();
    await admin.query('UPDATE newer.opsqueue_version SET version = 1000');
    const newer = await openStore(url);
    const problem =
      /\?schema=newer: a newer opsqueue wrote it \(schema version 1000, this one knows up to \d+\)$/;
    await assert.rejects(newer.acquire([0], 'tool'), { code: 'STORE_UNUSABLE', message: problem });
    // A node goes on passing connections on.
    const claim = { holder: 'old', address: 'old:3999', leaseMs: 60_000 };
    const sight = await newer.leases?.look(claim);
    assert.match(sight?.reason ?? '', problem);
    assert.deepEqual([sight?.leases, sight?.nodes], [[], []]);
    assert.deepEqual(await newer.leases?.take(sight?.free ?? [], claim), []);
    await newer.close();
  });

  test('a user who may not create the schema is told what an administrator can do, and then can start', async () => {
    await admin.query("CREATE ROLE ann LOGIN PASSWORD 'secret'");
    const url = server.url('?schema=anns', 'ann:secret');
    await refused(
      url,
      `${named('ann')}?schema=anns: ann may not create the schema anns; an administrator can: ` +
        'CREATE SCHEMA anns AUTHORIZATION "ann", or GRANT CREATE ON DATABASE "postgres" TO "ann"',
    );
    await admin.query('CREATE SCHEMA anns AUTHORIZATION "ann"');
    await (await openStore(url)).close();
  });

  test('it waits while no connection is left, and while the server takes no writes', async () => {
    await admin.query("CREATE ROLE bob LOGIN PASSWORD 'secret' CONNECTION LIMIT 0");
    await admin.query('CREATE SCHEMA bobs AUTHORIZATION bob');
    const url = server.url('?schema=bobs', 'bob:secret');
    assert.deepEqual(await waits(url, () => admin.query('ALTER ROLE bob CONNECTION LIMIT -1')), [
      `${named('bob')}?schema=bobs: cannot connect: too many connections for role "bob" (SQLSTATE 53300)`,
    ]);
    await admin.query('ALTER ROLE bob SET default_transaction_read_only = on');
    assert.deepEqual(
      await waits(url, () => admin.query('ALTER ROLE bob RESET default_transaction_read_only')),
      [`${named('bob')}?schema=bobs: the server takes no writes: it is a standby, or set to read-only`],
    );
  });

  test('two queues that start at once on an empty database are fine', async () => {
    const { url } = server.fixture();
    const stores = await Promise.all([openStore(url), openStore(url), openStore(url)]);
    await Promise.all(stores.map((store) => store.close()));
  });

  test('a damaged row of pauses holds what it is of and nothing else, until it is written anew', async () => {
    const { url } = server.fixture();
    const store = await openStore(url);
    try {
      const controls = `${new URL(url).searchParams.get('schema')}.controls`;
      const pause = { cause: 'manual', by: 'ann', reason: null, sinceMs: 1 };
      const intact = { pauses: [pause], history: [] };
      await admin.query(`INSERT INTO ${controls} VALUES ('images', '{'), ('*', 'null'), ('bills', $1)`, [
        JSON.stringify(intact),
      ]);
      const found = await store.scopeControls();
      assert.deepEqual(found.get('bills'), intact);
      const { server: ofServer } = await store.leases!.look(null);
      for (const [scope, control] of [
        ['images', found.get('images')],
        ['*', found.get('*')],
        ['*', ofServer],
      ] as const) {
        assert.deepEqual(
          control?.pauses.map(({ cause, by }) => [cause, by]),
          [['damaged', 'opsqueue']],
        );
        assert.ok(control?.pauses[0]?.reason?.startsWith(`the pauses of "${scope}" are damaged`));
      }
    } finally {
      await store.close();
    }
  });

  test('the time limits of an administrator, and a commit that does not wait for the disk, are not for our sessions', async () => {
    await admin.query("CREATE ROLE eve LOGIN PASSWORD 'secret'; CREATE SCHEMA eves AUTHORIZATION eve");
    for (const setting of [
      "statement_timeout = '500ms'",
      "idle_session_timeout = '500ms'",
      "idle_in_transaction_session_timeout = '500ms'",
      'synchronous_commit = off',
      "search_path = 'pg_catalog'",
      "bytea_output = 'escape'",
      'array_nulls = off',
      'extra_float_digits = -10',
      "default_transaction_isolation = 'serializable'",
    ]) {
      await admin.query(`ALTER ROLE eve SET ${setting}`);
    }
    const fixture = {
      open: () => openStore(server.url('?schema=eves', 'eve:secret')),
      dispose: async () => {},
    };
    await using session = await StoreSession.open(fixture);
    await session.commit(insertOf(1n, { metadata: new Uint8Array([0, 92, 255]) }));
    const found = await session.read((store) => store.findById(1n));
    assert.deepEqual(found?.record.metadata, new Uint8Array([0, 92, 255]));
    const location = parseLocation(pg, server.url('?schema=eves', 'eve:secret').slice('postgres:'.length));
    const connections = new Connections({ pg, location, logger: silentLogger, clock: systemClock });
    const names = ['statement_timeout', 'idle_session_timeout', 'synchronous_commit', 'search_path'];
    const settings = await connections.write(async (writer) => {
      const found: (string | undefined)[] = [];
      for (const name of names) found.push((await writer.query<readonly [string]>(`SHOW ${name}`))[0]?.[0]);
      return found;
    });
    assert.deepEqual(settings, ['0', '0', 'on', 'eves']);
    await connections.close();
  });

  test('a value that cannot be sent fails its statement, and the session goes on', async () => {
    const location = parseLocation(pg, server.url().slice('postgres:'.length));
    const connections = new Connections({ pg, location, logger: silentLogger, clock: systemClock });
    const detached = new Uint8Array(8);
    structuredClone(detached, { transfer: [detached.buffer] });
    const text = 'SELECT FROM generate_series(1, $1::integer) WHERE $2::bytea IS NOT NULL';
    await connections.write(async (session) => {
      const bad = { text, values: [3, detached] };
      const failed = (error: unknown) =>
        error instanceof CannotBeSent && /^a value cannot be sent: /.test(error.message);
      await assert.rejects(session.execute(bad), failed);
      const rows = await session.transaction(async () => {
        await assert.rejects(session.execute(bad), failed);
        return session.execute({ text, values: [3, new Uint8Array()] });
      });
      assert.equal(rows, 3);
      await assert.rejects(
        session.transaction(() => session.execute(bad)),
        failed,
      );
      assert.equal(await session.execute({ text, values: [2, new Uint8Array()] }), 2);
    });
    await connections.close();
  });

  test('it waits for a server that is not there yet', async () => {
    const port = await freePort();
    const logger = recordingLogger();
    const told: (string | null)[] = [];
    const waiting = (reason: string | null) => void told.push(reason);
    const url = `postgres://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`;
    const opening = openStore(url, { logger, waiting });
    await logger.line(/^waiting for the database$/);
    await using late = await PostgresServer.start([], port);
    const store = await opening;
    await store.close();
    assert.equal(late.port, port);
    assert.match(told[0]!, /ECONNREFUSED/);
    assert.equal(told.at(-1), null);
  });

  test('a URL that makes no sense is refused, and never repeated', async () => {
    for (const [url, problem] of [
      ['postgres:', 'write postgres://user@host:5432/database'],
      ['postgres://a b:secret@[::', 'write postgres://user@host:5432/database'],
      ['postgres://u:sec?ret#x@h/db', 'special characters in names and passwords must be percent-encoded'],
      ['postgres://h/db?sslmod=require', /^store postgres: unknown option "sslmod": did you mean "sslmode"/],
      [
        'postgres://h/db?sslmode=on',
        'sslmode: one of disable, prefer, require, verify-ca, verify-full was expected',
      ],
      [
        'postgres://h/db?target_session_attrs=standby',
        'target_session_attrs: the queue needs the primary; one of primary, read-write, any was expected',
      ],
      [
        'postgres://h/db?sslmode=verify-ca',
        "sslmode=verify-ca: sslrootcert=FILE was expected, the authority that signed the server's certificate",
      ],
      ['postgres://h/db?schema=A', 'schema: 1 to 63 of a-z 0-9 _ were expected'],
    ] as const) {
      const message = typeof problem === 'string' ? `store postgres: ${problem}` : problem;
      await assert.rejects(openStore(url), { code: 'INCORRECT_USAGE', message }, url);
    }
  });
});
