import { IncorrectUsageError } from '../../model/errors.ts';

/** The port of a queue where a URL without a scheme names none. */
export const QUEUE_PORT_DEFAULT = 3999;

/** Where a queue is. */
export interface QueueUrl {
  /** TLS. */
  readonly secure: boolean;
  /** Without the brackets of an IPv6 address. */
  readonly hostname: string;
  readonly port: number;
  /** In front of every path, for queues behind a proxy; `''` or `/some/path`, never with a slash at its end. */
  readonly basePath: string;
  /** For logs and errors: `http(s)://host:port/base`. */
  readonly text: string;
}

/**
 * Reads the URL of a queue: `host` (port 3999), `host:port`, or a URL with one of `http`, `https`, `ws`, `wss` (port 80 or 443
 * where it names none).
 *
 * @throws IncorrectUsageError naming what is wrong with it
 */
export function parseQueueUrl(url: string): QueueUrl {
  if (typeof url !== 'string' || url.trim() === '')
    throw new IncorrectUsageError('the URL of the queue is empty');
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(url);
  let parsed: URL;
  try {
    parsed = new URL(hasScheme ? url : `http://${url}`);
  } catch (cause) {
    throw new IncorrectUsageError(`malformed URL of the queue: "${url}"`, { cause });
  }
  const scheme = parsed.protocol.slice(0, -1);
  if (!['http', 'https', 'ws', 'wss'].includes(scheme)) {
    throw new IncorrectUsageError(
      `the URL of the queue has the unknown scheme "${scheme}": "${url}" (host:port, http, https, ws or wss)`,
    );
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new IncorrectUsageError('the URL of the queue must not carry a user or a password');
  }
  if (parsed.search !== '' || parsed.hash !== '') {
    throw new IncorrectUsageError(`the URL of the queue must have neither query nor fragment: "${url}"`);
  }
  const secure = scheme === 'https' || scheme === 'wss';
  const port = portOf(parsed, hasScheme, secure, url);
  const basePath = parsed.pathname.replace(/\/+$/, '');
  const text = `${secure ? 'https' : 'http'}://${parsed.hostname}:${port}${basePath}`;
  return { secure, hostname: parsed.hostname.replace(/^\[(.*)\]$/, '$1'), port, basePath, text };
}

function portOf(parsed: URL, hasScheme: boolean, secure: boolean, url: string): number {
  if (parsed.port === '0') throw new IncorrectUsageError(`the URL of the queue has the port 0: "${url}"`);
  if (parsed.port !== '') return Number(parsed.port);
  if (hasScheme) return secure ? 443 : 80;
  // `new URL` drops a port that is the default of the scheme.
  return /:80\/*$/.test(url) ? 80 : QUEUE_PORT_DEFAULT;
}
