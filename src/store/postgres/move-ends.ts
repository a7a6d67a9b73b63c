import { shardOfQueue } from '../../model/shard.ts';
import { IS_ENDED } from '../codec/submission-row.ts';
import { StoreError } from '../errors.ts';
import {
  furthest,
  incompleteText,
  type MoveContext,
  type MovedShard,
  type MoveEnd,
  type MoveEnds,
  type PageLimit,
  type TargetEnd,
} from '../move/ends.ts';
import {
  type CellKind,
  keyOf,
  MOVED_TABLES,
  type MovedCell,
  type MovedRow,
  type MovedTable,
} from '../move/tables.ts';
import type { ElementType } from './binary-array.ts';
import { Connections } from './connections.ts';
import { loadDriver } from './driver.ts';
import { parseLocation } from './location.ts';
import { assertServer, isIncomplete, migrateWith, newerProblem } from './open.ts';
import { type Columns, Parameters } from './parameters.ts';
import { INCOMPLETE_TABLE, POSTGRES_SCHEMA_VERSION, VERSION_TABLE } from './schema.ts';
import type { SqlSession } from './session.ts';

/** "opsm", for a lock that a move into a schema holds. */
const MOVE_LOCK = 0x6f70736d;

export async function loadPostgresMoveEnds(): Promise<MoveEnds> {
  const pg = await loadDriver();
  const connect = (rest: string, { logger, clock }: MoveContext) =>
    new Connections({ pg, location: parseLocation(pg, rest), logger, clock });
  return {
    check: (rest) => void parseLocation(pg, rest),
    openSource: (rest, context) => PostgresEnd.open(connect(rest, context)),
    openTarget: (rest, context) => PostgresTarget.open(connect(rest, context)),
  };
}

/** A connection that one end of a move has for itself, until it is released. */
interface Held {
  readonly connections: Connections;
  readonly session: SqlSession;
  /** @param error null: all is well, and is committed */
  release(error: Error | null): Promise<void>;
}

/** @param use prepares the session, and calls back to wait for its release */
async function hold(
  connections: Connections,
  use: (session: SqlSession, untilReleased: () => Promise<void>) => Promise<void>,
): Promise<Held> {
  const { promise: held, resolve: give, reject } = Promise.withResolvers<SqlSession>();
  const { promise: released, resolve: release, reject: fail } = Promise.withResolvers<void>();
  const ended = connections.write((session) =>
    use(session, () => {
      give(session);
      return released;
    }),
  );
  ended.catch(reject);
  try {
    const session = await held;
    return {
      connections,
      session,
      async release(error) {
        if (error === null) release();
        else fail(error);
        try {
          await ended;
        } catch (cause) {
          if (cause !== error) throw connections.storeError(cause, 'cannot be given free');
        } finally {
          await connections.close();
        }
      },
    };
  } catch (error) {
    await connections.close();
    throw connections.storeError(error, 'cannot be moved');
  }
}

class PostgresEnd implements MoveEnd {
  readonly name: string;
  protected readonly held: Held;

  protected constructor(held: Held) {
    this.name = held.connections.location.name;
    this.held = held;
  }

  /**
   * All in one transaction that nobody commits beside. When it ends well, whoever used the store without a lease is fenced,
   * as by another owner: what it went on to write would be in the source only.
   */
  static async open(connections: Connections): Promise<MoveEnd> {
    const held = await hold(connections, async (session, untilReleased) => {
      await assertServer(session, connections.location.name);
      await session.transaction(async () => {
        await session.run('SET LOCAL idle_in_transaction_session_timeout = 0');
        await assertMovable(connections, session);
        await assertNoLease(connections, session);
        await session.query("UPDATE shards SET epoch = epoch + 1, holder = 'opsqueue move'");
        await untilReleased();
      });
    });
    return new PostgresEnd(held);
  }

  async count({ name }: MovedTable): Promise<number> {
    const [row] = await this.query<readonly [bigint]>(`SELECT count(*) FROM ${name}`);
    return Number(row?.[0] ?? 0n);
  }

