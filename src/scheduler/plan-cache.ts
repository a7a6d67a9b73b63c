import type { Strategy } from '../model/strategy.ts';
import { isRareNow, type Random } from '../system/random.ts';
import { invariant } from './invariant.ts';
import type { MetaTable } from './metadata.ts';
import { isSameStrategy, Plan } from './plan.ts';
import type { Candidate } from './plan-tree.ts';

/** A plan looks at its changes when this many wait, so that whoever asks it next does not wait for all of them. */
const CHANGES_PENDING_MAX = 512;
/** A plan that nobody asked while it had to look this often is dropped: to build it anew would have cost less. */
const IDLE_ROUNDS_MAX = 64;
/** For a large plan: so many looks for each seat. */
const IDLE_ROUNDS_PER_SEAT = 4 / CHANGES_PENDING_MAX;

interface Entry<C extends Candidate<C>> {
  readonly plan: Plan<C>;
  /** How often it had to look at its changes since somebody asked it. */
  idleRounds: number;
}

/** The plans in use, the one asked last first. */
export class PlanCache<C extends Candidate<C>> {
  readonly #table: MetaTable<C>;
  readonly #random: Random;
  readonly #plansMax: number;
  readonly #candidates: () => Iterable<C>;
  readonly #entries: Entry<C>[] = [];
  readonly #freePositions: number[] = [];

  /** `candidates` gives everybody whom a new plan has to take in. */
  constructor(o: { table: MetaTable<C>; random: Random; plansMax: number; candidates: () => Iterable<C> }) {
    invariant(Number.isSafeInteger(o.plansMax) && o.plansMax >= 1, 'plansMax is a whole number from 1');
    this.#table = o.table;
    this.#random = o.random;
    this.#plansMax = o.plansMax;
    this.#candidates = o.candidates;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** For checks: the plans, the one asked last first. */
  get plans(): readonly Plan<C>[] {
    return this.#entries.map((entry) => entry.plan);
  }

  /** The plan of a strategy, made if need be. */
  planFor(strategy: Strategy): Plan<C> {
    const known = this.#find(strategy);
    if (known !== null) return known;
    // Whoever invents keys, or repeats them, must not push out the plans that are in use.
    const plain = withoutIdleKeys(strategy, (name) => this.#table.isCarried(name));
    return (plain === strategy ? null : this.#find(plain)) ?? this.#make(plain);
  }

  #find(strategy: Strategy): Plan<C> | null {
    const entries = this.#entries;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (!isSameStrategy(entry.plan.strategy, strategy)) continue;
      if (isRareNow(this.#random, 'scheduler: a plan is made anew')) {
        this.#drop(i);
        break;
      }
      entry.idleRounds = 0;
      if (i > 0) {
        entries.copyWithin(1, 0, i);
        entries[0] = entry;
      }
      return entry.plan;
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
    entry.plan.catchUp();
    const roundsMax = Math.max(IDLE_ROUNDS_MAX, entry.plan.seatsTotal * IDLE_ROUNDS_PER_SEAT);
    if (++entry.idleRounds > roundsMax) this.#drop(at);
  }

  #make(strategy: Strategy): Plan<C> {
    if (this.#entries.length === this.#plansMax) this.#drop(this.#entries.length - 1);
    const position = this.#freePositions.pop() ?? this.#entries.length;
    const plan = new Plan(strategy, position, this.#table, this.#random);
    for (const candidate of this.#candidates()) plan.candidateChanged(candidate);
    this.#entries.unshift({ plan, idleRounds: 0 });
    return plan;
  }

  #drop(at: number): void {
    const [entry] = this.#entries.splice(at, 1);
    entry!.plan.drop(this.#table);
    this.#freePositions.push(entry!.plan.position);
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
