import type { ClientBase, ClientConfig, Pool, PoolClient, PoolConfig } from 'pg';
import { type Clock, endsWithin } from '../../system/time/clock.ts';
import { StoreError } from '../errors.ts';
import type { Driver } from './driver.ts';
import { postgresError } from './errors.ts';
import type { Location } from './location.ts';

/** Look-ups at the same time; commits have a connection of their own. */
const READERS_MAX = 4;
const READER_IDLE_MS = 60_000;
/** What is about leases must be answered soon, or is tried again over another connection. */
const LEASE_TIMEOUT_MS = 1_000;
/** Where nodes tell each other of leases; the payload is the schema. */
const LEASE_CHANNEL = 'opsqueue_lease';
/** A transaction that waits for this process for longer (it hangs, or its link is dead) must not keep its locks. */
const IDLE_IN_TRANSACTION_MS = 10_000;

export type SqlValue = string | number | bigint | Uint8Array | readonly (string | null)[] | null;

/**
 * What each session is to have, whatever an administrator has set for the server, the database or the user; names that
 * a version of PostgreSQL lacks are left out. Plans must not depend on statistics: prepared while a table is empty, they
 * would read all of it when it is large.
 */
function sessionSettings(schema: string): Readonly<Record<string, string>> {
  return {
    search_path: schema,
    synchronous_commit: 'on',
    default_transaction_isolation: 'read committed',
    bytea_output: 'hex',
    statement_timeout: '0',
    lock_timeout: '0',
    transaction_timeout: '0',
    idle_session_timeout: '0',
    idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_MS),
    plan_cache_mode: 'force_generic_plan',
    enable_seqscan: 'off',
    enable_hashjoin: 'off',
    enable_mergejoin: 'off',
    jit: 'off',
  };
}

/** remote_apply promises more than we ask for, and stays. */
const CONFIGURE = `SELECT count(set_config(s.name, w.value, false))
  FROM pg_catalog.pg_settings s JOIN unnest($1::text[], $2::text[]) w (name, value) ON w.name = s.name
  WHERE NOT (s.name = 'synchronous_commit' AND s.setting = 'remote_apply')`;

/** A connection for the time of some statements. */
export class SqlSession {
  readonly #client: PoolClient;
  readonly #names: Map<string, string>;

  constructor(client: PoolClient, names: Map<string, string>) {
    this.#client = client;
    this.#names = names;
  }

  /** Runs a prepared statement; rows are arrays, integers bigints, bytes buffers of their own. */
  async query<Row extends readonly unknown[]>(
    text: string,
    values: readonly SqlValue[] = [],
  ): Promise<Row[]> {
    const name = this.#names.get(text) ?? `opsqueue_${this.#names.size}`;
    this.#names.set(text, name);
    const { rows } = await this.#client.query({ name, text, values: [...values], rowMode: 'array' });
    // What the columns are, the SQL says; pg knows nothing of it.
    return rows as unknown as Row[];
  }

  /** Runs statements without parameters; what they answer is not read. */
  async run(text: string): Promise<void> {
    await this.#client.query(text);
  }

  /** Rolls back when `work` throws. */
  async transaction<T>(work: () => Promise<T>): Promise<T> {
    await this.run('BEGIN');
    let result: T;
    try {
      result = await work();
    } catch (error) {
      // A connection that is broken has rolled back by itself, and is not used again.
      await this.run('ROLLBACK').catch(() => {});
      throw error;
    }
    await this.run('COMMIT');
    return result;
  }
}

/**
 * One connection that writes, some that read and one for what is about leases, opened when they are needed and again when
 * they were cut.
 */
export class Connections {
  readonly location: Location;
  readonly #writer: Pool;
  readonly #readers: Pool;
  readonly #leases: Pool;
  readonly #leaseListeners = new Set<() => void>();
  readonly #names = new Map<string, string>();
  readonly #clients = new Set<PoolClient>();
  /** Those that write or read at the moment. */
  readonly #busy = new Set<PoolClient>();
  #closing: Promise<void> | null = null;

