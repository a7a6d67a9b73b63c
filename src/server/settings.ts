/**
 * The one table of a queue's settings: defaults and checks of {@link ServerOptions}, the flags of the command, their help
 * and their environment variables are made from it; docs/operations.md and the doc comments are compared with it.
 */
import { checkChoice, checkInteger, checkNumber, mustBe } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import {
  BODIES_BYTES_MAX_DEFAULT,
  BODY_BYTES_MAX_DEFAULT,
  CONNECTIONS_MAX_DEFAULT,
  FRAME_BYTES_MAX_DEFAULT,
  MESSAGE_BYTES_MAX,
} from '../model/limits.ts';
import { type OptionNames, refuseUnknownOptions } from '../model/option-names.ts';
import { isQueueName, QUEUE_NAME_RULE, UNNAMED_QUEUE } from '../model/queue-name.ts';
import { RETRY_BOUNDS } from '../model/retry.ts';
import { parseStoreUrl, STORE_URL_FORMS } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { silentLogger } from '../system/log/logger.ts';
import { partsOf } from '../system/parts.ts';
import { threadCpuMs } from '../system/process/cpu-time.ts';
import { type Random, systemRandom } from '../system/random.ts';
import { type Clock, systemClock } from '../system/time/clock.ts';
import { formatDuration } from '../system/time/duration.ts';
import { type DiskSpace, diskSpace } from '../views/disk.ts';
import type { ServerOptions } from './options.ts';

/** Options that no flag can give. */
type ObjectOption = 'logger' | 'logStats' | 'signal';
type PlainOption = Exclude<keyof ServerOptions, ObjectOption>;

interface SettingText {
  /** As commander takes it: `--port <port>`, with the short form before it. The names are the original's where it has the flag. */
  readonly flag: string;
  /** One sentence without a full stop, which the help shows. */
  readonly meaning: string;
}

/** `count`: an integer; `bytes`: an integer of bytes; `duration`: milliseconds, with fractions. Both bounds are allowed. */
export interface NumberSetting extends SettingText {
  readonly kind: 'count' | 'bytes' | 'duration';
  readonly default: number;
  readonly min: number;
  /** Default: no limit. */
  readonly max?: number;
  /** What 0 stands for, where it is no amount. */
  readonly zero?: string;
}

export interface TextSetting extends SettingText {
  readonly kind: 'text';
  readonly default: string;
  /** What it must look like, in words and as a pattern; default: anything. */
  readonly shape?: { readonly wanted: string; readonly pattern: RegExp };
}

/** One of a few words. */
export interface ChoiceSetting extends SettingText {
  readonly kind: 'choice';
  readonly default: string;
  readonly choices: readonly string[];
}

/** A flag that may be repeated, or hold a list with commas. */
export interface ListSetting extends SettingText {
  readonly kind: 'hosts' | 'queues';
  readonly default: readonly string[] | undefined;
  readonly defaultText?: string;
}

/** `host:port` */
export interface AddressSetting extends SettingText {
  readonly kind: 'address';
  readonly default: undefined;
  readonly defaultText: string;
}

/** A URL, or for users of the package an open store. */
export interface StoreSetting extends SettingText {
  readonly kind: 'store';
  readonly default: undefined;
}

export type Setting =
  | NumberSetting
  | TextSetting
  | ChoiceSetting
  | ListSetting
  | AddressSetting
  | StoreSetting;

type SettingOf<Value> = Value extends number
  ? NumberSetting
  : Value extends string
    ? string extends Value
      ? TextSetting | AddressSetting
      : ChoiceSetting
    : Value extends readonly string[]
      ? ListSetting
      : StoreSetting;

const MINUTE_MS = 60_000;
const GIBIBYTE = 1024 ** 3;
/** Of what is handed to `node:http`: 2^31 - 1 ms. Our own timers bear any duration. */
const HTTP_DURATION_MS_MAX = 0x7fff_ffff;

