import type { Strategy } from '../model/strategy.ts';
import type { Random } from '../system/random.ts';
import { InvariantError } from './invariant.ts';
import type { MetaKey, MetaTable, MetaValue } from './metadata.ts';
import {
  type BaseOrder,
  type Candidate,
  Group,
  type Level,
  type PlanRules,
  planRules,
  Rank,
  Seat,
} from './plan-tree.ts';

/**
 * A strategy in use: the submissions with available chunks, in its order. They are grouped by their values for the
 * strategy's keys, one level of groups per key; a group keeps its submissions in base order, and its groups by the
 * in-flight counts of their values. So the next submission is at hand in O(levels), and the change of a count moves
 * the groups that share the value, however many submissions they hold.
 *
 * A plan is told of changes, which costs O(1), and looks at them when it is asked next. So a plan that nobody asks
 * costs next to nothing, and what changes there and back again is not looked at twice.
 *
 * Strategies to come fit in here: another kind of {@link Level} for a rank by the value itself, filters that keep
 * seats or groups out of their tournament, and several plans asked one after the other.
 */
export class Plan<C extends Candidate<C>> {
  /** The strategy as it was first asked for. */
  readonly strategy: Strategy;
  /** Which of a candidate's seats is this plan's. */
  readonly position: number;
  /** Submissions are drawn by weight: their number of available chunks matters, not only whether there are any. */
  readonly isWeighted: boolean;
  readonly #base: BaseOrder;
  readonly #random: Random;
  readonly #rules: PlanRules<C>;
  readonly #levels: readonly Level<C>[];
  readonly #root: Group<C>;
  readonly #dirtyRanks: Rank<C>[] = [];
  readonly #dirtySeats: Seat<C>[] = [];
  #seatsTotal = 0;

