import type { Logger } from '../../system/log/logger.ts';
import { systemRandom } from '../../system/random.ts';
import { Backoff } from '../../system/time/backoff.ts';
import { type Clock, sleep } from '../../system/time/clock.ts';
import { StoreError } from '../errors.ts';
import { incompleteText } from '../move/ends.ts';
import type { Connections } from './connections.ts';
import { INCOMPLETE_TABLE, POSTGRES_MIGRATIONS, POSTGRES_SCHEMA_VERSION, VERSION_TABLE } from './schema.ts';
import type { SqlSession } from './session.ts';

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 1000;
/** The first with everything that we ask for. */
const SERVER_VERSION_MIN = 140000;
/** "opsq", for a lock that whoever migrates holds. */
const MIGRATION_LOCK = 0x6f707371;

interface PrepareOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  waiting?(reason: string | null): void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a database ready: creates or updates the tables. Waits as long as it takes for a server that cannot be reached,
 * is starting, has no connection left or is a standby, with a line in the log for each reason.
 *
 * @throws StoreError for what does not pass by itself: a wrong password, TLS refused, tables of another program or of a
 *   newer version; the reason of the signal
 */
export async function prepareDatabase(
  connections: Connections,
  { logger, clock, waiting, signal }: PrepareOptions,
): Promise<void> {
  const backoff = new Backoff(systemRandom, { firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
  let told: string | null = null;
  for (;;) {
    try {
      await prepare(connections);
      waiting?.(null);
      if (told !== null) logger.info({ database: connections.location.name }, 'the database can be used now');
      return;
    } catch (cause) {
      signal?.throwIfAborted();
      const error = connections.storeError(cause, 'cannot be opened');
      if (error.storeClass !== 'transient') {
        // Whatever it is while it runs: at the start it means that this database is not to be had.
        throw error.storeClass === 'corrupt' ? new StoreError('unusable', error.message, { cause }) : error;
      }
      if (error.message !== told)
        logger.warn({ code: error.code, error: error.message }, 'waiting for the database');
      told = error.message;
      waiting?.(told);
      await sleep(clock, backoff.nextMs(), signal);
    }
  }
}

async function prepare(connections: Connections): Promise<void> {
  const { name } = connections.location;
  await connections.write(async (session) => {
    await assertServer(session, name);
    await migrateWith(connections, session, async () => {
      if (await isIncomplete(connections, session)) throw new StoreError('unusable', incompleteText(name));
    });
    await assertNoPooler(connections, session);
  });
}

/** Whether a move into the schema has not come to its end. */
export async function isIncomplete({ location }: Connections, session: SqlSession): Promise<boolean> {
  const [row] = await session.query<readonly [boolean]>(
    `SELECT to_regclass($1 || '.${INCOMPLETE_TABLE}') IS NOT NULL`,
    [location.schema],
  );
  return row?.[0] === true;
}

export async function assertServer(session: SqlSession, name: string): Promise<void> {
  const [row] = await session.query<readonly [version: number, encoding: string]>(
    "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')",
  );
  const [version = 0, encoding = ''] = row ?? [];
  if (version < SERVER_VERSION_MIN) {
    throw new StoreError(
      'unusable',
      `${name}: PostgreSQL 14 or newer is needed, the server is ${(version / 10000) | 0}`,
    );
  }
  if (encoding !== 'UTF8') {
    const advice = `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`;
    throw new StoreError('unusable', `${name}: its encoding is ${encoding}, UTF8 is needed (${advice})`);
  }
}

/** Brings the tables up to date, unless they are newer or a node acts on those of an older version, and does `more`, alone and all or nothing. */
export function migrateWith(
  connections: Connections,
  session: SqlSession,
  more: (version: number) => Promise<void>,
): Promise<void> {
  return session.transaction(async () => {
    const values = [MIGRATION_LOCK, connections.location.schema];
    await session.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', values);
    await more(await migrateAlone(connections, session));
  });
}

/** Returns the version that the tables are of then. */
async function migrateAlone(connections: Connections, session: SqlSession): Promise<number> {
  const { schema, name, user, database } = connections.location;
  const [row] = await session.query<
    readonly [hasSchema: boolean, ours: boolean, foreign: string | null, mayCreate: boolean]
  >(
    `SELECT to_regnamespace($1) IS NOT NULL, to_regclass($1 || '.${VERSION_TABLE}') IS NOT NULL,
       (SELECT min(c.relname)::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $1), has_database_privilege(current_database(), 'CREATE')`,
    [schema],
  );
  const [hasSchema = false, isOurs = false, foreign = null, mayCreate = false] = row ?? [];
  if (!isOurs && foreign !== null) {
    const advice = `give this queue a schema of its own (?schema=NAME)`;
    throw new StoreError(
      'unusable',
      `${name}: its schema ${schema} belongs to another program (it has ${foreign}): ${advice}`,
    );
  }
  if (!hasSchema) {
    if (!mayCreate) {
      throw new StoreError(
        'unusable',
        `${name}: ${user} may not create the schema ${schema}; an administrator can: ` +
          `CREATE SCHEMA ${schema} AUTHORIZATION "${user}", or GRANT CREATE ON DATABASE "${database}" TO "${user}"`,
      );
    }
    await session.run(`CREATE SCHEMA ${schema}`);
  }
  if (!isOurs) {
    await session.run(
      `CREATE TABLE ${VERSION_TABLE} (version integer NOT NULL); INSERT INTO ${VERSION_TABLE} VALUES (0)`,
    );
  }
  const [found] = await session.query<readonly [number]>(`SELECT version FROM ${VERSION_TABLE}`);
  const version = found?.[0] ?? 0;
  // While a node of that older version acts, its tables stay what they are; who takes the lease after it migrates.
  if (version > 0 && version < POSTGRES_SCHEMA_VERSION && (await isHeld(session))) return version;
  for (const migration of POSTGRES_MIGRATIONS.slice(version)) await session.run(migration);
  if (version < POSTGRES_SCHEMA_VERSION)
    await session.query(`UPDATE ${VERSION_TABLE} SET version = $1`, [POSTGRES_SCHEMA_VERSION]);
  return Math.max(version, POSTGRES_SCHEMA_VERSION);
}

/** Whether a node has a lease; nobody takes one until the transaction ends. */
async function isHeld(session: SqlSession): Promise<boolean> {
  await session.run('LOCK TABLE shards IN SHARE ROW EXCLUSIVE MODE');
  return (await session.query('SELECT FROM shards WHERE expires_at > now() LIMIT 1')).length > 0;
}

/** Why this version must not write what a newer one has written; null if none has. */
export function newerProblem({ location: { name } }: Connections, version: number): string | null {
  if (version <= POSTGRES_SCHEMA_VERSION) return null;
  return `${name}: a newer opsqueue wrote it (schema version ${version}, this one knows up to ${POSTGRES_SCHEMA_VERSION})`;
}

/**
 * A pooler in transaction mode gives each transaction whatever connection is free: while another session holds the one
 * that was used last, what this session has set is gone.
 */
async function assertNoPooler(connections: Connections, session: SqlSession): Promise<void> {
  const isKept = await connections.read(async (other) => {
    await session.query("SELECT set_config('opsqueue.session', 'writer', false)");
    return other.transaction(async () => {
      await other.query('SELECT 1');
      const [row] = await session.query<readonly [string | null]>(
        "SELECT current_setting('opsqueue.session', true)",
      );
      return row?.[0] === 'writer';
    });
  });
  if (isKept) return;
  throw new StoreError(
    'unusable',
    `${connections.location.name}: a connection pooler in transaction mode is in between, which does not keep sessions: ` +
      'connect to PostgreSQL itself, or to a pooler in session mode',
  );
}
