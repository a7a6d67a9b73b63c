import { isIP } from 'node:net';
import { CONTENT_TYPE_JSON } from '../../net/http/exchange.ts';
import type { RequestHead } from '../../net/http/head.ts';
import { upgradeProblem } from '../../net/websocket/server.ts';
import { ENDPOINTS, type Endpoint, type EndpointName, PAGE_ENDPOINTS } from './endpoints.ts';
import { type QueuePath, splitQueuePath } from './queue-path.ts';
import { allowedMethods, Router } from './router.ts';

export interface AdmissionOptions {
  /** The server listens on the loopback only: then requests must name a host that means this machine. */
  readonly loopbackOnly: boolean;
  /**
   * Names under which the server may be addressed, besides addresses and localhost. Where there are any, no others will do, wherever
   * it listens: a page of a site that lets its own name point here (DNS rebinding) is turned away by that.
   */
  readonly hostNames: readonly string[];
  /** `host:port` by which other nodes address this one; null: none that is given. It will do as well. */
  readonly advertised: string | null;
  /** Names of the queues that may be used, '' for the unnamed one; null: any. */
  readonly queues: ReadonlySet<string> | null;
  /** What paths may begin with, and need not; empty for nothing. */
  readonly basePath: string;
  /** Whether the page is served. */
  readonly hasPage: boolean;
}

/** A request that reaches no route. */
export interface Refusal {
  readonly kind: 'refused';
  /** The path's label in the metrics; null for an unknown path. */
  readonly label: string | null;
  readonly status: number;
  /** Empty for an answer without a body. */
  readonly text: string;
  /** Further headers: name, value, ... */
  readonly headers: readonly string[] | null;
}

export interface Admitted {
  readonly kind: 'admitted';
  readonly label: string;
  readonly name: EndpointName;
  readonly endpoint: Endpoint;
  /** The queue that the path names, '' where it names none. */
  readonly queue: string;
  /** The path's variable segment, percent-escapes decoded; empty if there is none. */
  readonly segment: string;
}

/**
 * Decides by its head whether a request is let in, a plain one and one to upgrade alike, in this order: host, origin, name of
 * the queue, path, method, path segment, type of the body, upgrade. The size of a body is checked while it is read.
 */
export class Admission {
  readonly #o: AdmissionOptions;
  readonly #router: Router<EndpointName>;

  constructor(options: AdmissionOptions) {
    this.#o = options;
    this.#router = new Router<EndpointName>(ENDPOINTS, options.hasPage ? [] : PAGE_ENDPOINTS);
  }

  /** The queue that the path of a request names, and the path in it. */
  queuePath(head: RequestHead): QueuePath {
    return splitQueuePath(head.path, this.#o.basePath);
  }

  admit(head: RequestHead): Refusal | Admitted {
    const { queue, path, problem } = this.queuePath(head);
    const match = this.#router.match(path);
    const label = match?.place.path ?? null;
    const refused = (status: number, text: string, headers: readonly string[] | null = null): Refusal => ({
      kind: 'refused',
      label,
      status,
      text,
      headers,
    });
    if (hasSeveralHosts(head.rawHeaders)) return refused(400, 'more than one host header');
    const foreign = foreignProblem(head.host, head.header('origin'), this.#o);
    if (foreign !== null) return refused(403, foreign);
    if (problem !== null) return refused(404, problem);
    if (match === null) {
      const slash = this.#hasPageBelow(head, path) ? withSlash(head) : null;
      if (slash !== null) return refused(308, '', ['location', slash]);
      return refused(404, queue === '' ? '' : `queue ${queue} has no path ${clipped(path)}`);
    }
    const { place } = match;
    const method = head.method === 'HEAD' ? 'GET' : head.method;
    const name = method === 'GET' || method === 'POST' ? place.names.get(method) : undefined;
    if (name === undefined) return refused(405, '', ['allow', allowedMethods(place)]);
    const endpoint: Endpoint = ENDPOINTS[name];
    const forbidden = this.#forbidden(queue, endpoint);
    if (forbidden !== null) return refused(404, forbidden);
    const segment = decodedSegment(match.segment);
    if (segment === null) return refused(400, 'Invalid URL: its percent-escapes are not UTF-8');
    if (endpoint.body === 'json' && !isJson(head.header('content-type'))) {
      return refused(415, 'Expected request with `Content-Type: application/json`');
    }
    if (endpoint.isUpgrade) {
      const problem = upgradeProblem((header) => head.header(header));
      if (problem !== null) return refused(400, problem);
      if (head.method === 'HEAD') return refused(405, '', ['allow', 'GET']);
    }
    return { kind: 'admitted', label: place.path, name, endpoint, queue, segment };
  }

  /** Whether the path is that of a page without the slash at its end, which its relative URLs need. */
  #hasPageBelow({ method, path: fullPath }: RequestHead, path: string): boolean {
    return this.#o.hasPage && path === '' && fullPath !== '' && (method === 'GET' || method === 'HEAD');
  }

  /** Why that queue may not be used. What is the server's can be asked without one. */
  #forbidden(queue: string, { role }: Endpoint): string | null {
    const { queues } = this.#o;
    if (queues === null || queues.has(queue)) return null;
    const names = [...queues].filter((name) => name !== '').join(', ');
    if (queue !== '') return `queue ${queue} is not one of this server's (--queues): ${names}`;
    if (role !== 'producer' && role !== 'consumer') return null;
    return `this server has named queues only (--queues): add one to its address, as in localhost:3999/q/NAME: ${names}`;
  }
}

/**
 * There is no access control, so that a web page in a browser on this machine must not be able to drive the queue.
 * Browsers name the page's site in `origin`; programs do not send it.
 *
 * @returns why the request is refused (403), or null
 */
export function foreignProblem(
  host: string | undefined,
  origin: string | undefined,
  {
    loopbackOnly,
    hostNames,
    advertised,
  }: Pick<AdmissionOptions, 'loopbackOnly' | 'hostNames' | 'advertised'>,
): string | null {
  if (origin !== undefined && !isSameHost(origin, host)) {
    return `requests of web pages of another site are refused: origin ${clipped(origin)}`;
  }
  if (host === undefined || (!loopbackOnly && hostNames.length === 0)) return null;
  if (isOwnName(host, advertised === null ? hostNames : [...hostNames, hostName(advertised)])) return null;
  return loopbackOnly
    ? `the queue listens on this machine only, and ${clipped(host)} is none of its names: use localhost`
    : `${clipped(host)} is none of the names of this queue (--host-name)`;
}

/** Whether there is more than one `host` header, of which the parser shows the first one (RFC 9112 3.2: refuse with 400). */
function hasSeveralHosts(rawHeaders: readonly string[]): boolean {
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

function isOwnName(host: string, more: readonly string[]): boolean {
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

/** Relative: what a proxy has taken off the path is not known here. */
function withSlash({ path, query }: RequestHead): string {
  return `${path.slice(path.lastIndexOf('/') + 1)}/${query === '' ? '' : `?${query}`}`;
}

/** null for escapes that are not UTF-8. */
function decodedSegment(segment: string): string | null {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** `application/json` or `application/...+json`, with or without parameters. */
function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  if (contentType === CONTENT_TYPE_JSON) return true;
  return /^application\/(?:[^;]+\+)?json\s*(?:;|$)/i.test(contentType.trim());
}