  constructor(strategy: Strategy, position: number, table: MetaTable<C>, random: Random) {
    const { keys, base } = flatten(strategy);
    this.strategy = strategy;
    this.position = position;
    this.isWeighted = base === 'random';
    this.#base = base;
    this.#random = random;
    this.#rules = planRules(base);
    this.#levels = keys.map((name) => ({
      key: table.useKey(name),
      ranks: new Map(),
      dirtyRanks: this.#dirtyRanks,
    }));
    this.#root = new Group(null, null, keys.length === 0, this.#rules);
  }

  /** Changes that wait to be looked at. */
  get changesPending(): number {
    return this.#dirtySeats.length;
  }

  /** Candidates that are seated, as of the last look. */
  get seatsTotal(): number {
    return this.#seatsTotal;
  }

  /** A candidate came, went, or has another number of available chunks. */
  candidateChanged(candidate: C): void {
    const { seats } = candidate;
    let seat = seats[this.position];
    if (seat === undefined) {
      if (candidate.chunksAvailable === 0) return;
      while (seats.length < this.position) seats.push(undefined);
      seat = new Seat(candidate);
      seats[this.position] = seat;
    }
    if (seat.isDirty) return;
    seat.isDirty = true;
    this.#dirtySeats.push(seat);
  }

  /** The candidate that comes first now, drawn where the base order is random; undefined if there is none. */
  first(): C | undefined {
    this.catchUp();
    return (this.isWeighted ? this.#draw() : this.#best())?.candidate;
  }

  /** Looks at every change that it was told of. */
  catchUp(): void {
    // Seats first: they may bring new groups, whose ranks are up to date, and take away groups before they are moved.
    const seats = this.#dirtySeats;
    for (let i = 0; i < seats.length; i++) this.#place(seats[i]!);
    if (seats.length > 0) seats.length = 0;
    const ranks = this.#dirtyRanks;
    for (let i = 0; i < ranks.length; i++) this.#updateRank(ranks[i]!);
    if (ranks.length > 0) ranks.length = 0;
  }

  /** For checks: what it ranks by, outermost first, and in which order those come that tie. */
  get shape(): { readonly keys: readonly MetaKey<C>[]; readonly base: BaseOrder } {
    return { keys: this.#levels.map((level) => level.key), base: this.#base };
  }

  /** For checks: one that may come first now, and the weight of all that may. */
  get top(): { readonly candidate: C | undefined; readonly weight: number } {
    this.catchUp();
    return { candidate: this.#best()?.candidate, weight: this.#root.weight };
  }

  /** Leaves no trace in candidates and metadata. Not to be used any more. */
  drop(table: MetaTable<C>): void {
    this.catchUp();
    for (const seat of [...this.seats()]) this.#leave(seat);
    for (const level of this.#levels) table.releaseKey(level.key);
  }

  /** Everybody who is seated, in no particular order. */
  seats(): Generator<Seat<C>> {
    return seatsOf(this.#root);
  }

  #best(): Seat<C> | undefined {
    let group: Group<C> | undefined = this.#root;
    while (group !== undefined && group.groups !== null) group = group.groups.best;
    return group?.seats?.best;
  }

  #draw(): Seat<C> | undefined {
    const root = this.#root;
    if (root.isEmpty) return undefined;
    let group = root;
    let point = this.#random.next() * root.weight;
    while (group.groups !== null) {
      const { item, rest }: { item: Group<C>; rest: number } = group.groups.draw(point)!;
      group = item;
      point = rest;
    }
    return group.seats!.draw(point)!.item;
  }

  #place(seat: Seat<C>): void {
    seat.isDirty = false;
    const { candidate, group } = seat;
    if (candidate.chunksAvailable > 0) {
      if (group === null) this.#enter(seat);
      else if (this.isWeighted && group.seats!.update(seat)) this.#settleUpwards(group);
    } else if (group !== null) {
      this.#leave(seat);
    } else {
      candidate.seats[this.position] = undefined;
    }
  }

  #enter(seat: Seat<C>): void {
    let group = this.#root;
    for (let depth = 0; depth < this.#levels.length; depth++) {
      const rank = this.#rankOf(seat.candidate, this.#levels[depth]!);
      group = group.groupsByRank!.get(rank) ?? this.#newGroup(rank, group, depth + 1);
    }
    seat.group = group;
    this.#seatsTotal++;
    if (group.seats!.add(seat)) this.#settleUpwards(group);
  }

  #leave(seat: Seat<C>): void {
    const group = seat.group!;
    seat.group = null;
    this.#seatsTotal--;
    seat.candidate.seats[this.position] = undefined;
    if (group.seats!.remove(seat)) this.#settleUpwards(group);
  }

  #rankOf(candidate: C, level: Level<C>): Rank<C> {
    const metaValue = metaValueOf(candidate, level);
    let rank = level.ranks.get(metaValue);
    if (rank === undefined) {
      rank = new Rank(level, metaValue);
      level.ranks.set(metaValue, rank);
      metaValue?.listeners.push(rank);
    }
    return rank;
  }

  /** It joins its parent's tournament as soon as there is somebody in it. */
  #newGroup(rank: Rank<C>, parent: Group<C>, depth: number): Group<C> {
    const group = new Group(rank, parent, depth === this.#levels.length, this.#rules);
    parent.groupsByRank!.set(rank, group);
    group.positionInRank = rank.groups.length;
    rank.groups.push(group);
    return group;
  }

  /** Something at the top of `from` has changed. */
  #settleUpwards(from: Group<C>): void {
    let group = from;
    for (let parent = group.parent; parent !== null; parent = group.parent) {
      const siblings = parent.groups!;
      let isTopChanged: boolean;
      if (group.isEmpty) {
        isTopChanged = group.slot >= 0 && siblings.remove(group);
        this.#removeGroup(group, parent);
      } else {
        isTopChanged = group.slot < 0 ? siblings.add(group) : siblings.update(group);
      }
      if (!isTopChanged) return;
      group = parent;
    }
  }

  #removeGroup(group: Group<C>, parent: Group<C>): void {
    const rank = group.rank!;
    parent.groupsByRank!.delete(rank);
    const last = rank.groups.pop()!;
    if (last !== group) {
      rank.groups[group.positionInRank] = last;
      last.positionInRank = group.positionInRank;
    }
    if (rank.groups.length > 0) return;
    const { level, metaValue } = rank;
    level.ranks.delete(metaValue);
    if (metaValue !== null) metaValue.listeners.splice(metaValue.listeners.indexOf(rank), 1);
  }

  #updateRank(rank: Rank<C>): void {
    rank.isDirty = false;
    const count = rank.metaValue?.inFlight ?? 0;
    if (count === rank.count) return;
    rank.count = count;
    for (let i = 0; i < rank.groups.length; i++) {
      const group = rank.groups[i]!;
      if (group.parent!.groups!.update(group)) this.#settleUpwards(group.parent!);
    }
  }
}

function metaValueOf<C extends Candidate<C>>(candidate: C, level: Level<C>): MetaValue<C> | null {
  for (const metaValue of candidate.values) if (metaValue.key === level.key) return metaValue;
  return null;
}

/** Whether two strategies order alike because they are written alike. */
export function isSameStrategy(one: Strategy, other: Strategy): boolean {
  let a = one;
  let b = other;
  while (a !== b) {
    if (a.kind !== 'prefer_distinct' || b.kind !== 'prefer_distinct') return a.kind === b.kind;
    if (a.metaKey !== b.metaKey) return false;
    a = a.underlying;
    b = b.underlying;
  }
  return true;
}

/** The rank keys, outermost first, and the order below them. A key that comes again decides nothing more. */
function flatten(strategy: Strategy): { keys: readonly string[]; base: BaseOrder } {
  const keys = new Set<string>();
  let rest = strategy;
  while (rest.kind === 'prefer_distinct') {
    keys.add(rest.metaKey);
    rest = rest.underlying;
  }
  switch (rest.kind) {
    case 'oldest':
    case 'newest':
    case 'random':
      return { keys: [...keys], base: rest.kind };
    default:
      throw new InvariantError(`unknown strategy ${JSON.stringify(rest satisfies never)}`);
  }
}

function* seatsOf<C extends Candidate<C>>(group: Group<C>): Generator<Seat<C>> {
  if (group.seats !== null) yield* group.seats;
  for (const inner of group.groups ?? []) yield* seatsOf(inner);
}
