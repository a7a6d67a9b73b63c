import { Command, type Option } from 'commander';
import { checkChoice, mustBe } from '../model/check.ts';
import { IncorrectUsageError, OpsqueueError } from '../model/errors.ts';
import { messageOf } from '../model/thrown.ts';
import { VERSION } from '../model/version.ts';
import { type RunningServer, type ServerOptions, startServer } from '../server/index.ts';
import {
  checkAddress,
  checkQueues,
  checkStoreUrl,
  checkText,
  defaultText,
  SETTINGS,
  type Setting,
  settingHelp,
} from '../server/settings.ts';
import { endsWithin, systemClock } from '../system/time/clock.ts';
import type { Io } from './io.ts';
import { LOG_LEVELS, logLevel, openLog, type ServerLog } from './log/log.ts';
import type { LogWriter } from './log/sink.ts';
import { PortPipe } from './port-pipe.ts';
import { type StopSignal, StopSignals } from './stop-signals.ts';
import { oneLine } from './text.ts';
import { flag, hosts, integer, isServiceLink, type ReadFlag, readDuration } from './values.ts';

/** How long the last lines of the log may take to be written when the process ends. */
const LOG_GRACE_MS = 200;
/** How long a start that is broken off may take for that. */
const START_GRACE_MS = 1_000;
const nowhere: LogWriter = { write: (bytes, done) => done(bytes.length) };

interface ServeFlags extends ServerOptions {
  readonly reportBoundPortPipe: number;
  readonly maxReadPoolSize: number;
}

/** Ends a command with this status. The reason is in the message, unless it was printed already. */
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
        command.error(`error: unknown command '${operands[0]}'; opsqueue --help lists them`);
      }
      await serve(withOnePlace(flags, command), io);
    });
}

/** With the store or the database file: the default gives way to either, and the environment to the command line. */
function withOnePlace(flags: ServeFlags, command: Command): ServeFlags {
  const { store, databaseFilename, ...others } = flags;
  const storeFrom = command.getOptionValueSource('store');
  const fileFrom = command.getOptionValueSource('databaseFilename');
  if (store === undefined) return flags;
  if (storeFrom === fileFrom) {
    throw new IncorrectUsageError('--store and --database-filename were both given: give one of them');
  }
  return fileFrom === 'cli' ? { ...others, databaseFilename } : { ...others, store };
}

const HELP_AFTER = `
Durations need a unit: 500ms, 5 seconds, 10 minutes, 1 hour, 1h 30m.
Each flag comes from the environment as well: --max-chunk-retries as OPSQUEUE_MAX_CHUNK_RETRIES; the flag wins.
The log goes to stderr; OPSQUEUE_LOG sets how much (${LOG_LEVELS}; default info).
Ctrl-C, SIGTERM or SIGHUP shuts the queue down cleanly, a second one ends it at once; nothing that was acknowledged is lost either way.

Examples:
  opsqueue                                               on localhost:3999, with opsqueue.db in this folder
  opsqueue --host 0.0.0.0 --port 4000                    for other machines too (there is no access control)
  opsqueue --database-filename /var/lib/opsqueue/queue.db --max-submission-age '1 day'
  OPSQUEUE_LOG=debug OPSQUEUE_PORT=4000 opsqueue         the same by the environment, with a detailed log`;

function addFlags(command: Command): Command {
  for (const [name, setting] of Object.entries(SETTINGS)) {
    const option = settingFlag(setting).default(setting.default, defaultText(setting) ?? undefined);
    // Flags keep the names of the original, options have our own.
    option.attributeName = () => name;
    command.addOption(option);
  }
  return command
    .addOption(
      flag(
        '--report-bound-port-pipe <fd>',
        'write the port, as two bytes (big-endian), to this inherited file descriptor and close it; -1 = do not',
        integer(-1, 2 ** 31 - 1),
      ).default(-1),
    )
    .addOption(
      flag('--max-read-pool-size <number>', 'accepted for compatibility; ignored', integer(0)).default(256),
    );
}

