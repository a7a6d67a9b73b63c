import { readFileSync } from 'node:fs';
import { Option } from 'commander';
import { checkInteger, mustBe } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import { SUBMISSION_ID_MAX } from '../model/ids.ts';
import { META_VALUE_MAX, META_VALUE_MIN } from '../model/limits.ts';
import { isQueueName, QUEUE_NAME_RULE, UNNAMED_QUEUE } from '../model/queue-name.ts';
import { messageOf } from '../model/thrown.ts';
import { systemClock } from '../system/time/clock.ts';
import { checkDuration } from '../system/time/duration.ts';

/**
 * Reads what a flag was given. `name` is the flag, or the variable that it comes from, for the IncorrectUsageError; `previous`
 * is what the flag gave before, if it is repeated.
 */
export type ReadFlag<T> = (text: string, name: string, previous: T | undefined) => T;

/** A flag of the command line only. */
export function plainFlag<T = string>(flags: string, description: string, read?: ReadFlag<T>): Option {
  return reading(new Option(flags, description), read, null);
}

/**
 * A flag that can come from the environment as well: `--max-chunk-retries` as OPSQUEUE_MAX_CHUNK_RETRIES. A variable
 * that is empty counts as not set, and so does one that Kubernetes made up ({@link isServiceLink}).
 */
export function flag<T = string>(flags: string, description: string, read?: ReadFlag<T>): Option {
  const option = new Option(flags, description);
  const variable = `OPSQUEUE_${option.name().toUpperCase().replaceAll('-', '_')}`;
  const value = process.env[variable] ?? '';
  if (value === '' || isServiceLink(variable, value)) return reading(option, read, null);
  return reading(option.env(variable), read, { name: variable, value });
}

function reading<T>(
  option: Option,
  read: ReadFlag<T> | undefined,
  variable: { readonly name: string; readonly value: string } | null,
): Option {
  if (read === undefined) return option;
  return option.argParser<T | undefined>((text, previous) => {
    const name = text === variable?.value ? variable.name : `--${option.name()}`;
    return read(text, name, previous);
  });
}

/**
 * Whether Kubernetes set this variable: in each container, for a Service called `opsqueue`, it sets OPSQUEUE_PORT to
 * `tcp://10.43.0.7:3999` (and OPSQUEUE_SERVICE_HOST, OPSQUEUE_PORT_3999_TCP and more, which are not flags).
 */
export function isServiceLink(variable: string, value: string): boolean {
  return variable === 'OPSQUEUE_PORT' && /^(?:tcp|udp|sctp):\/\/.+:\d+$/.test(value);
}

/** Reads an integer from `min` to `max`, both allowed. */
export function integer(min: number, max?: number): ReadFlag<number> {
  return (text, name) => checkInteger(name, /^-?\d+$/.test(text) ? Number(text) : text, min, max);
}

/** Reads a duration such as `1h 30m`, in milliseconds, from `minMs` to `maxMs`. */
export function readDuration(minMs: number, maxMs?: number): ReadFlag<number> {
  return (text, name) => checkDuration(name, text, minMs, maxMs);
}

/** Reads hosts: the flag can be repeated, and can carry a list with commas. */
export const hosts: ReadFlag<readonly string[]> = (text, name, previous) => {
  const added = text.split(',').map((host) => host.trim().replace(/^\[(.*)\]$/, '$1'));
  if (added.some((host) => host === '' || /[\s/]/.test(host))) {
    throw mustBe(name, 'a host name or an address, or several with commas between', text);
  }
  return [...(previous ?? []), ...added];
};

/** Reads the name of a queue, '' for the unnamed one. */
export const queueName: ReadFlag<string> = (text, name) => {
  if (text === UNNAMED_QUEUE) return '';
  if (isQueueName(text)) return text;
  throw mustBe(
    name,
    `the name of a queue (${QUEUE_NAME_RULE}), or ${UNNAMED_QUEUE} for the unnamed one`,
    text,
  );
};

/** Reads the addresses of queues: the flag can be repeated, and can carry a list with commas. */
export const queueUrls: ReadFlag<readonly string[]> = (text, name, previous) => {
  const added = text.split(',').map((url) => url.trim());
  if (added.includes(''))
    throw mustBe(name, 'host:port or http(s)://..., or several with commas between', text);
  return [...(previous ?? []), ...added];
};

/** Reads a named option: `aws_region=eu-west-1`. */
export const textPair: ReadFlag<ReadonlyMap<string, string>> = (text, name, previous) => {
  const at = text.indexOf('=');
  // Without what was given: it may be a secret.
  if (at < 1) throw new IncorrectUsageError(`${name} must look like aws_region=eu-west-1`);
  return new Map([...(previous ?? []), [text.slice(0, at).trim(), text.slice(at + 1)]]);
};

/** Reads a file, which is small. */
const fileText: ReadFlag<string> = (path, name) => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new IncorrectUsageError(`${name}: cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
};

/** The flags for TLS of every command that asks a queue. */
export function tlsFlags(): Option[] {
  return [
    flag('--ca <file>', 'certificates (PEM) of the authorities to trust instead of the usual ones', fileText),
    flag('--cert <file>', 'certificate (PEM) to show to a proxy that asks for one; with --key', fileText),
    flag('--key <file>', 'private key (PEM) of --cert', fileText),
  ];
}

/** What they gave. */
export interface TlsFlags {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Reads the id of a submission, an argument. */
export function submissionId(text: string): bigint {
  const id = /^\d{1,19}$/.test(text) ? BigInt(text) : -1n;
  if (id < 0n || id > SUBMISSION_ID_MAX) {
    throw mustBe('<id>', 'the id of a submission, an integer that the queue assigned', text);
  }
  return id;
}

/** Reads a pair of strategic metadata: `company_id=42`. */
export const metadataPair: ReadFlag<ReadonlyMap<string, bigint>> = (text, name, previous) => {
  const [, key, digits] = /^(.+)=(-?\d+)$/s.exec(text) ?? [];
  const value = digits === undefined ? null : BigInt(digits);
  if (key === undefined || value === null || value < META_VALUE_MIN || value > META_VALUE_MAX) {
    throw mustBe(name, 'a key and a signed 64-bit integer, such as company_id=42', text);
  }
  return new Map([...(previous ?? []), [key, value]]);
};

/** Pairs to set; null takes one away. */
export type SetPairs = ReadonlyMap<string, bigint | null>;

/** Reads a pair to set, `urgency=9`, or to take away, `urgency=`. */
export const setPair: ReadFlag<SetPairs> = (text, name, previous) => {
  if (text.length > 1 && text.endsWith('=')) return new Map([...(previous ?? []), [text.slice(0, -1), null]]);
  return new Map<string, bigint | null>([...(previous ?? []), ...metadataPair(text, name, undefined)]);
};

/** A point in time, or null for none; those that count from now on do so when they are asked. */
export type TimeFlag = () => Date | null;

/** Reads a time: with its offset from UTC, or from now on, or `none`. */
export const timeFlag: ReadFlag<TimeFlag> = (text, name) => {
  if (text === 'none') return () => null;
  const isDate = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/.test(text);
  const unixMs = isDate ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(unixMs)) return () => new Date(unixMs);
  if (!/^\d+(?:\.\d+)?\s*[A-Za-zµ]/.test(text)) {
    throw mustBe(
      name,
      'a time such as 2030-01-01T22:00+01:00, a duration from now on such as 2h, or none',
      text,
    );
  }
  const fromNowMs = checkDuration(name, text, 0);
  return () => new Date(systemClock.nowMs() + fromNowMs);
};
