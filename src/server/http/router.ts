import type { HttpExchange } from '../../net/http/exchange.ts';

/** Handles a request; `segment` is the path's variable part, percent-escapes decoded, empty if there is none. */
export type HttpRoute = (exchange: HttpExchange, segment: string) => void;

/** What a path offers. Where GET works, HEAD does. */
export interface Endpoint {
  /** As it stands in the metrics: `/producer/submissions/{submission_id}`. */
  readonly label: string;
  readonly method: 'GET' | 'POST';
  readonly route: HttpRoute;
}

/** Paths with one variable segment: what comes before it and after it. */
interface Pattern {
  readonly before: string;
  readonly after: string;
  readonly endpoint: Endpoint;
}

/** What a path leads to. `segment` is as it came. */
export interface Match {
  readonly endpoint: Endpoint;
  readonly segment: string;
}

/** Finds what a path leads to: fixed paths first, then those with one variable segment, in the order given. */
export class Router {
  readonly #fixed = new Map<string, Match>();
  readonly #patterns: Pattern[] = [];

  /** `label` is the path, with at most one `{name}`. */
  add(method: Endpoint['method'], label: string, route: HttpRoute): this {
    const endpoint = { label, method, route };
    const [before, after] = label.split(/\{[a-z_]+\}/);
    if (before === undefined || after === undefined) this.#fixed.set(label, { endpoint, segment: '' });
    else this.#patterns.push({ before, after, endpoint });
    return this;
  }

  match(path: string): Match | null {
    const fixed = this.#fixed.get(path);
    if (fixed !== undefined) return fixed;
    for (const { before, after, endpoint } of this.#patterns) {
      if (!path.startsWith(before) || !path.endsWith(after)) continue;
      const segment = path.slice(before.length, path.length - after.length);
      if (segment !== '' && !segment.includes('/')) return { endpoint, segment };
    }
    return null;
  }
}
