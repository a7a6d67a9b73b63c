import type { Endpoint } from './endpoints.ts';

/** Where a path leads: the same place for all its methods. */
export interface Place<Name extends string> {
  /** As it stands in the metrics: `/producer/submissions/{submission_id}`. */
  readonly path: string;
  /** The endpoint of each method. */
  readonly names: ReadonlyMap<Endpoint['method'], Name>;
}

export interface PathMatch<Name extends string> {
  readonly place: Place<Name>;
  /** The path's variable segment, as it came; empty if it has none. */
  readonly segment: string;
}

/** Paths with one variable segment: what comes before it and after it. */
interface Pattern<Name extends string> {
  readonly before: string;
  readonly after: string;
  readonly place: Place<Name>;
}

/** Finds where a path leads: fixed paths first, then those with a variable segment, in the order given. */
export class Router<Name extends string> {
  readonly #fixed = new Map<string, PathMatch<Name>>();
  readonly #patterns: Pattern<Name>[] = [];

  /** @param except endpoints that are not there */
  constructor(endpoints: Readonly<Record<Name, Endpoint>>, except: readonly Name[] = []) {
    const places = new Map<string, Map<Endpoint['method'], Name>>();
    for (const [name, { method, path }] of Object.entries<Endpoint>(endpoints) as [Name, Endpoint][]) {
      if (except.includes(name)) continue;
      const names = places.get(path) ?? new Map<Endpoint['method'], Name>();
      places.set(path, names.set(method, name));
    }
    for (const [path, names] of places) this.#add({ path, names });
  }

  match(path: string): PathMatch<Name> | null {
    const fixed = this.#fixed.get(path);
    if (fixed !== undefined) return fixed;
    for (const { before, after, place } of this.#patterns) {
      if (!path.startsWith(before) || !path.endsWith(after)) continue;
      const segment = path.slice(before.length, path.length - after.length);
      if (segment !== '' && !segment.includes('/')) return { place, segment };
    }
    return null;
  }

  #add(place: Place<Name>): void {
    const [before, after] = place.path.split(/\{[a-z_]+\}/);
    if (before === undefined || after === undefined) this.#fixed.set(place.path, { place, segment: '' });
    else this.#patterns.push({ before, after, place });
  }
}

/** The value of the `allow` header of a place. */
export function allowedMethods({ names }: Place<string>): string {
  return [...names.keys()].map((method) => (method === 'GET' ? 'GET,HEAD' : method)).join(',');
}
