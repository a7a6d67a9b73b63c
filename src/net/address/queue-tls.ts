import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { IncorrectUsageError } from '../../model/errors.ts';
import { isUint8Array } from '../../model/kinds.ts';
import type { OptionNames } from '../../model/option-names.ts';
import { messageOf } from '../../model/thrown.ts';
import type { QueueUrl } from './queue-url.ts';

/**
 * TLS towards the queue, or towards the proxy in front of it, whose URL then begins with `https://` or `wss://`.
 * Contents in PEM (what `readFile` gives), not names of files.
 */
export interface QueueTlsOptions {
  /**
   * Certificates of the authorities to trust for this queue, in the place of those that Node.js trusts; a text may hold
   * several. Default: what Node.js trusts (`NODE_EXTRA_CA_CERTS`, `--use-system-ca`, `tls.setDefaultCACertificates`).
   */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /** The client's certificate, for a proxy that asks for one, followed by those between it and its authority. Goes with `key`. */
  readonly cert?: string | Uint8Array | undefined;
  /** The private key of `cert`, not encrypted. */
  readonly key?: string | Uint8Array | undefined;
}

export const QUEUE_TLS_OPTION_NAMES: OptionNames<QueueTlsOptions> = { ca: true, cert: true, key: true };

/** The same, checked, as plain data that may cross threads. Empty: what Node.js does by itself. */
export interface QueueTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const CERTIFICATES =
  /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/;

/** @throws IncorrectUsageError that names the option, and never shows what a key holds */
export function checkQueueTls(
  { ca, cert, key }: QueueTlsOptions,
  queue: Pick<QueueUrl, 'secure' | 'text'>,
): QueueTls {
  if (ca === undefined && cert === undefined && key === undefined) return {};
  const names = Object.entries({ ca, cert, key }).flatMap(([name, value]) =>
    value === undefined ? [] : name,
  );
  if (!queue.secure) {
    throw new IncorrectUsageError(
      `${names.join(' and ')} must go with a queue URL of https:// or wss://, got ${queue.text}`,
    );
  }
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert === undefined ? ['key', 'cert'] : ['cert', 'key'];
    throw new IncorrectUsageError(`${given} must go with ${missing}, got ${given} only`);
  }
  const authorities = ca === undefined ? undefined : authoritiesOf(ca);
  const client = cert === undefined || key === undefined ? {} : clientOf(cert, key);
  const tls = { ...(authorities === undefined ? {} : { ca: authorities }), ...client };
  try {
    // What is well-formed may still be refused: too short a key, a signature by SHA-1.
    createSecureContext({ ca: [], ...tls });
  } catch (cause) {
    throw new IncorrectUsageError(`${names.join(', ')} cannot be used: ${messageOf(cause)}`, { cause });
  }
  return tls;
}

function authoritiesOf(ca: NonNullable<QueueTlsOptions['ca']>): string {
  const given: readonly unknown[] = Array.isArray(ca) ? ca : [ca];
  const all = given.map((each) => pemOf('ca', each));
  if (all.length === 0) throw new IncorrectUsageError('ca must hold at least one certificate, got none');
  for (const text of all) readCertificates('ca', text);
  return all.join('\n');
}

function clientOf(
  cert: string | Uint8Array,
  key: string | Uint8Array,
): Required<Pick<QueueTls, 'cert' | 'key'>> {
  const texts = { cert: pemOf('cert', cert), key: pemOf('key', key) };
  const [first] = readCertificates('cert', texts.cert);
  if (first?.checkPrivateKey(readKey(texts.key)) !== true) {
    throw new IncorrectUsageError('key must be the private key of cert, got that of another certificate');
  }
  return texts;
}

function pemOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (isUint8Array(value)) return new TextDecoder('latin1').decode(value);
  throw new IncorrectUsageError(
    `${name} must be PEM, as a string or bytes, got a value of type ${typeof value}`,
  );
}

function readCertificates(name: string, text: string): readonly X509Certificate[] {
  const blocks = text.match(CERTIFICATES) ?? [];
  if (blocks.length === 0) {
    throw new IncorrectUsageError(
      `${name} must hold a certificate in PEM (-----BEGIN CERTIFICATE-----), got ${found(text)}`,
    );
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      const which = blocks.length === 1 ? 'the certificate' : `certificate ${index + 1} of ${blocks.length}`;
      throw new IncorrectUsageError(`${name}: ${which} cannot be read: ${messageOf(cause)}`, { cause });
    }
  });
}

function readKey(text: string): KeyObject {
  if (!PRIVATE_KEY.test(text)) {
    throw new IncorrectUsageError(
      `key must be a private key in PEM (-----BEGIN PRIVATE KEY-----), got ${found(text, false)}`,
    );
  }
  if (/ENCRYPTED/.test(text)) {
    throw new IncorrectUsageError(
      'key must not be encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN)',
    );
  }
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw new IncorrectUsageError(`key cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** What stands there instead: most often the name of a file. */
function found(text: string, mayShow = true): string {
  if (text.trim() === '') return 'an empty text';
  if (text.length < 1_000 && /^[^\n]*[/\\.][^\n]*$/.test(text.trim()) && !/^-----/.test(text)) {
    return `what looks like the name of a file${mayShow ? ` (${text.trim().slice(0, 200)})` : ''}; pass the contents of the file`;
  }
  return `${text.length} characters of something else`;
}
