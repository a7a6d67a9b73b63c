import { Command } from 'commander';
import {
  IncorrectUsageError,
  OpsqueueError,
  type RunningServer,
  type ServerOptions,
  startServer,
  systemClock,
  VERSION,
} from '../server/index.ts';
import type { Io } from './io.ts';
import { LOG_LEVELS, logLevel, openLog, type ServerLog } from './log/log.ts';
import type { LogWriter } from './log/sink.ts';
import { PortPipe } from './port-pipe.ts';
import { type StopSignal, StopSignals } from './stop-signals.ts';
import { oneLine } from './text.ts';
import { duration, flag, hosts, isServiceLink, wholeNumber } from './values.ts';

const MINUTE_MS = 60_000;
/** How long the last lines of the log may take to be written when the process ends. */
const LOG_GRACE_MS = 200;
const nowhere: LogWriter = { write: (bytes, done) => done(bytes.length) };
const MEBIBYTE = 1024 * 1024;
/** What the server takes at most for these limits. */
const LARGEST_MESSAGE_BYTES = 256 * MEBIBYTE;
const ANY_NUMBER = wholeNumber(0, Number.MAX_SAFE_INTEGER);

interface ServeFlags {
  readonly port: number;
  readonly host?: readonly string[];
  readonly reportBoundPortPipe: number;
  readonly databaseFilename: string;
  readonly reservationExpiration: number;
  readonly maxReadPoolSize: number;
  readonly heartbeatInterval: number;
  readonly maxMissableHeartbeats: number;
  readonly maxChunkRetries: number;
  readonly retryDelay: number;
  readonly maxChunkDisconnects: number;
  readonly maxSubmissionAge: number;
  readonly maxSubmissionsReturned: number;
  readonly holdStatusPolls: number;
  readonly maxBodyBytes: number;
  readonly maxBodiesBytes: number;
  readonly maxFrameBytes: number;
  readonly maxConnections: number;
  readonly idleConnection: number;
  readonly hostName?: readonly string[];
}

/** Ends a command with this status; whoever throws it has said why already, or says it in the message. */
export class ExitError extends Error {
  readonly status: number;

  constructor(status: number, message = '') {
    super(message);
    this.status = status;
  }
}

/** `opsqueue serve`, which is also what plain `opsqueue` does. */
export function serveCommand(io: Io): Command {
  return addFlags(new Command('serve'))
    .description('run the queue (the default command)')
    .argument('[nothing...]')
    .usage('[flags]')
    .configureHelp({ visibleArguments: () => [] })
    .addHelpText('after', HELP_AFTER)
    .action(async (operands: readonly string[], flags: ServeFlags, command: Command) => {
      if (operands.length > 0) {
        command.error(`error: unknown command '${operands[0]}'; opsqueue --help lists those there are`);
      }
      await serve(flags, command, io);
    });
}

const HELP_AFTER = `
Durations need a unit: 500ms, 5 seconds, 10 minutes, 1 hour, 1h 30m.
Each flag comes from the environment as well: --max-chunk-retries as OPSQUEUE_MAX_CHUNK_RETRIES; the flag wins.
The log goes to stderr; OPSQUEUE_LOG sets how much (${LOG_LEVELS}; default info).
Ctrl-C, SIGTERM or SIGHUP ends the queue in good order, a second one at once; nothing that was acknowledged is lost either way.

Examples:
  opsqueue                                               on localhost:3999, with opsqueue.db in this folder
  opsqueue --host 0.0.0.0 --port 4000                    for other machines too (there is no access control)
  opsqueue --database-filename /var/lib/opsqueue/queue.db --max-submission-age '1 day'
  OPSQUEUE_LOG=debug OPSQUEUE_PORT=4000 opsqueue         the same in the environment, with a talkative log`;

