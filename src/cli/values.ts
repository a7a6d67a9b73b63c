import { readFileSync } from 'node:fs';
import { InvalidArgumentError, Option } from 'commander';
import { IncorrectUsageError, parseDuration } from '../server/index.ts';

/**
 * A flag that can come from the environment as well: `--max-chunk-retries` as OPSQUEUE_MAX_CHUNK_RETRIES. A variable
 * that is empty counts as not set, and so does one that Kubernetes made up ({@link isServiceLink}).
 */
export function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  const variable = `OPSQUEUE_${option.name().toUpperCase().replaceAll('-', '_')}`;
  const value = process.env[variable] ?? '';
  return value === '' || isServiceLink(variable, value) ? option : option.env(variable);
}

/**
 * Whether Kubernetes set this variable: in each container, for a Service called `opsqueue`, it sets OPSQUEUE_PORT to
 * `tcp://10.43.0.7:3999` (and OPSQUEUE_SERVICE_HOST, OPSQUEUE_PORT_3999_TCP and more, which are not flags).
 */
export function isServiceLink(variable: string, value: string): boolean {
  return variable === 'OPSQUEUE_PORT' && /^(?:tcp|udp|sctp):\/\/.+:\d+$/.test(value);
}

/** Reads a whole number from `min` to `max`, both allowed. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be an integer from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Reads a duration such as `1h 30m`, in milliseconds; at least `minMs`. */
export function duration(minMs: number, least: string): (text: string) => number {
  return (text) => {
    const ms = usage(() => parseDuration(text));
    if (ms < minMs) throw new InvalidArgumentError(`It must be at least ${least}.`);
    return ms;
  };
}

/** Reads hosts: the flag can be repeated, and can carry a list with commas. */
export function hosts(text: string, previous: readonly string[] | undefined): readonly string[] {
  const added = text.split(',').map((host) => host.trim().replace(/^\[(.*)\]$/, '$1'));
  if (added.some((host) => host === '' || /[\s/]/.test(host))) {
    throw new InvalidArgumentError('It must be a host name or an address, or several with commas between.');
  }
  return [...(previous ?? []), ...added];
}

/** Reads the addresses of queues: the flag can be repeated, and can carry a list with commas. */
export function queueUrls(text: string, previous: readonly string[] | undefined): readonly string[] {
  const added = text.split(',').map((url) => url.trim());
  if (added.includes('')) throw new InvalidArgumentError('It must be host:port or http(s)://...');
  return [...(previous ?? []), ...added];
}

/** Reads a named option: `aws_region=eu-west-1`. */
export function textPair(
  text: string,
  previous: ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must look like aws_region=eu-west-1.');
  return new Map([...(previous ?? []), [text.slice(0, at).trim(), text.slice(at + 1)]]);
}

/** Reads a file, which is small. */
export function fileText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new InvalidArgumentError(`It cannot be read: ${cause instanceof Error ? cause.message : cause}.`);
  }
}

/** The flags for TLS of every command that asks a queue. */
export function tlsFlags(): Option[] {
  return [
    flag('--ca <file>', 'certificates (PEM) of the authorities to trust instead of the usual ones').argParser(
      fileText,
    ),
    flag('--cert <file>', 'certificate (PEM) to show to a proxy that asks for one; with --key').argParser(
      fileText,
    ),
    flag('--key <file>', 'private key (PEM) of --cert').argParser(fileText),
  ];
}

/** What they gave. */
export interface TlsFlags {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Reads the id of a submission. */
export function submissionId(text: string): bigint {
  const id = /^\d{1,19}$/.test(text) ? BigInt(text) : -1n;
  if (id < 0n || id > 2n ** 63n - 1n) {
    throw new InvalidArgumentError('The id of a submission is a whole number, as the queue gave it out.');
  }
  return id;
}

/** Reads a pair of strategic metadata: `company_id=42`. */
export function metadataPair(
  text: string,
  previous: ReadonlyMap<string, bigint> | undefined,
): ReadonlyMap<string, bigint> {
  const [, key, value] = /^(.+)=(-?\d+)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) {
    throw new InvalidArgumentError('It must look like company_id=42, with a whole number.');
  }
  const number = BigInt(value);
  if (BigInt.asIntN(64, number) !== number) throw new InvalidArgumentError('The number is beyond 64 bits.');
  return new Map([...(previous ?? []), [key, number]]);
}

/** Lets a refusal of the libraries pass for one of the command line, which names flag and value. */
function usage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof IncorrectUsageError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}