/** In the order of the help. A new one needs its doc comment in ServerOptions, a row here, and one in docs/operations.md. */
export const SETTINGS: {
  readonly [Name in PlainOption]: SettingOf<NonNullable<ServerOptions[Name]>>;
} = {
  port: {
    flag: '-p, --port <port>',
    meaning: 'port to listen on',
    kind: 'count',
    default: 3999,
    min: 0,
    max: 65_535,
    zero: 'any free port',
  },
  hosts: {
    flag: '--host <host>',
    meaning:
      'addresses to listen on; repeatable, or a list with commas. 0.0.0.0 and :: mean all addresses of this machine',
    kind: 'hosts',
    default: undefined,
    defaultText: '127.0.0.1 and ::1',
  },
  hostNames: {
    flag: '--host-name <name>',
    meaning:
      'a host name that requests may use; repeatable, or a list with commas. With one, or on the loopback, other names are refused',
    kind: 'hosts',
    default: [],
  },
  queues: {
    flag: '--queues <name>',
    meaning:
      'names of the queues that may be used, - for the unnamed one; repeatable, or a list with commas. Others are answered with 404',
    kind: 'queues',
    default: undefined,
    defaultText: 'any',
  },
  name: {
    flag: '--name <name>',
    meaning: 'what people call this queue, such as production: its page has it at its top and in its title',
    kind: 'text',
    default: '',
    shape: { wanted: 'at most 40 characters on one line', pattern: /^[^\p{Cc}\p{Cf}]{0,40}$/u },
  },
  page: {
    flag: '--page <on|off>',
    meaning: 'whether the page for people is served, at /',
    kind: 'choice',
    default: 'on',
    choices: ['on', 'off'],
  },
  basePath: {
    flag: '--base-path <path>',
    meaning:
      'what all paths may begin with, such as /batch, for a proxy that passes requests on with a prefix; without it they work as well',
    kind: 'text',
    default: '',
    shape: {
      wanted: "a path such as /batch that is not the beginning of the queue's own",
      pattern: /^(?!\/(?:api|assets|consumer|metrics|node|ping|producer|q|version)(?:\/|$))(?:\/[\w.~-]+)*$/,
    },
  },
  databaseFilename: {
    flag: '--database-filename <file>',
    meaning: 'SQLite file, created if missing; file::memory: keeps nothing',
    kind: 'text',
    default: 'opsqueue.db',
  },
  store: {
    flag: '--store <url>',
    meaning: `where the queue is kept, instead of --database-filename: ${STORE_URL_FORMS.join(' or ')}`,
    kind: 'store',
    default: undefined,
  },
  reservationExpirationMs: {
    flag: '--reservation-expiration <duration>',
    meaning: 'a consumer that holds a chunk for longer loses it to another',
    kind: 'duration',
    default: 10 * MINUTE_MS,
    min: 1,
  },
  chunkRetriesMax: {
    flag: '--max-chunk-retries <number>',
    meaning: 'number of failures of a chunk that fails the whole submission',
    kind: 'count',
    default: 10,
    min: 0,
    max: 1_000_000_000,
  },
  retryDelayMs: {
    flag: '--retry-delay <duration>',
    meaning:
      'wait before the first retry of a failed chunk, doubled with each retry up to a minute (or this value, if longer), for producers of the original opsqueue, which cannot choose',
    kind: 'duration',
    default: 0,
    min: 0,
    max: RETRY_BOUNDS.delayMs[1],
    zero: 'at once',
  },
  chunkDisconnectsMax: {
    flag: '--max-chunk-disconnects <number>',
    meaning: 'the same for consumers that disconnected while working on the chunk',
    kind: 'count',
    default: 10,
    min: 0,
    max: 1_000_000_000,
    zero: 'no limit',
  },
  submissionAgeMsMax: {
    flag: '--max-submission-age <duration>',
    meaning: 'how long ended submissions are kept',
    kind: 'duration',
    default: 60 * MINUTE_MS,
    min: 0,
  },
  heartbeatIntervalMs: {
    flag: '--heartbeat-interval <duration>',
    meaning: 'after this silence a consumer is sent a ping',
    kind: 'duration',
    default: 10_000,
    min: 1,
  },
  missableHeartbeatsMax: {
    flag: '--max-missable-heartbeats <number>',
    meaning: 'a consumer that misses more heartbeats in a row is disconnected',
    kind: 'count',
    default: 3,
    min: 0,
    max: 1_000_000,
  },
  submissionsReturnedMax: {
    flag: '--max-submissions-returned <number>',
    meaning: 'a look-up with more matches is refused',
    kind: 'count',
    default: 100_000,
    min: 0,
    max: 2 ** 32,
  },
  holdStatusPollsMs: {
    flag: '--hold-status-polls <duration>',
    meaning: 'hold a request for the status of a running submission until it ends, or for this time',
    kind: 'duration',
    default: 0,
    min: 0,
    zero: 'answer at once',
  },
  leaseMs: {
    flag: '--lease <duration>',
    meaning:
      'on a store that several nodes share: how long one may be silent before others take over its queues',
    kind: 'duration',
    default: 3_000,
    min: 200,
  },
  advertise: {
    flag: '--advertise <address>',
    meaning: 'where other nodes that share the store reach this one, as host:port',
    kind: 'address',
    default: undefined,
    defaultText: 'the first address that it listens on; one of this machine if it listens on all of them',
  },
  bodyBytesMax: {
    flag: '--max-body-bytes <bytes>',
    meaning: 'a larger HTTP request is refused (413)',
    kind: 'bytes',
    default: BODY_BYTES_MAX_DEFAULT,
    min: 1024,
    max: MESSAGE_BYTES_MAX,
  },
  bodiesBytesMax: {
    flag: '--max-bodies-bytes <bytes>',
    meaning: 'memory for all HTTP requests being read at the same time; further ones get 503',
    kind: 'bytes',
    default: BODIES_BYTES_MAX_DEFAULT,
    min: 1024,
    max: 2 * GIBIBYTE,
  },
  frameBytesMax: {
    flag: '--max-frame-bytes <bytes>',
    meaning: 'a larger message of a consumer ends its connection',
    kind: 'bytes',
    default: FRAME_BYTES_MAX_DEFAULT,
    min: 1024,
    max: MESSAGE_BYTES_MAX,
  },
  connectionsMax: {
    flag: '--max-connections <number>',
    meaning: 'connections of all kinds per address; further ones are closed at once',
    kind: 'count',
    default: CONNECTIONS_MAX_DEFAULT,
    min: 1,
    max: 1_000_000,
  },
  idleConnectionMs: {
    flag: '--idle-connection <duration>',
    meaning: 'how long an unused HTTP connection is kept open',
    kind: 'duration',
    default: 125_000,
    min: 2 * MINUTE_MS,
    max: HTTP_DURATION_MS_MAX,
  },
};

