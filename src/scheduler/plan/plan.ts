import type { Strategy } from '../../model/strategy.ts';
import type { Random } from '../../system/random.ts';
import { InvariantError } from '../invariant.ts';
import type { MetaKey, MetaTable, MetaValue } from '../metadata.ts';
import { type BaseOrder, treeShape } from './rules.ts';
import { type Candidate, Group, type Level, Rank, Seat, type TreeShape } from './tree.ts';

/** With fewer seats than this any tree will do. */
const SEATS_TO_TURN = 1_024;
/** To turn over a tree with more seats at once would take too long. */
const SEATS_TURNED_MAX = 2_048;

/**
 * A strategy in use: the submissions with available chunks, in its order. They are grouped by their values for the
 * strategy's keys, one level of groups per key; a group keeps its submissions in base order, and its groups by the
 * in-flight counts of their values. So the next submission is at hand in O(levels), and the change of a count moves
 * the groups that share the value, however many submissions they hold.
 *
 * That is why the key with the fewest values is the uppermost level, whatever its importance: then the least groups
 * share a value. The tree is turned over when it has grown and another order would be better by far.
 *
 * A plan is told of changes, which costs O(1), and looks at them when it is asked next. So a plan that nobody asks
 * costs next to nothing, and what changes there and back again is not looked at twice. Of counts that rise it is not
 * even told. A group that counts too little is found too early, and never too late: whatever comes to the top is
 * looked at, corrected and put back, until what is on top counts right. Without this the change of a value in a
 * thousand groups would move all of them, though next time only one is asked for.
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
  /** Other levels on top would be better by far, and the tree is too large to turn it over: a new plan is to take its place. */
  isOutgrown = false;
  readonly #base: BaseOrder;
  readonly #random: Random;
  /** By importance. */
  readonly #keys: readonly MetaKey<C>[];
  /** From the uppermost to the lowest. */
  #levels: readonly Level<C>[];
  #shape: TreeShape<C>;
  #root: Group<C>;
  readonly #dirtyRanks: Rank<C>[] = [];
  readonly #dirtySeats: Seat<C>[] = [];
  #seatsTotal = 0;
  /** The tree is looked at again when it has as many seats. */
  #seatsToTurn = SEATS_TO_TURN;

  constructor(strategy: Strategy, position: number, table: MetaTable<C>, random: Random) {
    const { keys, base } = flatten(strategy);
    this.strategy = strategy;
    this.position = position;
    this.isWeighted = base === 'random';
    this.#base = base;
    this.#random = random;
    this.#keys = keys.map((name) => table.useKey(name));
    const order = [...this.#keys].sort((a, b) => a.values.size - b.values.size);
    this.#levels = this.#newLevels(order);
    this.#shape = this.#newShape();
    this.#root = new Group(null, null, this.#shape);
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

  /** Looks at every change that it was told of. `mayTurn`: also at the shape of the tree, which is to be large enough. */
  catchUp(mayTurn = true): void {
    const seats = this.#dirtySeats;
    for (let i = 0; i < seats.length; i++) this.#place(seats[i]!);
    if (seats.length > 0) seats.length = 0;
    const ranks = this.#dirtyRanks;
    for (let i = 0; i < ranks.length; i++) this.#lower(ranks[i]!);
    if (ranks.length > 0) ranks.length = 0;
    if (mayTurn && this.#seatsTotal >= this.#seatsToTurn && this.#levels.length > 1) this.#turnIfBetter();
  }

  /** Everybody has been taken in. The levels are as a new plan would have them, so a large tree stays as it is. */
  built(): void {
    this.catchUp(false);
    if (this.#seatsTotal > SEATS_TURNED_MAX) this.#seatsToTurn = 2 * this.#seatsTotal;
    this.catchUp();
  }

  /** For checks: what it ranks by, outermost first, and in which order those come that tie. */
  get shape(): { readonly keys: readonly MetaKey<C>[]; readonly base: BaseOrder } {
    return { keys: this.#keys, base: this.#base };
  }

  /** For checks: one that may come first now, and the weight of all that may. */
  get top(): { readonly candidate: C | undefined; readonly weight: number } {
    this.catchUp();
    return { candidate: this.#best()?.candidate, weight: this.#root.weight };
  }

  /**
   * Leaves no trace in candidates and metadata, a step with each turn of the iterator: all at once would take long. Not to
   * be used, nor told of anything, any more.
   */
  *drop(table: MetaTable<C>): Generator<void, void> {
    for (const { candidate } of this.#dirtySeats) candidate.seats[this.position] = undefined;
    // Not by leaving: keeping the order of what goes away as a whole would take longer than to build it did.
    for (const { candidate } of this.seats()) {
      candidate.seats[this.position] = undefined;
      yield;
    }
    for (const { ranks } of this.#levels) {
      for (const [metaValue, rank] of ranks) {
        metaValue?.listeners.splice(metaValue.listeners.indexOf(rank), 1);
        yield;
      }
    }
    this.#root = new Group(null, null, this.#shape);
    this.#seatsTotal = 0;
    for (const key of this.#keys) table.releaseKey(key);
  }

  /** Everybody who is seated, in no particular order. */
  seats(): Generator<Seat<C>> {
    return seatsOf(this.#root);
  }

  /** Corrects what it finds on its way. */
  #best(): Seat<C> | undefined {
    let group = this.#root;
    while (group.groups !== null) {
      const next: Group<C> | undefined = group.groups.best;
      if (next === undefined) return undefined;
      group = this.#isCorrect(next) ? next : this.#root;
    }
    return group.seats!.best;
  }

  /** Whatever counts right and ties at the top was there all the time: correcting others changes no one's chances. */
  #draw(): Seat<C> | undefined {
    const root = this.#root;
    if (root.isEmpty) return undefined;
    let group = root;
    let point = this.#random.next() * root.weight;
    while (group.groups !== null) {
      const { item, rest }: { item: Group<C>; rest: number } = group.groups.draw(point)!;
      if (this.#isCorrect(item)) {
        group = item;
        point = rest;
      } else {
        group = root;
        point = this.#random.next() * root.weight;
      }
    }
    return group.seats!.draw(point)!.item;
  }

  /** Whether a group counts what is in flight; if not, it does from now on, and may not be on top any more. */
  #isCorrect(group: Group<C>): boolean {
    const rank = group.rank!;
    if (group.count === rank.inFlight) return true;
    this.#recount(group, rank);
    return false;
  }

  #recount(group: Group<C>, rank: Rank<C>): void {
    group.count = rank.inFlight;
    rank.groups.update(group);
    rank.metaValue?.counted(group.count);
    const parent = group.parent!;
    if (parent.groups!.update(group)) this.#settleUpwards(parent);
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
      group = group.groupsByRank!.get(rank) ?? this.#newGroup(rank, group);
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
  #newGroup(rank: Rank<C>, parent: Group<C>): Group<C> {
    const group = new Group(rank, parent, this.#shape);
    parent.groupsByRank!.set(rank, group);
    rank.groups.add(group);
    rank.metaValue?.counted(group.count);
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
    rank.groups.remove(group);
    if (rank.groups.size > 0) return;
    const { level, metaValue } = rank;
    level.ranks.delete(metaValue);
    if (metaValue !== null) metaValue.listeners.splice(metaValue.listeners.indexOf(rank), 1);
  }

  /** Builds the tree anew if a lower level has far fewer values than one above it. */
  #turnIfBetter(): void {
    this.#seatsToTurn = 2 * this.#seatsTotal;
    const levels = this.#levels;
    const isFine = levels.every((level, i) => i === 0 || 2 * level.ranks.size >= levels[i - 1]!.ranks.size);
    if (isFine) return;
    if (this.#seatsTotal > SEATS_TURNED_MAX) {
      this.isOutgrown = true;
      return;
    }
    const order = [...levels].sort((a, b) => a.ranks.size - b.ranks.size).map((level) => level.key);
    // All of them first: seats move when others leave.
    const seats = [...this.seats()];
    for (const seat of seats) this.#leave(seat);
    this.#levels = this.#newLevels(order);
    this.#shape = this.#newShape();
    this.#root = new Group(null, null, this.#shape);
    for (const { candidate } of seats) this.candidateChanged(candidate);
    this.catchUp();
  }

  #newLevels(order: readonly MetaKey<C>[]): readonly Level<C>[] {
    return order.map((key) => ({ key, ranks: new Map(), dirtyRanks: this.#dirtyRanks }));
  }

  #newShape(): TreeShape<C> {
    const importance = this.#levels.map((level) => this.#keys.indexOf(level.key));
    return treeShape(this.#base, importance);
  }

  /** None of its groups counts more than there is. */
  #lower(rank: Rank<C>): void {
    rank.isDirty = false;
    for (let group = rank.groups.first; group !== undefined && group.count > rank.inFlight; ) {
      this.#recount(group, rank);
      group = rank.groups.first;
    }
    // What fell and rose again before this look may leave groups that count right, but more than was told.
    rank.metaValue?.counted(rank.groups.first?.count ?? 0);
  }
}

function metaValueOf<C extends Candidate<C>>(candidate: C, level: Level<C>): MetaValue<C> | null {
  for (const metaValue of candidate.values) if (metaValue.key === level.key) return metaValue;
  return null;
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
