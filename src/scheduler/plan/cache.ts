import { isSameStrategy, type Strategy } from '../../model/strategy.ts';
import type { Random } from '../../system/random.ts';
import { invariant } from '../invariant.ts';
import type { MetaTable } from '../metadata.ts';
import { Plan } from './plan.ts';
import type { Candidate } from './tree.ts';

/** A plan looks at its changes when this many wait, so that whoever asks it next does not wait for all of them. */
const CHANGES_PENDING_MAX = 512;
/** A plan that nobody asked while it had to look this often is dropped: to build it anew would have cost less. */
const IDLE_ROUNDS_MAX = 64;
/** For a large plan: so many looks for each seat. */
const IDLE_ROUNDS_PER_SEAT = 4 / CHANGES_PENDING_MAX;

/** Candidates that a new plan without keys takes in at a time: a few milliseconds on a slow machine. */
export const PLAN_SLICE_DEFAULT = 300;

/** To leave no trace is a fraction of the work of taking in. */
const LEAVING_STEPS_PER_SLICE = 4;

interface Entry<C extends Candidate<C>> {
  readonly plan: Plan<C>;
  /** How often it had to look at its changes since somebody asked it. */
  idleRounds: number;
  /** Whom it has yet to take in; null: nobody, it is ready. */
  missing: Iterator<C> | null;
}

/** The plans in use, the one asked last first. */
export class PlanCache<C extends Candidate<C>> {
  readonly #table: MetaTable<C>;
  readonly #random: Random;
  readonly #plansMax: number;
  readonly #candidates: () => Iterable<C>;
  readonly #entries: Entry<C>[] = [];
  readonly #freePositions: number[] = [];
  readonly #slice: number;
  /** The one that is being built. */
  #building: Entry<C> | null = null;
  /** Those that were dropped and have yet to leave no trace, with the steps to that. */
  readonly #leaving: { readonly position: number; readonly steps: Iterator<void> }[] = [];