  async read(
    table: MovedTable,
    after: MovedRow | null,
    { rows: rowsMax, bytes }: PageLimit,
  ): Promise<readonly MovedRow[]> {
    const { name, columns, keyColumns } = table;
    const p = new Parameters();
    const key = keyOf(table);
    const moveEnds = after?.slice(0, keyColumns).map((cell, at) => p.add(cell, TYPES[columns[key[at]!]!]));
    const where = moveEnds === undefined ? '' : `WHERE (${key.join()}) > (${moveEnds.join()})`;
    const selected = Object.keys(columns).join(', ');
    const page = `SELECT ${selected} FROM ${name} ${where} ORDER BY ${key.join()} LIMIT ${p.add(rowsMax, 'bigint')}`;
    const sizes = sizesOf(table);
    const isBounded = bytes !== Infinity && sizes.length > 0;
    const rows = await this.query<MovedCell[]>(
      isBounded ? boundedPage(table, page, sizes, p.add(bytes, 'bigint')) : page,
      p,
    );
    return rows.map((row) => fromColumns(table, row));
  }

  async shards(): Promise<readonly MovedShard[]> {
    const rows = await this.query<readonly [bigint, bigint, bigint]>(
      'SELECT epoch, last_seq, highest_id FROM shards',
    );
    return rows.map(([epoch, lastSeq, highestId]) => ({ epoch, lastSeq, highestId }));
  }

  close(outcome: 'moved' | 'failed'): Promise<void> {
    return this.held.release(outcome === 'moved' ? null : new Error('the move failed'));
  }

  protected async query<R extends readonly unknown[]>(text: string, p = new Parameters()): Promise<R[]> {
    try {
      return await this.held.session.query<R>(text, p.values);
    } catch (error) {
      throw this.held.connections.storeError(error, 'the move failed');
    }
  }
}

class PostgresTarget extends PostgresEnd implements TargetEnd {
  static override async open(connections: Connections): Promise<TargetEnd> {
    const held = await hold(connections, async (session, untilReleased) => {
      const { name, schema } = connections.location;
      await assertServer(session, name);
      const [lock] = await session.query<readonly [boolean]>(
        'SELECT pg_try_advisory_lock($1, hashtext($2))',
        [MOVE_LOCK, schema],
      );
      if (lock?.[0] !== true)
        throw new StoreError('unusable', `${name}: another opsqueue move into it is under way`);
      await migrateForMove(connections, session);
      // A crash of the database before the end takes back what comes after the mark, never the mark alone.
      await session.run("SET synchronous_commit = 'off'");
      await untilReleased();
    });
    return new PostgresTarget(held);
  }

  async write(table: MovedTable, rows: readonly MovedRow[]): Promise<void> {
    const p = new Parameters();
    const columns = Object.keys(table.columns);
    const from = p.table(
      columnsOf(table),
      rows.map((row) => toColumns(table, row)),
    );
    const more = table.name === 'submissions' ? submissionsMore(p, table, rows) : {};
    const names = [...columns, ...Object.keys(more)].join(', ');
    const selected = [...columns, ...Object.values(more)].join(', ');
    await this.query(`INSERT INTO ${table.name} (${names}) SELECT ${selected} FROM ${from} AS r`, p);
  }

  async finish(shards: readonly MovedShard[]): Promise<void> {
    const { session, connections } = this.held;
    const { epoch, lastSeq, highestId } = furthest(shards);
    try {
      await session.run("SET synchronous_commit = 'on'");
      await session.transaction(async () => {
        await session.query(
          `UPDATE shards SET epoch = greatest($1::bigint, epoch) + 1, holder = 'opsqueue move', last_seq = $2, highest_id = $3`,
          [epoch, lastSeq, highestId],
        );
        await session.run(
          `INSERT INTO ended_counts (queue, state, count)
             SELECT queue, state, count(*) FROM submissions WHERE ${IS_ENDED} GROUP BY queue, state;
           DROP TABLE ${INCOMPLETE_TABLE}`,
        );
      });
    } catch (error) {
      throw connections.storeError(error, 'the move failed');
    }
  }
}

/** @throws StoreError for a schema that holds no store of this version */
async function assertMovable(connections: Connections, session: SqlSession): Promise<void> {
  const { name, schema } = connections.location;
  const [ours] = await session.query<readonly [boolean]>(
    `SELECT to_regclass($1 || '.${VERSION_TABLE}') IS NOT NULL`,
    [schema],
  );
  if (ours?.[0] !== true)
    throw new StoreError('unusable', `${name}: its schema ${schema} holds nothing to move`);
  if (await isIncomplete(connections, session)) throw new StoreError('unusable', incompleteText(name));
  const [row] = await session.query<readonly [number]>(`SELECT version FROM ${VERSION_TABLE}`);
  const version = row?.[0] ?? 0;
  if (version === POSTGRES_SCHEMA_VERSION) return;
  const [who, advice] =
    version > POSTGRES_SCHEMA_VERSION
      ? ['a newer', 'use that one']
      : ['an older', 'start this version on it once, then it can be moved'];
  throw new StoreError(
    'unusable',
    `${name}: ${who} opsqueue wrote it (schema version ${version}, this version moves ${POSTGRES_SCHEMA_VERSION}): ${advice}`,
  );
}

