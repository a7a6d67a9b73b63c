import { Store, useStore } from './store.ts';

/** Where the page is: behind the `#`, so that no path of the server has to know. Named as the paths and queries of `/api/v1`. */
export interface Route {
  /** `submissions`, `submissions/123` in its parts. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

/** The queue whose address the page is at; empty: the server's, where there are all queues. */
export const ownQueue = document.documentElement.dataset.queue ?? '';

const route = new Store(parse(location.hash));

export function startRouting(): void {
  addEventListener('hashchange', () => route.set(parse(location.hash)));
}

export function useRoute(): Route {
  return useStore(route);
}

export function currentRoute(): Route {
  return route.value;
}

function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const parts = path.split('/').filter((part) => part !== '');
  const params = new URLSearchParams(query);
  // All is of the one queue there.
  if (ownQueue !== '') params.delete('queue');
  return { parts: parts.map(decoded), query: params };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The queue that everything is of; null: all. */
export function queueOf({ query }: Route): string | null {
  return query.get('queue');
}

/** A link within the page, which stays with the queue that was chosen. */
export function hrefTo(path: string, query: string | URLSearchParams = ''): string {
  const params = new URLSearchParams(query);
  const queue = queueOf(route.value);
  if (queue !== null && !params.has('queue')) params.set('queue', queue);
  const text = readable(params);
  return `#/${path}${text === '' ? '' : `?${text}`}`;
}

export function goTo(href: string): void {
  location.hash = href;
}

/** The request for what the page shows, for the queue that was chosen. */
export function apiPath(path: string, query: string | URLSearchParams = ''): string {
  return hrefTo(path, query).slice(2);
}

/** The current query with some parameters replaced; null takes one away, and so does the place in the list. */
export function withParams(changes: Readonly<Record<string, string | null>>): URLSearchParams {
  const params = new URLSearchParams(route.value.query);
  params.delete('cursor');
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) params.delete(name);
    else params.set(name, value);
  }
  return params;
}

/** Colons and commas stay as they are: people read these. */
function readable(params: URLSearchParams): string {
  return params.toString().replaceAll('%3A', ':').replaceAll('%2C', ',');
}
