import type { Store } from '../store/store.ts';
import type { Logger, LogStats } from '../system/log/logger.ts';

/** How to run a queue. Everything has a default; what is plain data is a flag of the command as well. */
export interface ServerOptions {
  /**
   * Addresses to listen on; `localhost` means 127.0.0.1 and ::1.
   *
   * @defaultValue 127.0.0.1 and, where there is IPv6, ::1
   */
  readonly hosts?: readonly string[] | undefined;
  /**
   * Port to listen on; 0 means any free port.
   *
   * @defaultValue 3999
   */
  readonly port?: number | undefined;
  /**
   * Host names that requests may use, besides localhost, addresses and that of `advertise`. With one, or on the loopback, requests that
   * name another host are refused: a web page whose name points here (DNS rebinding) could send them.
   *
   * @defaultValue none: on the loopback no further ones, elsewhere any
   */
  readonly hostNames?: readonly string[] | undefined;
  /**
   * Names of the queues that may be used, `-` for the unnamed one; further ones are answered with 404.
   *
   * @defaultValue any
   */
  readonly queues?: readonly string[] | undefined;
  /**
   * What people call this queue, such as `production`: its page has it at its top and in its title, with a colour of its own, so
   * that the pages of several queues are told apart.
   *
   * @defaultValue none: the page goes by its address
   */
  readonly name?: string | undefined;
  /**
   * `off`: the page for people, at `/`, is not served.
   *
   * @defaultValue on
   */
  readonly page?: 'on' | 'off' | undefined;
  /**
   * What all paths may begin with, for a proxy that passes requests on with a prefix: `/batch` answers `/batch/ping` and `/ping`.
   *
   * @defaultValue none
   */
  readonly basePath?: string | undefined;
  /**
   * SQLite file, created if missing; `file::memory:` keeps nothing.
   *
   * @defaultValue opsqueue.db
   */
  readonly databaseFilename?: string | undefined;
  /**
   * Where the queue is kept, instead of `databaseFilename`: a URL as `openStore` of `opsqueue/store` takes it
   * (`sqlite:queue.db`, `postgres://user@host:5432/database`, `memory:`), or an open store, which is closed when the server stops.
   *
   * @defaultValue none: the SQLite file
   */
  readonly store?: string | Store | undefined;
  /**
   * A consumer that holds a chunk for longer loses it to another, in milliseconds.
   *
   * @defaultValue 10 minutes
   */
  readonly reservationExpirationMs?: number | undefined;
  /**
   * Number of failures of a chunk that fails its whole submission.
   *
   * @defaultValue 10
   */
  readonly chunkRetriesMax?: number | undefined;
  /**
   * Wait before the first retry of a failed chunk, in milliseconds, for submissions whose producer does not choose (those
   * of the original opsqueue); doubled with each retry up to a minute, or this value if it is longer. 0 means at once.
   *
   * @defaultValue 0s
   */
  readonly retryDelayMs?: number | undefined;
  /**
   * Number of consumers that may disconnect while working on a chunk before its submission fails; 0 means no limit.
   *
   * @defaultValue 10
   */
  readonly chunkDisconnectsMax?: number | undefined;
  /**
   * How long ended submissions are kept, in milliseconds.
   *
   * @defaultValue 1 hour
   */
  readonly submissionAgeMsMax?: number | undefined;
  /**
   * A consumer is sent a ping after this silence, in milliseconds.
   *
   * @defaultValue 10 seconds
   */
  readonly heartbeatIntervalMs?: number | undefined;
  /**
   * A consumer that misses more heartbeats in a row is disconnected.
   *
   * @defaultValue 3
   */
  readonly missableHeartbeatsMax?: number | undefined;
  /**
   * A look-up by metadata that matches more submissions is refused.
   *
   * @defaultValue 100000
   */
  readonly submissionsReturnedMax?: number | undefined;
  /**
   * Holds a request for the status of a running submission until it ends, or for this time, in milliseconds; 0 means not
   * at all.
   *
   * @defaultValue 0s
   */
  readonly holdStatusPollsMs?: number | undefined;
  /**
   * On a store that several nodes share: how long one may be silent before others take over its queues, in
   * milliseconds; at least 200.
   *
   * @defaultValue 3 seconds
   */
  readonly leaseMs?: number | undefined;
  /**
   * Where other nodes that share the store reach this one, as `host:port`.
   *
   * @defaultValue the first address that it listens on; one of this machine if it listens on all of them
   */
  readonly advertise?: string | undefined;
  /**
   * Largest HTTP request body, in bytes; at most 256 MiB.
   *
   * @defaultValue 32 MiB
   */
  readonly bodyBytesMax?: number | undefined;
  /**
   * Memory for all HTTP request bodies being read at the same time, in bytes; further ones get 503. There is always room
   * for one.
   *
   * @defaultValue 256 MiB
   */
  readonly bodiesBytesMax?: number | undefined;
  /**
   * Largest WebSocket message of a consumer, in bytes; at most 256 MiB.
   *
   * @defaultValue 64 MiB
   */
  readonly frameBytesMax?: number | undefined;
  /**
   * Connections of all kinds at each address; further ones are closed at once.
   *
   * @defaultValue 10000
   */
  readonly connectionsMax?: number | undefined;
  /**
   * How long an unused HTTP connection is kept open, in milliseconds; at least 2 minutes.
   *
   * @defaultValue 125 seconds
   */
  readonly idleConnectionMs?: number | undefined;
  /**
   * Takes what the queue logs.
   *
   * @defaultValue none: nothing is logged
   */
  readonly logger?: Logger | undefined;
  /**
   * Ends the start when it fires: `startServer` rejects with its reason, and what the queue has taken it gives back.
   *
   * @defaultValue none
   */
  readonly signal?: AbortSignal | undefined;
  /** Figures about the log, for the metrics. */
  readonly logStats?: LogStats | undefined;
}