function addFlags(command: Command): Command {
  return command
    .addOption(
      flag('-p, --port <port>', 'port to listen on; 0 = any free one')
        .argParser(wholeNumber(0, 65_535))
        .default(3999),
    )
    .addOption(
      flag(
        '--host <host>',
        'address to listen on; may be given several times, or as a list with commas; 0.0.0.0 and :: are all of this machine (default: 127.0.0.1 and, where there is IPv6, ::1)',
      ).argParser(hosts),
    )
    .addOption(
      flag(
        '--database-filename <file>',
        'SQLite file, created where it is missing; file::memory: keeps nothing',
      ).default('opsqueue.db'),
    )
    .addOption(
      flag(
        '--reservation-expiration <duration>',
        'a consumer that holds a chunk for longer loses it to another',
      )
        .argParser(duration(1, '1ms'))
        .default(10 * MINUTE_MS, '10 minutes'),
    )
    .addOption(
      flag('--max-chunk-retries <number>', 'the failure that makes this number fails the whole submission')
        .argParser(ANY_NUMBER)
        .default(10),
    )
    .addOption(
      flag(
        '--retry-delay <duration>',
        'wait before the first retry of a failed chunk, doubled with each up to a minute, for producers of the original opsqueue, which cannot say; 0s = at once',
      )
        .argParser(duration(0, '0s'))
        .default(0, '0s'),
    )
    .addOption(
      flag(
        '--max-chunk-disconnects <number>',
        'the same for consumers that vanished while they worked on the chunk; 0 = no limit',
      )
        .argParser(ANY_NUMBER)
        .default(10),
    )
    .addOption(
      flag('--max-submission-age <duration>', 'how long submissions that have ended are remembered')
        .argParser(duration(0, '0s'))
        .default(60 * MINUTE_MS, '1 hour'),
    )
    .addOption(
      flag('--heartbeat-interval <duration>', 'after this silence a consumer is asked for a sign of life')
        .argParser(duration(1, '1ms'))
        .default(10_000, '10 seconds'),
    )
    .addOption(
      flag('--max-missable-heartbeats <number>', 'a consumer that misses more is taken for gone')
        .argParser(ANY_NUMBER)
        .default(3),
    )
    .addOption(
      flag('--max-submissions-returned <number>', 'a look-up that matches more is refused')
        .argParser(ANY_NUMBER)
        .default(100_000),
    )
    .addOption(
      flag(
        '--hold-status-polls <duration>',
        'answer the status of a running submission only when it ends, or after this time: producers of the original opsqueue then hear of the end at once; 0s = answer at once',
      )
        .argParser(duration(0, '0s'))
        .default(0, '0s'),
    )
    .addOption(
      flag('--max-body-bytes <bytes>', 'a larger HTTP request is refused')
        .argParser(wholeNumber(1024, LARGEST_MESSAGE_BYTES))
        .default(32 * MEBIBYTE, '32 MiB'),
    )
    .addOption(
      flag(
        '--max-bodies-bytes <bytes>',
        'memory for all HTTP requests that are being read; others are told to try again',
      )
        .argParser(wholeNumber(1024, 1024 * MEBIBYTE))
        .default(256 * MEBIBYTE, '256 MiB'),
    )
    .addOption(
      flag('--max-frame-bytes <bytes>', 'a larger message of a consumer ends its connection')
        .argParser(wholeNumber(1024, LARGEST_MESSAGE_BYTES))
        .default(64 * MEBIBYTE, '64 MiB'),
    )
    .addOption(
      flag('--max-connections <number>', 'connections at each address; one more is closed at once')
        .argParser(wholeNumber(1, 1_000_000))
        .default(10_000),
    )
    .addOption(
      flag('--idle-connection <duration>', 'how long an unused HTTP connection is kept open')
        .argParser(duration(120_000, '120s'))
        .default(125_000, '125 seconds'),
    )
    .addOption(
      flag(
        '--host-name <name>',
        'a further name by which programs on this machine may address a queue that listens on the loopback; may be given several times, or as a list with commas',
      ).argParser(hosts),
    )
    .addOption(
      flag(
        '--report-bound-port-pipe <fd>',
        'write the port, as two bytes (big-endian), to this inherited file descriptor and close it; -1 = do not',
      )
        .argParser(wholeNumber(-1, 2 ** 31 - 1))
        .default(-1),
    )
    .addOption(
      flag('--max-read-pool-size <number>', 'taken for the sake of old command lines; there is no such pool')
        .argParser(ANY_NUMBER)
        .default(256),
    );
}

async function serve(flags: ServeFlags, command: Command, io: Io): Promise<void> {
  const level = logLevel(process.env.OPSQUEUE_LOG);
  if (level === null) {
    command.error(
      `error: OPSQUEUE_LOG is '${process.env.OPSQUEUE_LOG}', which is no level; levels are ${LOG_LEVELS}`,
    );
    return;
  }
  const log = openLog(level, {
    writer: io.logWriter?.() ?? nowhere,
    isTTY: io.stderr.isTTY === true,
    clock: systemClock,
  });
  try {
    await run(flags, command, io, log);
  } finally {
    await log.flush(LOG_GRACE_MS);
  }
}