/** The flag of a setting. */
function settingFlag(setting: Setting): Option {
  const help = settingHelp(setting);
  switch (setting.kind) {
    case 'count':
    case 'bytes':
      return flag(setting.flag, help, integer(setting.min, setting.max));
    case 'duration':
      return flag(setting.flag, help, readDuration(setting.min, setting.max));
    case 'hosts':
      return flag(setting.flag, help, hosts);
    case 'queues':
      return flag(setting.flag, help, queueNames);
    case 'text':
      return flag(setting.flag, help, (text, name) => checkText(text, name, setting));
    case 'choice':
      return flag(setting.flag, help, (text, name) => checkChoice(name, text, setting.choices));
    case 'address':
      return flag(setting.flag, help, checkAddress);
    case 'store':
      return flag(setting.flag, help, checkStoreUrl);
    default:
      return setting satisfies never;
  }
}

/** The flag can be repeated, and can carry a list with commas. */
const queueNames: ReadFlag<readonly string[]> = (text, name, previous) => [
  ...(previous ?? []),
  ...checkQueues(
    text.split(',').map((each) => each.trim()),
    name,
  ),
];

async function serve(flags: ServeFlags, io: Io): Promise<void> {
  const level = logLevel(process.env.OPSQUEUE_LOG);
  if (level === null) {
    throw mustBe('OPSQUEUE_LOG', `one of ${LOG_LEVELS}`, process.env.OPSQUEUE_LOG);
  }
  const log = openLog(level, {
    writer: io.logWriter?.() ?? nowhere,
    isTTY: io.stderr.isTTY === true,
    clock: systemClock,
  });
  try {
    await run(flags, io, log);
  } finally {
    await log.flush(LOG_GRACE_MS);
  }
}

async function run(flags: ServeFlags, io: Io, { logger, stats }: ServerLog): Promise<void> {
  const { reportBoundPortPipe, maxReadPoolSize: _, ...options } = flags;
  const pipe = new PortPipe(reportBoundPortPipe);
  if (!pipe.isUsable) {
    throw mustBe(
      '--report-bound-port-pipe',
      'a file descriptor that this process inherited',
      reportBoundPortPipe,
    );
  }
  const signals = new StopSignals(systemClock, process);
  const serviceLink = process.env.OPSQUEUE_PORT ?? '';
  if (isServiceLink('OPSQUEUE_PORT', serviceLink)) {
    const message = 'OPSQUEUE_PORT ignored: Kubernetes sets it for a Service called opsqueue; use --port';
    logger.info({ value: serviceLink }, message);
  }
  let server: RunningServer | StopSignal;
  const stopped = new AbortController();
  const starting = startServer({ ...options, logger, logStats: stats, signal: stopped.signal });
  try {
    server = await Promise.race([starting, signals.first]);
  } catch (error) {
    pipe.close();
    signals.release();
    if (error instanceof IncorrectUsageError) throw error;
    throw new ExitError(1, `cannot start: ${startProblem(error, flags)}`);
  }
  if (typeof server === 'string') {
    logger.info({ signal: server }, 'stopping before the start is complete');
    pipe.close();
    stopped.abort();
    // Nothing was taken in yet: what is left of the start then may go down with the process.
    await endsWithin(
      systemClock,
      START_GRACE_MS,
      starting.then((late) => late.stop()),
    );
    signals.release();
    return;
  }
  io.outliveStdout?.();
  io.stdout.write(`${listeningLine(server)}\n`);
  if (!pipe.report(server.port))
    logger.warn({}, 'cannot write the port to --report-bound-port-pipe: its reader is gone');

  const signal = await Promise.race([signals.first, server.ended.then(() => null)]).catch(
    (error: unknown) => {
      throw new ExitError(1, `ended: ${problem(error)}`);
    },
  );
  if (signal !== null) logger.info({ signal }, 'stopping');
  await server.stop();
  signals.release();
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
  const where = `${address ?? flags.hosts?.join(', ') ?? 'localhost'}, port ${port ?? flags.port}`;
  if (code === 'STORE_FULL') {
    return `${problem(error)}: no space left on the disk of ${flags.store ?? flags.databaseFilename}: free some, then start the queue again (nothing that was acknowledged is lost)`;
  }
  if (error instanceof OpsqueueError) return problem(error);
  if (code === 'EADDRINUSE') return `${where} is in use by another program (--port)`;
  if (code === 'EACCES') return `this user is not permitted to listen on ${where} (--port)`;
  if (code === 'EADDRNOTAVAIL') return `this machine has no address ${where} (--host)`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `host not found: ${where} (--host)`;
  return problem(error);
}

function problem(error: unknown): string {
  return oneLine(messageOf(error));
}
