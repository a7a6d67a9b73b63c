import type { ShardId } from '../../model/ids.ts';
import { messageOf } from '../../model/thrown.ts';
import { firstOf } from '../../system/async/first-of.ts';
import type { Logger } from '../../system/log/logger.ts';
import { type Clock, endsWithin, sleep } from '../../system/time/clock.ts';
import { StoreError } from '../errors.ts';
import type { Driver } from './driver.ts';
import { connectError, postgresError } from './errors.ts';
import { Lane } from './lane.ts';
import type { Location, ServerLocation } from './location.ts';
import { SqlSession } from './session.ts';

/** Look-ups at the same time. */
const READERS_MAX = 4;
/** Commits, of shards of their own, and clean-ups at the same time. */
const WRITERS_MAX = 4;
const READER_IDLE_MS = 60_000;
/** A server that has not answered for so long is not waited for before the next one is tried. */
const NEXT_SERVER_MS = 500;
/** A connection must be made, and its session set up, within this time. */
const CONNECT_TIMEOUT_MS = 10_000;
const QUIET_MS = 2_000;
/** Then it is tried again over another connection, which must be there within this time as well. */
const LEASE_TIMEOUT_MS = 1_000;
/** Where nodes tell each other of leases; the payload is the schema. */
const LEASE_CHANNEL = 'opsqueue_lease';
/** An answer that was sent when that was asked is here by then. */
const ANSWER_GRACE_MS = 100;
/** PostgreSQL's name for waiting for a synchronous standby. */
const SYNC_REP = ': SyncRep';
const WAITS_FOR_STANDBY = 'the database is waiting for its synchronous standby';

export interface ConnectionsOptions {
  readonly pg: Driver;
  readonly location: Location;
  readonly logger: Logger;
  readonly clock: Clock;
  /** When a statement without an answer is looked after, in milliseconds. Default 2000. */
  readonly quietMs?: number;
  /** What is about leases must be answered within this time, in milliseconds. Default 1000. */
  readonly leaseTimeoutMs?: number;
}

/** What a connection is for; `look`: to find out about another one. */
type Purpose = 'work' | 'lease' | 'look';

/**
 * Some connections that write, some that read and one for what is about leases, opened when they are needed and again when
 * they were cut.
 */
export class Connections {
  readonly location: Location;
  readonly #o: ConnectionsOptions;
  readonly #writers: Lane;
  readonly #readers: Lane;
  readonly #leases: Lane;
  readonly #leaseListeners = new Set<() => void>();
  /** Those that write or read at the moment; with the shard, if it is the batch of one. */
  readonly #busy = new Map<SqlSession, ShardId | null>();
  /** Cut in the middle of a statement, which the server may not know. */
  readonly #abandoned = new Set<SqlSession>();
  /** All that are open. */
  readonly #sessions = new Set<SqlSession>();
  readonly #lookedAfter = new WeakSet<SqlSession>();
  /** What those were last seen doing, in the use that is under way, that are about leases; in PostgreSQL's words. */
  readonly #seenDoing = new WeakMap<SqlSession, string>();
  /** When the log had a line for a connection that was cut; several die at a time. */
  #cutToldMs = Number.NEGATIVE_INFINITY;
  /** The log has a line for it. */
  #isStandbyAwaited = false;
  /** Of the server that took the last connection, what was told. */
  #told: { readonly server: string; readonly risks: readonly string[] } = { server: '', risks: [] };
  /** The server that took the last connection. */
  #serverLast = 0;
  #closing: Promise<void> | null = null;

  constructor(options: ConnectionsOptions) {
    this.#o = options;
    this.location = options.location;
    this.#writers = new Lane(WRITERS_MAX, null, options.clock);
    this.#readers = new Lane(READERS_MAX, READER_IDLE_MS, options.clock);
    this.#leases = new Lane(1, null, options.clock);
  }

  /**
   * @param shard what is written is the batch of that one
   * @throws StoreError if there is no connection to be had; else what `work` throws
   */
  write<T>(work: (session: SqlSession) => Promise<T>, shard: ShardId | null = null): Promise<T> {
    return this.#use(this.#writers, work, shard);
  }

