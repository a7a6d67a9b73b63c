import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Client, ClientConfig } from 'pg';
import type { Clock } from '../../system/time/clock.ts';
import { QuietWatch } from '../../system/time/quiet-socket.ts';
import { CountedStatement, type SqlScalar, type SqlStatement } from './counted-statement.ts';
import type { Driver } from './driver.ts';
import { NotReplicated, TakesNoWrites } from './errors.ts';

/** A transaction that waits for this process for longer (it hangs, or its link is dead) must not keep its locks. */
const IDLE_IN_TRANSACTION_MS = 2_000;
/** The server keeps the plan of each statement for as long as the session lasts. */
const STATEMENTS_MAX = 200;
/** Of a hash, base64: 120 bits. */
const NAME_DIGITS = 20;

export type SqlValue = SqlScalar | readonly (string | null)[];

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
    array_nulls: 'on',
    extra_float_digits: '1',
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

/**
 * remote_apply promises more than we ask for, and stays. The row tells who the session is, for {@link SqlSession.peek},
 * whether it can write, and what its commits are worth. An engine lacks some of these settings, perhaps.
 */
const CONFIGURE = `SELECT count(set_config(s.name, w.value, false)), pg_catalog.pg_backend_pid(),
    (SELECT extract(epoch FROM backend_start)::text FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()),
    pg_catalog.pg_is_in_recovery() OR pg_catalog.current_setting('transaction_read_only')::boolean,
    pg_catalog.current_setting('synchronous_standby_names', true), pg_catalog.current_setting('fsync', true),
    pg_catalog.current_setting('full_page_writes', true)
  FROM pg_catalog.pg_settings s JOIN unnest($1::text[], $2::text[]) w (name, value) ON w.name = s.name
  WHERE NOT (s.name = 'synchronous_commit' AND s.setting = 'remote_apply')`;

export interface SqlSessionOptions {
  readonly pg: Driver;
  readonly server: ClientConfig;
  readonly schema: string;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  /** To listen on. Default none. */
  readonly channel?: string;
  notified(payload: string | undefined): void;
  /** A statement without an answer is looked after when nothing has moved on the link for so long, in milliseconds. */
  readonly quietMs: number;
  quiet(session: SqlSession): void;
  ended(session: SqlSession): void;
}

const NO_STANDBY =
  'the database has no synchronous standby: if its disk is lost, so is what was acknowledged last';

function mayDamage(setting: string): string {
  return `the database runs with ${setting} = off: a crash of its machine can damage or lose what was acknowledged`;
}

/** A connection to one server, for one user at a time. */
export class SqlSession {
  readonly #o: SqlSessionOptions;
  readonly #client: Client;
  readonly #names = new Map<string, string>();
  /** What makes "acknowledged" mean less than it should on that server, as it was when the session began. */
  risks: readonly string[] = [];
  #pid = 0;
  #startedAt: string | null = null;
  #isOpen = true;
  #isReplicated = true;
  /** When the server last answered. */
  #heardMs = Number.NEGATIVE_INFINITY;
  #watch: QuietWatch | null = null;

