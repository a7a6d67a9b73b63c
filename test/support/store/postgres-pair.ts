import pg from 'pg';
import { eventually } from '../time/eventually.ts';
import { PostgresServer } from './postgres-server.ts';

/** Enough of the log for a standby that is being made. */
const SETTINGS = [
  'wal_keep_size=256MB',
  'max_wal_senders=10',
  'wal_receiver_timeout=5s',
  'wal_retrieve_retry_interval=200ms',
];
const SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '*'";

const NOT_SYNCHRONOUS = 'ALTER SYSTEM RESET synchronous_standby_names';

/** A primary, and a standby that confirms each commit. */
export class PostgresPair implements AsyncDisposable {
  #primary: PostgresServer;
  #standby: PostgresServer | null = null;

  private constructor(primary: PostgresServer) {
    this.#primary = primary;
  }

  static async start(settings: readonly string[] = []): Promise<PostgresPair> {
    const pair = new PostgresPair(await PostgresServer.start([...SETTINGS, ...settings]));
    try {
      await pair.addStandby();
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  get primary(): PostgresServer {
    return this.#primary;
  }

  /** null: it became the primary. */
  get standby(): PostgresServer | null {
    return this.#standby;
  }

  /** Resolves when commits wait for it. */
  async addStandby(): Promise<PostgresServer> {
    this.#standby = await this.#primary.standby();
    await this.waitForStandby(true);
    return this.#standby;
  }

  /** Resolves when commits wait for it, or do not any more. */
  async waitForStandby(isWaited: boolean): Promise<void> {
    await this.#on(this.#primary, async (admin) => {
      await admin.query(isWaited ? SYNCHRONOUS : NOT_SYNCHRONOUS);
      await admin.query('SELECT pg_reload_conf()');
      await eventually(async () => {
        const { rows } = await admin.query("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'");
        return rows.length > 0 === isWaited;
      }, 30_000);
    });
  }

  /** As an administrator does: those of the queue. */
  async endSessions(): Promise<void> {
    await this.#on(this.#primary, (admin) =>
      admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsqueue'`,
      ),
    );
  }

  /** Ends the primary, and makes the standby the primary, which then has none. */
  async failOver(how: 'crash' | 'kill' | 'fast'): Promise<void> {
    const standby = this.#standby;
    if (standby === null) throw new Error('there is no standby');
    await this.#primary.stop(how);
    await this.#on(standby, (admin) => admin.query('SELECT pg_promote(true, 30)'));
    const old = this.#primary;
    this.#primary = standby;
    this.#standby = null;
    await old[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#standby?.[Symbol.asyncDispose]();
    await this.#primary[Symbol.asyncDispose]();
  }

  async #on<T>(server: PostgresServer, work: (admin: pg.Client) => Promise<T>): Promise<T> {
    const admin = new pg.Client(server.url());
    // It may be killed while this is open.
    admin.on('error', () => {});
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.end();
    }
  }
}