  /** `candidates` gives everybody whom a new plan has to take in. */
  constructor(o: {
    table: MetaTable<C>;
    random: Random;
    plansMax: number;
    slice?: number | undefined;
    candidates: () => Iterable<C>;
  }) {
    invariant(Number.isSafeInteger(o.plansMax) && o.plansMax >= 1, 'plansMax is a whole number from 1');
    this.#table = o.table;
    this.#random = o.random;
    this.#plansMax = o.plansMax;
    this.#candidates = o.candidates;
    this.#slice = o.slice ?? PLAN_SLICE_DEFAULT;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** For checks: the plans that are ready, the one asked last first. */
  get plans(): readonly Plan<C>[] {
    return this.#entries.filter((entry) => entry.missing === null).map((entry) => entry.plan);
  }

  /** Whether a plan waits for `build`. */
  get isBuilding(): boolean {
    return this.#building !== null || this.#leaving.length > 0;
  }

  /** Goes on with what was dropped, or else with the plan that is being built: some steps of either. */
  build(): void {
    if (this.#leaving.length > 0) this.#clear();
    else if (this.#building !== null) this.#takeIn(this.#building);
  }

  /**
   * Takes some more into the plan that is being built. What changes meanwhile does no harm: the plan is told of every
   * change from its beginning, taking somebody in twice is the same as once, and the iterator of a Map finds those
   * who come and passes over those who go.
   */
  #takeIn(entry: Entry<C>): void {
    // The more levels it has, the longer takes each.
    const count = Math.ceil(this.#slice / (1 + entry.plan.shape.keys.length));
    for (let i = 0; i < count; i++) {
      const next = entry.missing!.next();
      if (next.done === true) {
        entry.missing = null;
        this.#building = null;
        break;
      }
      entry.plan.candidateChanged(next.value);
    }
    if (entry.missing === null) entry.plan.built();
    else entry.plan.catchUp(false);
  }

  /**
   * The plan of a strategy, made if need be; null if that takes more than a moment: ask again after `build`. One is built
   * at a time, so that whoever invents strategies delays no one but those who ask for new ones.
   */
  planFor(strategy: Strategy): Plan<C> | null {
    const known = this.#find(strategy);
    if (known !== null) return known.missing === null ? known.plan : null;
    // Whoever invents keys, or repeats them, must not push out the plans that are in use.
    const plain = withoutIdleKeys(strategy, (name) => this.#table.isCarried(name));
    const same = plain === strategy ? null : this.#find(plain);
    if (same === null && this.isBuilding) return null;
    const entry = same ?? this.#make(plain);
    return entry.missing === null ? entry.plan : null;
  }

  #find(strategy: Strategy): Entry<C> | null {
    const entries = this.#entries;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (!isSameStrategy(entry.plan.strategy, strategy)) continue;
      if (entry.plan.isOutgrown) {
        this.#drop(i);
        break;
      }
      entry.idleRounds = 0;
      if (i > 0) {
        entries.copyWithin(1, 0, i);
        entries[0] = entry;
      }
      return entry;
    }
    return null;
  }

  /** A candidate has another number of available chunks; `isTurned` if they were none, or are none now. */
  candidateChanged(candidate: C, isTurned: boolean): void {
    const entries = this.#entries;
    // Backwards, because one may be dropped on the way.
    for (let i = entries.length - 1; i >= 0; i--) {
      const { plan } = entries[i]!;
      if (!isTurned && !plan.isWeighted) continue;
      plan.candidateChanged(candidate);
      if (plan.changesPending >= CHANGES_PENDING_MAX) this.#catchUp(i);
    }
  }

  #catchUp(at: number): void {
    const entry = this.#entries[at]!;
    entry.plan.catchUp(entry.missing === null);
    const roundsMax = Math.max(IDLE_ROUNDS_MAX, entry.plan.seatsTotal * IDLE_ROUNDS_PER_SEAT);
    if (++entry.idleRounds > roundsMax && entry.missing === null) this.#drop(at);
  }

  #make(strategy: Strategy): Entry<C> {
    if (this.#entries.length === this.#plansMax) this.#drop(this.#entries.length - 1);
    const position = this.#freePositions.pop() ?? this.#entries.length + this.#leaving.length;
    const plan = new Plan(strategy, position, this.#table, this.#random);
    const entry = { plan, idleRounds: 0, missing: this.#candidates()[Symbol.iterator]() };
    this.#entries.unshift(entry);
    this.#building = entry;
    this.#takeIn(entry);
    return entry;
  }

  #drop(at: number): void {
    const [entry] = this.#entries.splice(at, 1);
    if (entry === this.#building) this.#building = null;
    this.#leaving.push({ position: entry!.plan.position, steps: entry!.plan.drop(this.#table) });
    // What is small goes at once.
    this.#clear();
  }

  #clear(): void {
    for (let i = 0; i < LEAVING_STEPS_PER_SLICE * this.#slice; i++) {
      const first = this.#leaving[0];
      if (first === undefined) return;
      if (first.steps.next().done !== true) continue;
      this.#leaving.shift();
      this.#freePositions.push(first.position);
    }
  }
}

/**
 * The strategy without the keys that rank nothing: those that no open submission carries, and those that stand further
 * out as well.
 */
function withoutIdleKeys(
  strategy: Strategy,
  isCarried: (key: string) => boolean,
  outer: ReadonlySet<string> = new Set(),
): Strategy {
  if (strategy.kind !== 'prefer_distinct') return strategy;
  const { metaKey, underlying } = strategy;
  const inner = withoutIdleKeys(underlying, isCarried, new Set([...outer, metaKey]));
  if (outer.has(metaKey) || !isCarried(metaKey)) return inner;
  return inner === underlying ? strategy : { ...strategy, underlying: inner };
}