  constructor(options: SqlSessionOptions) {
    const { pg, server } = options;
    this.#o = options;
    const types: ClientConfig['types'] = { getTypeParser: (oid, format) => parserOf(pg, oid, format) };
    this.#client = new pg.Client({ ...server, types });
    // Without a listener, a connection that breaks ends the process. The statement under way gets the error anyway.
    this.#client.on('error', () => this.#end());
    this.#client.on('end', () => this.#end());
    this.#client.on('notification', ({ payload }) => this.#o.notified(payload));
    this.#client.on('notice', ({ routine }) => {
      // The message is in the language of the server.
      if (routine === 'SyncRepWaitForLSN') this.#isReplicated = false;
    });
  }

  /** Connects. @throws what `pg` says, or {@link TakesNoWrites} */
  async open(): Promise<void> {
    const { clock, connectTimeoutMs, channel, quietMs, quiet } = this.#o;
    let isLate = false;
    const deadline = clock.after(connectTimeoutMs, () => {
      isLate = true;
      this.destroy();
    });
    try {
      await this.#client.connect();
      await this.#configure();
      // Not every engine can do that.
      if (channel !== undefined) await this.#client.query(`LISTEN ${channel}`).catch(() => {});
    } catch (cause) {
      this.destroy();
      throw isLate ? new Error(`no answer for ${connectTimeoutMs} ms`, { cause }) : cause;
    } finally {
      deadline.cancel();
    }
    this.#heardMs = clock.monotonicMs();
    this.#watch = new QuietWatch(this.#socket, quietMs, () => quiet(this));
  }

  /** It can be used once more. */
  get isUsable(): boolean {
    return this.#isOpen && this.#names.size < STATEMENTS_MAX;
  }

  /** Milliseconds since the server last answered. */
  get silentMs(): number {
    return this.#o.clock.monotonicMs() - this.#heardMs;
  }

  /** Bytes that came from the server. */
  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  /** Runs a prepared statement; rows are arrays, integers bigints, bytes buffers of their own. */
  async query<Row extends readonly unknown[]>(
    text: string,
    values: readonly SqlValue[] = [],
  ): Promise<Row[]> {
    const query = { name: this.#nameOf(text), text, values: [...values], rowMode: 'array' as const };
    const { rows } = await this.#answer(() => this.#client.query(query));
    // What the columns are, the SQL says; pg knows nothing of it.
    return rows as unknown as Row[];
  }

  /** Runs a prepared statement, and returns how many rows it answers. */
  execute(statement: SqlStatement): Promise<number> {
    const name = this.#nameOf(statement.text);
    return this.#answer(
      () =>
        new Promise<number>((resolve, reject) => {
          this.#client.query(new CountedStatement(name, statement, resolve, reject));
        }),
    );
  }

  /** Runs statements without parameters; what they answer is not read. */
  async run(text: string): Promise<void> {
    await this.#answer(() => this.#client.query(text));
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

  /**
   * What the server does for `other` at the moment, in PostgreSQL's words (`IPC: SyncRep`); null if nothing: it does not
   * know that session, or waits for its client.
   */
  async peek(other: SqlSession): Promise<string | null> {
    const [row] = await this.query<readonly [string]>(
      `SELECT coalesce(wait_event_type || ': ' || wait_event, 'running') FROM pg_catalog.pg_stat_activity
       WHERE pid = $1::integer AND extract(epoch FROM backend_start)::text = $2
         AND wait_event_type IS DISTINCT FROM 'Client'`,
      [other.#pid, other.#startedAt],
    );
    return row?.[0] ?? null;
  }

  /** Ends another session on the same server, whatever it does or waits for. */
  async terminate(other: SqlSession): Promise<void> {
    await this.query(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
       WHERE pid = $1::integer AND extract(epoch FROM backend_start)::text = $2`,
      [other.#pid, other.#startedAt],
    );
  }

  /** What it waits for is known: {@link SqlSessionOptions.quiet} need not be called that often. */
  knownToWork(): void {
    this.#watch?.slowDown();
  }

  /** Hangs up in good order; nothing waits for it. */
  end(): void {
    this.#client.end().catch(() => {});
    // The other side may never answer.
    this.#socket.unref();
  }

  /** Cuts the connection: the statement under way fails, and may have taken place. */
  destroy(): void {
    this.#client.connection.stream.destroy();
  }

  /** `pg` exchanges it for one with TLS. */
  get #socket(): Socket {
    return this.#client.connection.stream as Socket;
  }

  /**
   * Of a prepared statement. A name means the same text in all sessions: where a pooler that keeps no sessions comes in
   * between, one that another session has prepared must not be run for it.
   */
  #nameOf(text: string): string {
    let name = this.#names.get(text);
    if (name === undefined) {
      const hash = createHash('sha256').update(`${this.#o.schema} ${text}`).digest('base64url');
      name = `opsqueue_${hash.slice(0, NAME_DIGITS)}`;
      this.#names.set(text, name);
    }
    return name;
  }

  async #configure(): Promise<void> {
    const settings = Object.entries(sessionSettings(this.#o.schema));
    const values = [settings.map(([name]) => name), settings.map(([, value]) => value)];
    // First: the rest may take longer than an administrator allows.
    await this.#client.query('SET statement_timeout = 0');
    type Row = [
      settings: bigint,
      pid: number,
      startedAt: string | null,
      isReadOnly: boolean,
      standbys: string | null,
      fsync: string | null,
      fullPageWrites: string | null,
    ];
    const { rows } = await this.#client.query<Row>({ text: CONFIGURE, values, rowMode: 'array' });
    const [, pid = 0, startedAt = null, isReadOnly = true, standbys, fsync, fullPageWrites] = rows[0] ?? [];
    if (isReadOnly) throw new TakesNoWrites();
    this.#pid = pid;
    this.#startedAt = startedAt;
    this.risks = [
      ...(standbys === '' ? [NO_STANDBY] : []),
      ...(fsync === 'off' ? [mayDamage('fsync')] : []),
      ...(fullPageWrites === 'off' ? [mayDamage('full_page_writes')] : []),
    ];
  }

  async #answer<T>(send: () => Promise<T>): Promise<T> {
    this.#watch?.begin();
    try {
      const answer = await send();
      this.#heardMs = this.#o.clock.monotonicMs();
      if (!this.#isReplicated) throw new NotReplicated();
      return answer;
    } finally {
      this.#watch?.end();
    }
  }

  #end(): void {
    this.#isOpen = false;
    this.#o.ended(this);
  }
}

const INT8 = 20;
const BYTEA = 17;

function parserOf(pg: Driver, oid: number, format: 'text' | 'binary' | undefined) {
  if (oid === INT8) return BigInt;
  if (oid === BYTEA) return (text: string) => new Uint8Array(Buffer.from(text.slice(2), 'hex'));
  return pg.types.getTypeParser(oid, format);
}