  /**
   * For what is about leases: no batch holds it up, and nothing takes longer than a second.
   *
   * @throws StoreError
   */
  async lease<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    const { clock, leaseTimeoutMs = LEASE_TIMEOUT_MS } = this.#o;
    let problem: string | null = null;
    try {
      return await this.#use(this.#leases, async (session) => {
        this.#seenDoing.delete(session);
        const deadline = clock.after(leaseTimeoutMs, () => {
          problem = `no answer for ${leaseTimeoutMs} ms${this.#reasonOf(session)}`;
          this.#abandon(session);
          // What was opened before may have gone the same way.
          if (!this.#seenDoing.has(session)) this.#dropIdle();
        });
        try {
          await this.#endAbandoned(session);
          return await work(session);
        } finally {
          deadline.cancel();
        }
      });
    } catch (cause) {
      const error = problem === null ? cause : new Error(problem, { cause });
      throw this.storeError(error, 'the lease cannot be looked at');
    }
  }

  /** Something was committed: if a standby was waited for, that is over. */
  committed(): void {
    if (!this.#isStandbyAwaited) return;
    this.#isStandbyAwaited = false;
    this.#o.logger.info({ database: this.location.name }, 'the database confirms commits again');
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

  /** Breaks off the batches of the shards: they were for earlier owners, and may hang on a link that is dead. */
  interrupt(shards: readonly ShardId[]): void {
    for (const [session, shard] of this.#busy)
      if (shard !== null && shards.includes(shard)) this.#abandon(session);
  }

  /** No shard was owned: breaks off what is being written, and what is read where the server has not answered lately. */
  interruptAll(): void {
    const { leaseTimeoutMs = LEASE_TIMEOUT_MS } = this.#o;
    for (const [session, shard] of this.#busy)
      if (shard !== null || session.silentMs > leaseTimeoutMs) this.#abandon(session);
    // A standby that was cut off for a while has links that are dead, and has had no reason to find out.
    this.#dropIdle();
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

  close(graceMs?: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs?: number): Promise<void> {
    const lanes = [this.#writers, this.#readers, this.#leases];
    const idle = Promise.all(lanes.map((lane) => lane.close()));
    if (graceMs === undefined) await idle;
    else await endsWithin(this.#o.clock, graceMs, idle);
    // What is still under way, or being opened.
    for (const session of this.#sessions) session.destroy();
  }

  get #quietMs(): number {
    return this.#o.quietMs ?? QUIET_MS;
  }

  async #use<T>(
    lane: Lane,
    work: (session: SqlSession) => Promise<T>,
    shard: ShardId | null = null,
  ): Promise<T> {
    return lane.use(async (idle) => {
      if (this.#closing !== null) throw closed();
      const session = idle ?? (await this.#connect(lane === this.#leases ? 'lease' : 'work'));
      let isSound = false;
      if (lane !== this.#leases) this.#busy.set(session, shard);
      try {
        const result = await work(session);
        isSound = true;
        return result;
      } finally {
        this.#busy.delete(session);
        // After an error the next one starts anew, perhaps on a server that has become the primary meanwhile.
        if (isSound && this.#closing === null) lane.keep(session);
        else session.end();
      }
    });
  }

  /** To the first server that takes writes. @throws StoreError */
  async #connect(purpose: Purpose): Promise<SqlSession> {
    const { servers, name } = this.location;
    const order = [...servers.slice(this.#serverLast), ...servers.slice(0, this.#serverLast)];
    const attempts = order.map((server) => async () => ({
      server,
      session: await this.#open(server, purpose),
    }));
    const { clock } = this.#o;
    const first = await firstOf(clock, NEXT_SERVER_MS, attempts, ({ session }) => session.end());
    if (first.kind === 'none') {
      throw connectError(
        name,
        order.map((server, i) => ({ server: server.name, error: first.errors[i] })),
      );
    }
    this.#serverLast = servers.indexOf(first.value.server);
    return first.value.session;
  }

  async #open({ name, config }: ServerLocation, purpose: Purpose): Promise<SqlSession> {
    const { pg, clock, leaseTimeoutMs = LEASE_TIMEOUT_MS } = this.#o;
    if (this.#closing !== null) throw closed();
    const timeouts = { work: CONNECT_TIMEOUT_MS, lease: leaseTimeoutMs, look: this.#quietMs };
    const session = new SqlSession({
      pg,
      server: config,
      schema: this.location.schema,
      clock,
      connectTimeoutMs: timeouts[purpose],
      ...(purpose === 'lease' ? { channel: LEASE_CHANNEL } : {}),
      notified: (payload) => {
        if (payload !== this.location.schema) return;
        for (const listener of [...this.#leaseListeners]) listener();
      },
      quietMs: purpose === 'lease' ? Math.min(this.#quietMs, leaseTimeoutMs / 2) : this.#quietMs,
      quiet: (quiet) => void this.#lookAfter(quiet, purpose),
      ended: (ended) => this.#sessions.delete(ended),
    });
    this.#sessions.add(session);
    await session.open();
    if (purpose === 'work') this.#warnOf(name, session.risks);
    return session;
  }

  /** Once for each: it is said again only of another server, or when there had been none. */
  #warnOf(server: string, risks: readonly string[]): void {
    const known = this.#told.server === server ? this.#told.risks : [];
    for (const risk of risks)
      if (!known.includes(risk)) this.#o.logger.warn({ database: this.location.name, server }, risk);
    this.#told = { server, risks };
  }

  #dropIdle(): void {
    for (const lane of [this.#writers, this.#readers, this.#leases]) lane.dropIdle();
  }

  #abandon(session: SqlSession): void {
    this.#abandoned.add(session);
    session.destroy();
  }

  /**
   * A session that was cut while its statement waited for something goes on waiting: one each second, and the server had none
   * left for anybody.
   */
  async #endAbandoned(session: SqlSession): Promise<void> {
    for (const each of [...this.#abandoned]) {
      await session.terminate(each);
      this.#abandoned.delete(each);
    }
  }

  /** For the end of a sentence; empty if it was not seen. */
  #reasonOf(session: SqlSession): string {
    const doing = this.#seenDoing.get(session);
    if (doing === undefined) return '';
    return doing.endsWith(SYNC_REP) ? `: ${WAITS_FOR_STANDBY}` : ` (doing: ${doing})`;
  }

  /** Many may wait for the standby, one after another and at the same time: a line for all of them. */
  #tellDoing(doing: string, purpose: Purpose): void {
    const { logger } = this.#o;
    const database = this.location.name;
    if (!doing.endsWith(SYNC_REP)) {
      if (purpose !== 'lease') logger.warn({ database, doing }, 'no answer from the database yet');
    } else if (!this.#isStandbyAwaited) {
      this.#isStandbyAwaited = true;
      logger.warn({ database }, WAITS_FOR_STANDBY);
    }
  }

  /**
   * A statement may take long: a standby that is to confirm it is down, say. Whether the server is at it, another
   * connection knows. If not, the link is dead, and TCP would take a quarter of an hour to find that out. A look that fails
   * says nothing: there is no server to turn to.
   */
  async #lookAfter(session: SqlSession, purpose: Purpose): Promise<void> {
    if (this.#lookedAfter.has(session)) return;
    this.#lookedAfter.add(session);
    const { bytesRead } = session;
    const { logger } = this.#o;
    const database = this.location.name;
    try {
      const other = await this.#connect('look');
      try {
        const doing = await other.peek(session);
        // An answer that was sent just now must be given time to come.
        if (doing === null) await sleep(this.#o.clock, ANSWER_GRACE_MS);
        if (session.bytesRead !== bytesRead || this.#closing !== null) return;
        if (doing !== null) {
          if (purpose === 'lease') this.#seenDoing.set(session, doing);
          this.#tellDoing(doing, purpose);
          session.knownToWork();
          return;
        }
        this.#seenDoing.delete(session);
        // It is cut in a moment anyway.
        if (purpose === 'lease') return;
        const nowMs = this.#o.clock.monotonicMs();
        const isTold = nowMs - this.#cutToldMs < this.#quietMs;
        this.#cutToldMs = nowMs;
        const message = 'no answer from the database, and it is not working on one: cutting the connection';
        logger[isTold ? 'debug' : 'warn']({ database }, message);
        session.destroy();
        // What was opened before went the same way.
        this.#dropIdle();
        await other.terminate(session);
      } finally {
        other.end();
      }
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'cannot look what the database does');
    } finally {
      this.#lookedAfter.delete(session);
    }
  }
}

function closed(): StoreError {
  return new StoreError('transient', 'the store is closed');
}
