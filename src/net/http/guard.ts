import { isIP } from 'node:net';

export interface HttpGuardOptions {
  /**
   * The server listens on the loopback only: then requests must name a host that means this machine. A page of a
   * site that lets its own name point here (DNS rebinding) is turned away by that.
   */
  readonly loopbackOnly: boolean;
  /** Further names under which the server may be addressed on the loopback, such as the one in /etc/hosts. */
  readonly hostNames: readonly string[];
}

/**
 * There is no access control, so that a web page in a browser on this machine must not be able to drive the queue.
 * Browsers name the page's site in `origin`; programs do not send it.
 *
 * @returns why the request is refused (403), or null
 */
export function refusalOf(
  host: string | undefined,
  origin: string | undefined,
  options: HttpGuardOptions,
): string | null {
  if (origin !== undefined && !isSameHost(origin, host)) {
    return `requests of web pages of another site are refused: origin ${clipped(origin)}`;
  }
  if (options.loopbackOnly && host !== undefined && !isLocalName(host, options.hostNames)) {
    return `the queue listens on this machine only, and ${clipped(host)} is none of its names: use localhost`;
  }
  return null;
}

/** Whether there is more than one `host` header, of which the parser shows the first one (RFC 9112 3.2: refuse with 400). */
export function hasSeveralHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts > 1;
}

function isSameHost(origin: string, host: string | undefined): boolean {
  const at = origin.indexOf('://');
  return host !== undefined && at > 0 && origin.slice(at + 3).toLowerCase() === host.toLowerCase();
}

function isLocalName(host: string, more: readonly string[]): boolean {
  const name = hostName(host);
  return (
    name === '' ||
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    isIP(name) !== 0 ||
    more.some((other) => other.toLowerCase() === name)
  );
}

/** `[::1]:3999` -> `::1`, `localhost:3999` -> `localhost`. */
function hostName(host: string): string {
  if (host.startsWith('[')) return host.slice(1, host.indexOf(']')).toLowerCase();
  const colon = host.indexOf(':');
  return (colon < 0 ? host : host.slice(0, colon)).toLowerCase();
}

function clipped(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