const OPTION_NAMES: OptionNames<ServerOptions> = {
  ...SETTINGS,
  logger: true,
  logStats: true,
  signal: true,
};

/** What tests put in the place of the system's, by `withParts`. */
export interface ServerParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Processor time of the thread so far. */
  readonly cpuMs: () => number;
  readonly diskSpace: (folder: string) => Promise<DiskSpace>;
}

/** {@link ServerOptions}, checked and complete, with the parts. */
export type ServerSettings = {
  readonly [Name in Exclude<
    keyof ServerOptions,
    'hosts' | 'queues' | 'store' | 'advertise' | 'logStats' | 'signal'
  >]-?: Exclude<ServerOptions[Name], undefined>;
} & Pick<ServerOptions, 'hosts' | 'queues' | 'store' | 'advertise' | 'logStats'> &
  ServerParts;

/** Throws an IncorrectUsageError that names the option and the value. */
export function checkedSettings(options: ServerOptions): ServerSettings {
  refuseUnknownOptions(options, OPTION_NAMES);
  if (options.store !== undefined && options.databaseFilename !== undefined) {
    throw new IncorrectUsageError('give store or databaseFilename, not both');
  }
  const own = { clock: systemClock, random: systemRandom, cpuMs: threadCpuMs, diskSpace };
  const parts: ServerParts = { ...own, ...partsOf<ServerParts>(options) };
  const given: Readonly<Record<string, unknown>> = { ...options };
  const plain = Object.fromEntries(
    Object.entries<Setting>(SETTINGS).map(([name, setting]) => [name, checked(name, setting, given[name])]),
  ) as Pick<ServerSettings, PlainOption>;
  return {
    ...plain,
    hosts: addressesOf(plain.hosts),
    logger: options.logger ?? silentLogger,
    logStats: options.logStats,
    ...parts,
  };
}

