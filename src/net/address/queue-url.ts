import { IncorrectUsageError } from '../../model/errors.ts';
import { isQueueName, QUEUE_NAME_RULE } from '../../model/queue-name.ts';

/** The port of a queue where a URL without a scheme names none. */
export const QUEUE_PORT_DEFAULT = 3999;

/** Where a queue is. */
export interface QueueUrl {
  /** TLS. */
  readonly secure: boolean;
  /** Without the brackets of an IPv6 address. */
  readonly hostname: string;
  readonly port: number;
  /**
   * In front of every path: what a proxy wants there, then `/q/NAME` for a named queue; `''` or `/some/path`, never with a
   * slash at its end.
   */
  readonly basePath: string;
  /** The name of the queue, as the path has it; '' for the unnamed one. */
  readonly queue: string;
  /** For logs and errors: `http(s)://host:port/base`. */
  readonly text: string;
}

/**
 * Reads the URL of a queue: `host` (port 3999), `host:port`, or a URL with one of `http`, `https`, `ws`, `wss` (port 80 or 443
 * where it names none), each perhaps with a path, which ends with `/q/NAME` for a named queue.
 *
 * @throws IncorrectUsageError naming what is wrong with it
 */
export function parseQueueUrl(url: string): QueueUrl {
  if (typeof url !== 'string' || url.trim() === '')
    throw new IncorrectUsageError('the URL of the queue is empty');
  refuseCredentials(url);
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
  if (parsed.search !== '' || parsed.hash !== '') {
    throw new IncorrectUsageError(`the URL of the queue must have neither query nor fragment: "${url}"`);
  }
  const secure = scheme === 'https' || scheme === 'wss';
  const port = portOf(parsed, hasScheme, secure, url);
  const basePath = parsed.pathname.replace(/\/+$/, '');
  const queue = queueOf(basePath, url);
  const text = `${secure ? 'https' : 'http'}://${parsed.hostname}:${port}${basePath}`;
  return { secure, hostname: parsed.hostname.replace(/^\[(.*)\]$/, '$1'), port, basePath, queue, text };
}

/** As it stands in front of a path. */
export function hostAndPort({ hostname, port }: QueueUrl): string {
  return `${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`;
}

/** Before anything else, so that no other error repeats a password. @throws IncorrectUsageError */
export function refuseCredentials(text: string): void {
  if (/(?:^|,|:\/\/)[^/?#]*@/.test(text))
    throw new IncorrectUsageError('the URL of the queue must not carry a user or a password');
}

/** The name of the queue in a path; '' for one that names none. */
function queueOf(basePath: string, url: string): string {
  // `new URL` has followed them, perhaps to another queue.
  if (/[/\\](?:\.|%2e){1,2}(?:[/\\]|$)/i.test(url)) {
    throw new IncorrectUsageError(`the URL of the queue must not have . or .. in its path: "${url}"`);
  }
  const segments = basePath.split('/');
  const [before, name = ''] = segments.slice(-2);
  if (before === 'q' && isQueueName(name)) return name;
  if (!segments.includes('q')) return '';
  throw new IncorrectUsageError(
    `the URL of the queue must end with /q/NAME, NAME being ${QUEUE_NAME_RULE}: "${url}"`,
  );
}

function portOf(parsed: URL, hasScheme: boolean, secure: boolean, url: string): number {
  if (parsed.port === '0') throw new IncorrectUsageError(`the URL of the queue has the port 0: "${url}"`);
  if (parsed.port !== '') return Number(parsed.port);
  if (hasScheme) return secure ? 443 : 80;
  // `new URL` drops a port that is the default of the scheme.
  return /^[^/]*:80(?:\/|$)/.test(url) ? 80 : QUEUE_PORT_DEFAULT;
}
