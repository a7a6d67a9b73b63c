import type { IncomingMessage } from 'node:http';

/** `http://host/path`, as proxies send it; without user names, which have no business in a request (RFC 9110 4.2.4). */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#@]+)(.*)$/is;

/** What is known of a request before its body: of a plain one and of one to upgrade alike. */
export class RequestHead {
  readonly method: string;
  /** The host with its port as the request names it: in its target if that is absolute (RFC 9112 3.2.2), else in its header. */
  readonly host: string | undefined;
  /** As it came, not decoded, without the query. */
  readonly path: string;
  /** What follows the `?`, empty if there is none. */
  readonly query: string;
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage) {
    this.#request = request;
    this.method = request.method ?? '';
    let target = request.url ?? '';
    const absolute = target.startsWith('/') ? null : ABSOLUTE_FORM.exec(target);
    if (absolute !== null) target = absolute[2] ?? '';
    this.host = absolute === null ? request.headers.host : absolute[1];
    const mark = target.indexOf('?');
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.query = mark < 0 ? '' : target.slice(mark + 1);
  }

  /** Lower-case name; several of one name come joined by commas. */
  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return typeof value === 'string' ? value : value?.join(', ');
  }

  /** Where it comes from; undefined if that is over. */
  get remoteAddress(): string | undefined {
    return this.#request.socket.remoteAddress;
  }

  /** Names and values by turns, as they came. */
  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }
}