function checked(name: string, setting: Setting, given: unknown): unknown {
  const value = given === undefined ? setting.default : given;
  switch (setting.kind) {
    case 'count':
    case 'bytes':
      return checkInteger(name, value, setting.min, setting.max);
    case 'duration':
      return checkNumber(name, value, setting.min, setting.max);
    case 'text':
      if (typeof value !== 'string') throw mustBe(name, 'a string', value);
      return checkText(value, name, setting);
    case 'choice':
      return checkChoice(name, value, setting.choices);
    case 'store':
      if (typeof value === 'string') parseStoreUrl(value, name);
      else if (value !== undefined && !isStore(value)) throw mustBe(name, 'a URL or an open store', value);
      return value;
    case 'address':
      if (value === undefined || (typeof value === 'string' && isAddress(value))) return value;
      throw mustBe(name, ADDRESS_WANTED, value);
    case 'hosts':
      if (value === undefined) return value;
      if (Array.isArray(value) && value.every((host) => typeof host === 'string')) return value;
      throw mustBe(name, 'an array of host names or addresses', value);
    case 'queues':
      if (value === undefined) return value;
      if (Array.isArray(value) && value.length > 0 && value.every(isAllowedName)) return value;
      throw mustBe(name, QUEUES_WANTED, value);
    default:
      return setting satisfies never;
  }
}

/** For errors. */
const QUEUES_WANTED = `a list of names of queues (each ${QUEUE_NAME_RULE}), or ${UNNAMED_QUEUE} for the unnamed one`;

function isAllowedName(name: unknown): boolean {
  return typeof name === 'string' && (name === UNNAMED_QUEUE || isQueueName(name));
}

/** As a flag takes it; throws an IncorrectUsageError that names the flag. */
export function checkQueues(names: readonly string[], name: string): readonly string[] {
  const wrong = names.find((each) => !isAllowedName(each));
  if (wrong !== undefined) throw mustBe(name, QUEUES_WANTED, wrong);
  return names;
}

/** Throws an IncorrectUsageError that names the flag or option. */
export function checkText(text: string, name: string, { shape }: TextSetting): string {
  if (shape === undefined || shape.pattern.test(text)) return text;
  throw mustBe(name, shape.wanted, text);
}

function isStore(value: unknown): boolean {
  return typeof (value as Partial<Store> | null)?.commit === 'function';
}

const ADDRESS_WANTED = 'a host and a port, as in 10.0.0.7:3999 or [fd00::7]:3999';

function isAddress(text: string): boolean {
  const [, port] = /^(?:\[[0-9a-f:.]+\]|[^:/?#@\s[\]]+):([0-9]{1,5})$/i.exec(text) ?? [];
  return port !== undefined && Number(port) > 0 && Number(port) <= 65_535;
}

/** As a flag takes it; throws an IncorrectUsageError that names the flag. */
export function checkAddress(text: string, name: string): string {
  if (isAddress(text)) return text;
  throw mustBe(name, ADDRESS_WANTED, text);
}

/** A store URL as a flag takes it; throws an IncorrectUsageError that names the flag, and not the value: it may hold a password. */
export function checkStoreUrl(url: string, name: string): string {
  parseStoreUrl(url, name);
  return url;
}

/** undefined: the loopback, without complaint where there is no IPv6. */
function addressesOf(hosts: readonly string[] | undefined): readonly string[] | undefined {
  if (hosts === undefined || (hosts.length === 1 && hosts[0] === 'localhost')) return undefined;
  if (hosts.length === 0) throw mustBe('hosts', 'at least one address', hosts);
  return hosts.flatMap((host) => (host === 'localhost' ? ['127.0.0.1', '::1'] : [host]));
}

/** What a setting does, with what 0 stands for and bounds that a user could run into. */
export function settingHelp(setting: Setting): string {
  const parts = [setting.meaning];
  if (setting.kind === 'count' || setting.kind === 'bytes' || setting.kind === 'duration') {
    const { kind, zero, min, max } = setting;
    if (zero !== undefined) parts.push(`${amountText(kind, 0)} = ${zero}`);
    if (kind === 'bytes' && max !== undefined) parts.push(`at most ${amountText(kind, max)}`);
    if (kind === 'duration' && min > 1) parts.push(`at least ${amountText(kind, min)}`);
  }
  return parts.join('; ');
}

/** The default as the help shows it; null for none. */
export function defaultText(setting: Setting): string | null {
  switch (setting.kind) {
    case 'text':
    case 'choice':
      return setting.default === '' ? null : setting.default;
    case 'hosts':
    case 'queues':
    case 'address':
      return setting.defaultText ?? null;
    case 'store':
      return null;
    default:
      return amountText(setting.kind, setting.default);
  }
}

function amountText(kind: NumberSetting['kind'], amount: number): string {
  if (kind === 'duration') return formatDuration(amount);
  if (kind === 'count') return String(amount);
  return amount % GIBIBYTE === 0 ? `${amount / GIBIBYTE} GiB` : `${amount / 1024 ** 2} MiB`;
}