  constructor(pg: Driver, location: Location) {
    this.location = location;
    this.#writer = this.#pool(pg, { max: 1, idleTimeoutMillis: 0 });
    this.#readers = this.#pool(pg, { max: READERS_MAX, idleTimeoutMillis: READER_IDLE_MS });
    this.#leases = this.#pool(
      pg,
      {
        max: 1,
        idleTimeoutMillis: 0,
        query_timeout: LEASE_TIMEOUT_MS,
        connectionTimeoutMillis: LEASE_TIMEOUT_MS,
      },
      (client) => this.#listen(client),
    );
  }

  /**
   * One after the other.
   *
   * @throws StoreError if there is no connection to be had; else what `work` throws
   */
  write<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    return this.#use(this.#writer, work);
  }

  /**
   * For what is about leases: no batch holds it up, and nothing takes longer than a second.
   *
   * @throws StoreError
   */
  async lease<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    try {
      return await this.#use(this.#leases, work);
    } catch (error) {
      throw this.storeError(error, 'the lease cannot be looked at');
    }
  }

  /** Lets other nodes know that a lease has been taken or given away. An engine that cannot do that does without. */
  async tellOfLease(session: SqlSession): Promise<void> {
    await session.query('SELECT pg_notify($1, $2)', [LEASE_CHANNEL, this.location.schema]).catch(() => {});
  }

  /** Calls back when another node has told; returns what ends that. */
  onLeaseNews(listener: () => void): () => void {
    this.#leaseListeners.add(listener);
    return () => void this.#leaseListeners.delete(listener);
  }

  /** Breaks off what is being written and read: it was for an earlier owner, and may hang on a link that is dead. */
  interrupt(): void {
    for (const client of this.#busy) void client.end();
  }

  /** @throws StoreError */
  async read<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    try {
      return await this.#use(this.#readers, work);
    } catch (error) {
      throw this.storeError(error, 'reading failed');
    }
  }

  storeError(error: unknown, what: string): StoreError {
    return postgresError(error, `${this.location.name}: ${what}`);
  }

  close(clock: Clock, graceMs?: number): Promise<void> {
    this.#closing ??= this.#close(clock, graceMs);
    return this.#closing;
  }

  async #close(clock: Clock, graceMs?: number): Promise<void> {
    const ended = Promise.all([this.#writer, this.#readers, this.#leases].map((pool) => pool.end()));
    if (graceMs === undefined) await ended;
    else if (!(await endsWithin(clock, graceMs, ended))) {
      // Cuts the connection if a statement is under way.
      for (const client of this.#clients) void client.end();
    }
  }

  async #use<T>(pool: Pool, work: (session: SqlSession) => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw new StoreError('transient', 'the store is closed');
    let client: PoolClient;
    try {
      client = await pool.connect();
    } catch (error) {
      throw this.storeError(error, 'cannot connect');
    }
    let isSound = false;
    if (pool !== this.#leases) this.#busy.add(client);
    try {
      const result = await work(new SqlSession(client, this.#names));
      isSound = true;
      return result;
    } finally {
      this.#busy.delete(client);
      // After an error the next one starts anew, perhaps on a server that has become the primary meanwhile.
      client.release(!isSound);
    }
  }

  /** So that waiting for the end of a lease is not all there is. */
  async #listen(client: ClientBase): Promise<void> {
    client.on('notification', ({ payload }) => {
      if (payload !== this.location.schema) return;
      for (const listener of [...this.#leaseListeners]) listener();
    });
    await client.query(`LISTEN ${LEASE_CHANNEL}`).catch(() => {});
  }

  #pool(pg: Driver, bounds: PoolConfig, connected?: (client: ClientBase) => Promise<void>): Pool {
    const settings = Object.entries(sessionSettings(this.location.schema));
    const values = [settings.map(([name]) => name), settings.map(([, value]) => value)];
    const types: ClientConfig['types'] = { getTypeParser: (oid, format) => parserOf(pg, oid, format) };
    const pool = new pg.Pool({
      ...this.location.config,
      ...bounds,
      types,
      onConnect: async (client) => {
        // First: the rest may take longer than an administrator allows.
        await client.query('SET statement_timeout = 0');
        await client.query(CONFIGURE, values);
        await connected?.(client);
      },
    });
    // Without a listener, a connection that breaks ends the process. The statement under way gets the error anyway.
    pool.on('error', () => {});
    pool.on('connect', (client) => {
      client.on('error', () => {});
      this.#clients.add(client);
    });
    pool.on('remove', (client) => this.#clients.delete(client));
    return pool;
  }
}

const INT8 = 20;
const BYTEA = 17;

function parserOf(pg: Driver, oid: number, format: 'text' | 'binary' | undefined) {
  if (oid === INT8) return BigInt;
  if (oid === BYTEA) return (text: string) => new Uint8Array(Buffer.from(text.slice(2), 'hex'));
  return pg.types.getTypeParser(oid, format);
}