async function run(flags: ServeFlags, command: Command, io: Io, { logger, stats }: ServerLog): Promise<void> {
  const pipe = new PortPipe(flags.reportBoundPortPipe);
  if (!pipe.isUsable) {
    command.error(
      `error: option '--report-bound-port-pipe <fd>' argument '${flags.reportBoundPortPipe}' is invalid. No such file descriptor was handed down to this process.`,
    );
  }
  const signals = new StopSignals(systemClock, process);
  const serviceLink = process.env.OPSQUEUE_PORT ?? '';
  if (isServiceLink('OPSQUEUE_PORT', serviceLink)) {
    const message = 'OPSQUEUE_PORT ignored: Kubernetes sets it for a Service called opsqueue; use --port';
    logger.info({ value: serviceLink }, message);
  }
  let server: RunningServer | StopSignal;
  try {
    server = await Promise.race([
      startServer({ ...serverOptions(flags), logger, logStats: stats }),
      signals.first,
    ]);
  } catch (error) {
    pipe.close();
    signals.release();
    if (error instanceof IncorrectUsageError) command.error(`error: ${oneLine(error.message)}`);
    throw new ExitError(1, `cannot start: ${startProblem(error, flags)}`);
  }
  if (typeof server === 'string') {
    // Nothing was taken in yet: what there is of the start may go down with the process.
    logger.info({ signal: server }, 'stopping before the start is complete');
    pipe.close();
    signals.release();
    return;
  }
  io.outliveStdout?.();
  io.stdout.write(`${listeningLine(server)}\n`);
  if (!pipe.report(server.port)) logger.warn({}, 'nobody read the port from --report-bound-port-pipe');

  const signal = await Promise.race([signals.first, server.ended.then(() => null)]).catch(
    (error: unknown) => {
      throw new ExitError(1, `ended: ${problem(error)}`);
    },
  );
  if (signal !== null) logger.info({ signal }, 'stopping');
  await server.stop();
  signals.release();
}

function serverOptions(flags: ServeFlags): ServerOptions {
  return {
    hosts: flags.host,
    port: flags.port,
    hostNames: flags.hostName,
    databaseFilename: flags.databaseFilename,
    reservationExpirationMs: flags.reservationExpiration,
    heartbeatIntervalMs: flags.heartbeatInterval,
    maxMissableHeartbeats: flags.maxMissableHeartbeats,
    maxChunkRetries: flags.maxChunkRetries,
    retryDelayMs: flags.retryDelay,
    maxChunkDisconnects: flags.maxChunkDisconnects,
    maxSubmissionAgeMs: flags.maxSubmissionAge,
    maxSubmissionsReturned: flags.maxSubmissionsReturned,
    holdStatusPollsMs: flags.holdStatusPolls,
    bodyBytesMax: flags.maxBodyBytes,
    bodiesBytesMax: flags.maxBodiesBytes,
    frameBytesMax: flags.maxFrameBytes,
    connectionsMax: flags.maxConnections,
    idleConnectionMs: flags.idleConnection,
  };
}

/** What the operator sees first: where the queue is, and what to do if that is not enough. */
function listeningLine({ addresses }: RunningServer): string {
  const line = `opsqueue ${VERSION} listens on ${urlsOf(addresses).join(' and ')}`;
  if (!addresses.every(({ host }) => isLoopback(host))) return line;
  return `${line} (this machine only; --host 0.0.0.0 opens it to others, without access control)`;
}

function urlsOf(addresses: RunningServer['addresses']): string[] {
  const ports = new Set(addresses.map(({ port }) => port));
  const hosts = addresses.map(({ host }) => host).sort();
  // Both loopbacks are what everybody calls so.
  if (ports.size === 1 && hosts.join() === '127.0.0.1,::1') return [`http://localhost:${addresses[0]?.port}`];
  return addresses.map(({ host, port }) => `http://${host.includes(':') ? `[${host}]` : host}:${port}`);
}

function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || host.startsWith('127.');
}

function startProblem(error: unknown, flags: ServeFlags): string {
  const { code, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  const where = `${address ?? flags.host?.join(', ') ?? 'localhost'}, port ${port ?? flags.port}`;
  if (code === 'STORE_FULL') {
    return `${problem(error)}: no space left on the disk of ${flags.databaseFilename}: free some, then start the queue again (nothing that was acknowledged is lost)`;
  }
  if (error instanceof OpsqueueError) return problem(error);
  if (code === 'EADDRINUSE') return `${where} is in use by another program (--port)`;
  if (code === 'EACCES') return `this user must not listen on ${where} (--port)`;
  if (code === 'EADDRNOTAVAIL') return `this machine has no address ${where} (--host)`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `there is no host ${where} (--host)`;
  return problem(error);
}

function problem(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}