/** Nobody takes a lease until the transaction ends. */
async function assertNoLease({ location }: Connections, session: SqlSession): Promise<void> {
  await session.run('LOCK TABLE shards IN SHARE ROW EXCLUSIVE MODE');
  const [row] = await session.query<readonly [address: string, leftS: number]>(
    `SELECT address, ceil(extract(epoch FROM expires_at - now()))::integer
     FROM shards WHERE expires_at > now() LIMIT 1`,
  );
  if (row === undefined) return;
  throw new StoreError(
    'unusable',
    `${location.name}: it is in use by the queue at ${row[0]}: stop all its nodes first ` +
      `(one that was killed has its lease for ${row[1]} s more)`,
  );
}

/** Makes the tables, marks them as incomplete, and empties them of what an earlier attempt left. */
async function migrateForMove(connections: Connections, session: SqlSession): Promise<void> {
  await migrateWith(connections, session, async (version) => {
    const newer = newerProblem(connections, version);
    if (newer !== null) throw new StoreError('unusable', newer);
    await assertNoLease(connections, session);
    if (!(await isIncomplete(connections, session))) {
      const [row] = await session.query<readonly [boolean]>(
        `SELECT EXISTS (SELECT FROM submissions) OR EXISTS (SELECT FROM controls)
           OR EXISTS (SELECT FROM shards WHERE highest_id > 0)`,
      );
      if (row?.[0] === true) {
        const { name } = connections.location;
        throw new StoreError(
          'unusable',
          `${name}: it is not empty: move to a schema of its own (?schema=NAME), or drop this one first`,
        );
      }
      await session.run(`CREATE TABLE ${INCOMPLETE_TABLE} (started_at timestamptz NOT NULL DEFAULT now())`);
    }
    await session.run(`TRUNCATE ended_counts, ${MOVED_TABLES.map(({ name }) => name).join(', ')}`);
  });
}

const TYPES: Readonly<Record<CellKind, ElementType>> = {
  integer: 'bigint',
  real: 'double precision',
  text: 'text',
  any_text: 'text',
  bytes: 'bytea',
};

/** What this engine has besides of a submission, by column. */
function submissionsMore(
  p: Parameters,
  { columns }: MovedTable,
  rows: readonly MovedRow[],
): Readonly<Record<string, string>> {
  const at = Object.keys(columns).indexOf('queue');
  const queues = [...new Set(rows.map((row) => String(row[at])))];
  const shards = p.table(
    { queue: 'text', shard: 'integer' },
    queues.map((queue) => [queue, shardOfQueue(queue)]),
  );
  return { shard: `(SELECT shard FROM ${shards} AS q WHERE q.queue = r.queue)`, moved_id: 'id' };
}

function columnsOf({ columns }: MovedTable): Columns {
  return Object.fromEntries(Object.entries(columns).map(([name, kind]) => [name, TYPES[kind]]));
}

/** Text that may hold U+0000 is kept as a JSON string. */
function toColumns({ columns }: MovedTable, row: MovedRow): MovedRow {
  const kinds = Object.values(columns);
  return row.map((cell, at) => (kinds[at] === 'any_text' && cell !== null ? JSON.stringify(cell) : cell));
}

function fromColumns({ columns }: MovedTable, row: MovedRow): MovedRow {
  const kinds = Object.values(columns);
  return row.map((cell, at) =>
    kinds[at] === 'any_text' && typeof cell === 'string' ? (JSON.parse(cell) as string) : cell,
  );
}

/** The bytes of a row, where there is no telling. */
function sizesOf({ columns }: MovedTable): readonly string[] {
  return Object.entries(columns)
    .filter(([, kind]) => kind !== 'integer' && kind !== 'real')
    .map(([name]) => `coalesce(octet_length(${name}), 0)`);
}

/** The first rows of a page, up to a number of bytes and one at least. What is not selected is not read, however large. */
function boundedPage(table: MovedTable, page: string, sizes: readonly string[], bytesMax: string): string {
  const key = keyOf(table).join();
  return `SELECT ${Object.keys(table.columns).join(', ')} FROM (
    SELECT *, sum(${sizes.join(' + ')}) OVER (
      ORDER BY ${key} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before FROM (${page}) AS p) AS q
    WHERE coalesce(bytes_before, 0) < ${bytesMax} ORDER BY ${key}`;
}
