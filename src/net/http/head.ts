import type { IncomingMessage } from 'node:http';

/** What is known of a request before its body: of a plain one and of one to upgrade alike. */
export class RequestHead {
  readonly method: string;
  /** As it came, not decoded, without the query. */
  readonly path: string;
  /** What follows the `?`, empty if there is none. */
  readonly query: string;
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage) {
    this.#request = request;
    this.method = request.method ?? '';
    const url = request.url ?? '';
    const mark = url.indexOf('?');
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = mark < 0 ? '' : url.slice(mark + 1);
  }

  /** Lower-case name; several of one name come joined by commas. */
  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return typeof value === 'string' ? value : value?.join(', ');
  }

  /** Names and values by turns, as they came. */
  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }
}
