import type { Strategy } from '../model/strategy.ts';
import { invariant } from './invariant.ts';
import type { MetaTable } from './metadata.ts';
import type { PlanCache, PlanEntry, PlanWatcher } from './plan/cache.ts';
import type { Selection } from './plan/plan.ts';
import { type Alternative, alternativesOf, specOf } from './plan/spec.ts';
import type { Candidate } from './plan/tree.ts';

const NOTHING: Selection = { only: [], except: [] };

/** An alternative and the plan that serves it. */
interface Route<C extends Candidate<C>> {
  readonly alternative: Alternative;
  /** Which keys there were when the plan was looked for. */
  keysVersion: number;
  /** null: none is needed, because nothing can qualify. */
  entry: PlanEntry<C> | null;
  selection: Selection;
}

/** A strategy in use: asks the plans of its alternatives in turn, whichever serve them now. */
export class Selector<C extends Candidate<C>> {
  readonly alternatives: readonly Alternative[];
  readonly #table: MetaTable<C>;
  readonly #plans: PlanCache<C>;
  readonly #routes: Route<C>[];
  readonly #watched: PlanEntry<C>[] = [];
  #asked = 0;

  constructor(strategy: Strategy, table: MetaTable<C>, plans: PlanCache<C>) {
    this.#table = table;
    this.#plans = plans;
    this.alternatives = alternativesOf(strategy);
    this.#routes = this.alternatives.map((alternative) => ({
      alternative,
      keysVersion: -1,
      entry: null,
      selection: NOTHING,
    }));
  }

  /**
   * The candidate that comes first now; undefined if there is none; null if a plan is not ready: ask again when the
   * plans have room. To be followed by `release`.
   */
  first(): C | undefined | null {
    const routes = this.#routes;
    for (let i = 0; i < routes.length; i++) {
      const route = routes[i]!;
      const entry = this.#ready(route);
      if (entry === null) return null;
      this.#asked = Math.max(this.#asked, i + 1);
      const candidate = entry?.plan.first(route.selection);
      if (candidate !== undefined) return candidate;
    }
    return undefined;
  }

  release(): void {
    for (let i = 0; i < this.#asked; i++) this.#routes[i]!.entry?.plan.release();
    this.#asked = 0;
  }

  /** From now on somebody waits, because `first` had nothing to give. False if one of the plans has gone meanwhile. */
  watch(watcher: PlanWatcher): boolean {
    this.unwatch(watcher);
    let isComplete = true;
    for (const { entry } of this.#routes) {
      if (entry === null) continue;
      if (entry.isDropped) {
        isComplete = false;
        continue;
      }
      entry.watch(watcher);
      this.#watched.push(entry);
    }
    return isComplete;
  }

  unwatch(watcher: PlanWatcher): void {
    for (const entry of this.#watched) entry.unwatch(watcher);
    this.#watched.length = 0;
  }

  /** undefined: nothing can qualify; null: the plan is not ready. */
  #ready(route: Route<C>): PlanEntry<C> | undefined | null {
    const { entry } = route;
    if (route.keysVersion === this.#table.keysVersion) {
      if (entry === null) return undefined;
      if (!entry.isDropped && !entry.plan.isOutgrown) return this.#plans.use(entry);
    }
    const { alternative } = route;
    const spec = specOf(alternative, (key) => this.#table.isCarried(key));
    route.entry = null;
    route.keysVersion = -1;
    const found = spec === null ? null : this.#plans.entryFor(spec);
    if (spec !== null && found === null) return null;
    route.entry = found;
    route.keysVersion = this.#table.keysVersion;
    if (spec === null) return undefined;
    route.selection = {
      only: spec.only.map((key) => valuesOf(alternative.only, key)),
      except: spec.except.map((key) => valuesOf(alternative.except, key)),
    };
    return found;
  }
}

function valuesOf(values: Alternative['only'], key: string): ReadonlySet<bigint> {
  const found = values.get(key);
  invariant(found !== undefined, 'a plan selects by the keys of its alternative');
  return found;
}
