import { checkInteger, checkNumber } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import {
  BODIES_BYTES_MAX_DEFAULT,
  BODY_BYTES_MAX_DEFAULT,
  CONNECTIONS_MAX_DEFAULT,
  FRAME_BYTES_MAX_DEFAULT,
  MESSAGE_BYTES_MAX,
} from '../model/limits.ts';
import { type OptionNames, refuseUnknownOptions } from '../model/option-names.ts';
import { RETRY_BOUNDS } from '../model/retry.ts';
import type { Store } from '../store/store.ts';
import { type Clock, systemClock } from '../system/clock.ts';
import { type Logger, type LogStats, silentLogger } from '../system/logger.ts';
import { type Random, systemRandom } from '../system/random.ts';

/** How to run a queue. Everything has a default. */
export interface ServerOptions {
  /** Addresses to listen on. Default: the loopback only, 127.0.0.1 and ::1 where there is IPv6. */
  readonly hosts?: readonly string[] | undefined;
  /** Default 3999; 0 = any free port. */
  readonly port?: number | undefined;
  /** Further names by which clients on this machine address a queue that listens on the loopback only. Default none. */
  readonly hostNames?: readonly string[] | undefined;
  /** SQLite file, made if it is missing. Default `opsqueue.db`. */
  readonly databaseFilename?: string | undefined;
  /** A consumer that keeps a chunk for longer loses it, in milliseconds. Default 10 minutes. */
  readonly reservationExpirationMs?: number | undefined;
  /** Consumers are pinged after so long without a sign of life, in milliseconds. Default 10 seconds. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** So many heartbeats in a row may stay unanswered. Default 3. */
  readonly maxMissableHeartbeats?: number | undefined;
  /** The failure that makes a chunk's retries reach this number fails its submission. Default 10. */
  readonly maxChunkRetries?: number | undefined;
  /**
   * Failed chunks of producers that say nothing of it (the original's) wait so long before their first retry, twice as
   * long before the next, a minute at most (this time, if that is longer), in milliseconds. Default 0: tried again at once.
   */
  readonly retryDelayMs?: number | undefined;
  /** The broken connection that makes a running chunk's count reach this number fails its submission. Default 10; 0 = never. */
  readonly maxChunkDisconnects?: number | undefined;
  /** Ended submissions are remembered for so long, in milliseconds. Default 1 hour. */
  readonly maxSubmissionAgeMs?: number | undefined;
  /** Look-ups by metadata that match more submissions are refused. Default 100 000. */
  readonly maxSubmissionsReturned?: number | undefined;
  /** The status of a submission in progress is told when it ends, or after so long, in milliseconds. Default 0: at once. */
  readonly holdStatusPollsMs?: number | undefined;
  /** Largest HTTP request body, in bytes. Default 32 MiB; 256 MiB at most. */
  readonly bodyBytesMax?: number | undefined;
  /** Request bodies that are being read may take so many bytes together; one more is answered with 503. Default 256 MiB. */
  readonly bodiesBytesMax?: number | undefined;
  /** Largest WebSocket message, in bytes. Default 64 MiB; 256 MiB at most. */
  readonly frameBytesMax?: number | undefined;
  /** Connections of all kinds at each address; one more is closed at once. Default 10 000. */
  readonly connectionsMax?: number | undefined;
  /** Idle HTTP connections are kept for so long, in milliseconds. Default 125 seconds; 120 at least. */
  readonly idleConnectionMs?: number | undefined;
  /** Default: says nothing. */
  readonly logger?: Logger | undefined;
  /** What became of the log, for the metrics. Default: they say nothing of it. */
  readonly logStats?: LogStats | undefined;
  /** Where the queue is kept. Default: the SQLite file. It is closed when the server stops. */
  readonly store?: Store | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

const OPTION_NAMES: OptionNames<ServerOptions> = {
  hosts: true,
  port: true,
  hostNames: true,
  databaseFilename: true,
  reservationExpirationMs: true,
  heartbeatIntervalMs: true,
  maxMissableHeartbeats: true,
  maxChunkRetries: true,
  retryDelayMs: true,
  maxChunkDisconnects: true,
  maxSubmissionAgeMs: true,
  maxSubmissionsReturned: true,
  holdStatusPollsMs: true,
  bodyBytesMax: true,
  bodiesBytesMax: true,
  frameBytesMax: true,
  connectionsMax: true,
  idleConnectionMs: true,
  logger: true,
  logStats: true,
  store: true,
  clock: true,
  random: true,
};

/** {@link ServerOptions}, checked and complete. */
export type ServerSettings = {
  readonly [Name in Exclude<keyof ServerOptions, 'hosts' | 'store' | 'logStats'>]-?: Exclude<
    ServerOptions[Name],
    undefined
  >;
} & Pick<ServerOptions, 'hosts' | 'store' | 'logStats'>;

/** Of what is handed to `node:http`: 2^31 - 1 ms. Our own timers bear any duration. */
const HTTP_DURATION_MAX_MS = 0x7fff_ffff;
const IDLE_CONNECTION_LEAST_MS = 120_000;
const BODIES_BYTES_MAX = 2 ** 31;

/** Throws an IncorrectUsageError that names the option and the value. */
export function checkedSettings(options: ServerOptions): ServerSettings {
  refuseUnknownOptions(options, OPTION_NAMES);
  const hosts = options.hosts?.flatMap((host) => (host === 'localhost' ? ['127.0.0.1', '::1'] : [host]));
  if (hosts?.length === 0) throw new IncorrectUsageError('hosts: at least one address is required');
  return {
    hosts: options.hosts?.length === 1 && options.hosts[0] === 'localhost' ? undefined : hosts,
    port: checkInteger('port', options.port ?? 3999, 0, 65_535),
    hostNames: options.hostNames ?? [],
    databaseFilename: options.databaseFilename ?? 'opsqueue.db',
    reservationExpirationMs: checkNumber(
      'reservationExpirationMs',
      options.reservationExpirationMs ?? 600_000,
      1,
    ),
    heartbeatIntervalMs: checkNumber('heartbeatIntervalMs', options.heartbeatIntervalMs ?? 10_000, 1),
    maxMissableHeartbeats: checkInteger(
      'maxMissableHeartbeats',
      options.maxMissableHeartbeats ?? 3,
      0,
      1_000_000,
    ),
    maxChunkRetries: checkInteger('maxChunkRetries', options.maxChunkRetries ?? 10, 0, 1_000_000_000),
    retryDelayMs: checkNumber('retryDelayMs', options.retryDelayMs ?? 0, 0, RETRY_BOUNDS.delayMs[1]),
    maxChunkDisconnects: checkInteger(
      'maxChunkDisconnects',
      options.maxChunkDisconnects ?? 10,
      0,
      1_000_000_000,
    ),
    maxSubmissionAgeMs: checkNumber('maxSubmissionAgeMs', options.maxSubmissionAgeMs ?? 3_600_000, 0),
    maxSubmissionsReturned: checkInteger(
      'maxSubmissionsReturned',
      options.maxSubmissionsReturned ?? 100_000,
      0,
      2 ** 32,
    ),
    holdStatusPollsMs: checkNumber('holdStatusPollsMs', options.holdStatusPollsMs ?? 0, 0),
    bodyBytesMax: checkInteger(
      'bodyBytesMax',
      options.bodyBytesMax ?? BODY_BYTES_MAX_DEFAULT,
      1,
      MESSAGE_BYTES_MAX,
    ),
    bodiesBytesMax: checkInteger(
      'bodiesBytesMax',
      options.bodiesBytesMax ?? BODIES_BYTES_MAX_DEFAULT,
      1,
      BODIES_BYTES_MAX,
    ),
    frameBytesMax: checkInteger(
      'frameBytesMax',
      options.frameBytesMax ?? FRAME_BYTES_MAX_DEFAULT,
      1,
      MESSAGE_BYTES_MAX,
    ),
    connectionsMax: checkInteger(
      'connectionsMax',
      options.connectionsMax ?? CONNECTIONS_MAX_DEFAULT,
      1,
      1_000_000,
    ),
    idleConnectionMs: checkNumber(
      'idleConnectionMs',
      options.idleConnectionMs ?? 125_000,
      IDLE_CONNECTION_LEAST_MS,
      HTTP_DURATION_MAX_MS,
    ),
    logger: options.logger ?? silentLogger,
    logStats: options.logStats,
    store: options.store,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  };
}
