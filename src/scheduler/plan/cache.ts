import type { Random } from '../../system/random.ts';
import { invariant } from '../invariant.ts';
import type { MetaTable } from '../metadata.ts';
import type { Limit } from './limit.ts';
import { Plan } from './plan.ts';
import { type PlanSpec, specText } from './spec.ts';
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

/** A plan, and who uses it. */
export class PlanEntry<C extends Candidate<C>> {
  readonly text: string;
  readonly plan: Plan<C>;
  /** How often it had to look at its changes since somebody asked it. */
  idleRounds = 0;
  /** A number that rises with each use of any plan. */
  lastUse = 0;
  /** Whom it has yet to take in; null: nobody, it is ready. */
  missing: Iterator<C> | null;
  isDropped = false;
  /** Those who wait for something that it has not. They look for another plan when this one is dropped. */
  readonly watchers = new Set<PlanWatcher>();

  constructor(text: string, plan: Plan<C>, candidates: Iterable<C>) {
    this.text = text;
    this.plan = plan;
    this.missing = candidates[Symbol.iterator]();
  }

  watch(watcher: PlanWatcher): void {
    this.watchers.add(watcher);
    this.plan.isWatched = true;
    // It hears of limits that are free again only from those who are seated in it.
    this.plan.catchUp();
  }

  unwatch(watcher: PlanWatcher): void {
    this.watchers.delete(watcher);
    this.plan.isWatched = this.watchers.size > 0;
  }
}

/** Who waits for something that a plan has not. */
export interface PlanWatcher {
  /** There may be something for it now. */
  look(): void;
  /** There may be, when its turn comes and the limit has room. */
  lookBelow(limit: Limit): void;
  /** The plan is dropped, and tells nothing any more. */
  planDropped(): void;
}

/** The plans in use. */
export class PlanCache<C extends Candidate<C>> {
  readonly #table: MetaTable<C>;
  readonly #random: Random;
  readonly #plansMax: number;
  readonly #candidates: () => Iterable<C>;
  readonly #byText = new Map<string, PlanEntry<C>>();
  /** The same, in no particular order: to be gone through with each change. */
  readonly #entries: PlanEntry<C>[] = [];
  readonly #freePositions: number[] = [];
  readonly #slice: number;
  #uses = 0;
  /** The one that is being built. */
  #building: PlanEntry<C> | null = null;
  /** Those that were dropped and have yet to leave no trace, with the steps to that. */
  readonly #leaving: { readonly position: number; readonly steps: Iterator<void> }[] = [];
  #isRoomNew = false;
  readonly #freed = new Set<PlanEntry<C>>();

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

  /** For checks: the plans that are ready. */
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
    if (!this.isBuilding) this.#isRoomNew = true;
  }

  /** Whether, since the last call, `entryFor` may have got more to give. */
  takeRoom(): boolean {
    const isNew = this.#isRoomNew;
    this.#isRoomNew = false;
    return isNew;
  }

  /** Watched plans in which something got free since the last call. */
  takeFreed(): readonly PlanEntry<C>[] {
    if (this.#freed.size === 0) return [];
    const freed = [...this.#freed];
    this.#freed.clear();
    return freed;
  }

  /**
   * The plan of a spec, ready to be asked, made if need be; null if that takes more than a moment: ask again after
   * `takeRoom`. One is built at a time, so that whoever invents strategies delays no one but those who ask for new ones.
   */
  entryFor(spec: PlanSpec): PlanEntry<C> | null {
    const text = specText(spec);
    const known = this.#byText.get(text);
    if (known !== undefined && !known.plan.isOutgrown) return this.use(known);
    if (known !== undefined) this.#drop(known);
    if (this.isBuilding) return null;
    return this.use(this.#make(text, spec));
  }

  /** It is going to be asked: null if it is not ready. */
  use(entry: PlanEntry<C>): PlanEntry<C> | null {
    entry.idleRounds = 0;
    entry.lastUse = ++this.#uses;
    return entry.missing === null ? entry : null;
  }

  /** Those who were hidden from plans for the moment are to be seated again in those that are watched. */
  seatWatched(): void {
    for (const { plan } of this.#entries) if (plan.isWatched) plan.catchUp();
  }

  /** A candidate has another number of available chunks; `isTurned` if they were none, or are none now. */
  candidateChanged(candidate: C, isTurned: boolean): void {
    const entries = this.#entries;
    // Backwards, because one may be dropped on the way.
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i]!;
      if (!isTurned && !entry.plan.isWeighted) continue;
      entry.plan.candidateChanged(candidate);
      if (entry.plan.changesPending >= CHANGES_PENDING_MAX) this.#catchUp(entry);
    }
  }

  /**
   * Takes some more into the plan that is being built. What changes meanwhile does no harm: the plan is told of every
   * change from its beginning, taking somebody in twice is the same as once, and the iterator of a
   * SortedMap passes over those who go.
   */
  #takeIn(entry: PlanEntry<C>): void {
    const { only, except, limits, ranks } = entry.plan.spec;
    // The more levels it has, the longer takes each.
    const levels = only.length + except.length + limits.size + ranks.length;
    const count = Math.ceil(this.#slice / (1 + levels));
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

  /** Nobody sits where he does not belong any more. */
  settle(): void {
    for (const { plan, missing } of this.#entries) plan.catchUp(missing === null);
  }

  #catchUp(entry: PlanEntry<C>): void {
    entry.plan.catchUp(entry.missing === null);
    const roundsMax = Math.max(IDLE_ROUNDS_MAX, entry.plan.seatsTotal * IDLE_ROUNDS_PER_SEAT);
    const isIdle = ++entry.idleRounds > roundsMax && entry.watchers.size === 0;
    if (isIdle && entry.missing === null) this.#drop(entry);
  }

  #make(text: string, spec: PlanSpec): PlanEntry<C> {
    if (this.#entries.length === this.#plansMax) this.#drop(this.#leastUsed());
    const position = this.#freePositions.pop() ?? this.#entries.length + this.#leaving.length;
    const plan = new Plan(spec, position, this.#table, this.#random, () => this.#freed.add(entry));
    const entry: PlanEntry<C> = new PlanEntry(text, plan, this.#candidates());
    this.#entries.push(entry);
    this.#byText.set(text, entry);
    this.#building = entry;
    this.#takeIn(entry);
    return entry;
  }

  /** The one whose last use is the longest ago; of those for which nobody waits, if there are any. */
  #leastUsed(): PlanEntry<C> {
    const isBetter = (a: PlanEntry<C>, b: PlanEntry<C>) =>
      a.watchers.size > 0 === b.watchers.size > 0 ? a.lastUse < b.lastUse : b.watchers.size > 0;
    return this.#entries.reduce((best, entry) => (isBetter(entry, best) ? entry : best));
  }

  #drop(entry: PlanEntry<C>): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#byText.delete(entry.text);
    this.#freed.delete(entry);
    if (entry === this.#building) this.#building = null;
    entry.isDropped = true;
    for (const watcher of [...entry.watchers]) watcher.planDropped();
    this.#leaving.push({ position: entry.plan.position, steps: entry.plan.drop(this.#table) });
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
