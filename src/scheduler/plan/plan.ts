import type { Random } from '../../system/random.ts';
import type { MetaKey, MetaTable } from '../metadata.ts';
import type { Limit } from './limit.ts';
import { treeShape } from './rules.ts';
import { isTold, Seating } from './seating.ts';
import type { PlanSpec } from './spec.ts';
import { type Candidate, type Group, type Level, type Rank, Seat } from './tree.ts';

/** With fewer seats than this any tree will do. */
const SEATS_TO_TURN = 1_024;
/** To turn over a tree with more seats at once would take too long. */
const SEATS_TURNED_MAX = 2_048;

/** When more groups of a value get free at once than this, whoever waits is to look: each of them might be shown to each who waits. */
const FREED_MAX = 32;

/** Which of a plan's candidates are asked for: the values of its selected keys, in the order of its spec. */
export interface Selection {
  readonly only: readonly ReadonlySet<bigint>[];
  readonly except: readonly ReadonlySet<bigint>[];
}

const ALL: Selection = { only: [], except: [] };

/** What gets free again below a limit of a plan, for those who wait for it. */
export interface Freed<C> {
  /** One of each group that is offered again; others like it carry the same values of all selected keys. */
  readonly candidates: C[];
  /** More than those: whoever waits is to look. */
  isForAll: boolean;
}

/**
 * A way to put submissions in order that is in use: those with available chunks, grouped by their values for the plan's keys,
 * one level of groups per key; a group keeps its submissions in base order, and its groups by the ranks of their
 * values. So the next submission is at hand in O(levels), and the change of an in-flight count moves the groups that
 * share the value, however many submissions they hold.
 *
 * Keys of which values are selected are the uppermost levels: a selection looks only at the groups that it names, or passes over
 * those that it excludes, and thousands of selections share one plan. Below them the key with the fewest values comes first,
 * whatever its importance: then the least groups share a value. The tree is turned over when it has grown and another
 * order would be better by far.
 *
 * A plan is told of changes, which costs O(1), and looks at them when it is asked next. So a plan that nobody asks
 * costs next to nothing, and what changes there and back again is not looked at twice. Of counts that rise it is not
 * even told. A group that counts too little is found too early, and never too late: whatever comes to the top is
 * looked at, corrected and put back, or set aside if its value is at its limit, until what is on top counts right. Without
 * this the change of a value in a thousand groups would move all of them, though next time only one is asked for.
 */
export class Plan<C extends Candidate<C>> {
  readonly spec: PlanSpec;
  /** Which of a candidate's seats is this plan's. */
  readonly position: number;
  /** Submissions are drawn by weight: their number of available chunks matters, not only whether there are any. */
  readonly isWeighted: boolean;
  /** Other levels on top would be better by far, and the tree is too large to turn it over: a new plan is to take its place. */
  isOutgrown = false;
  /** Somebody waits for what gets free. */
  isWatched = false;
  readonly #random: Random;
  readonly #onFreed: () => void;
  /** Those of the selected keys, then the others. */
  readonly #keys: readonly MetaKey<C>[];
  #seating: Seating<C>;
  readonly #dirtyRanks: Rank<C>[] = [];
  readonly #dirtySeats: Seat<C>[] = [];
  /** The tree is looked at again when it has as many seats. */
  #seatsToTurn = SEATS_TO_TURN;
  readonly #freed = new Map<Limit, Freed<C>>();
  /** The tree was turned over: its limits are others. */
  #hasTurned = false;
  /** Whose groups are passed over. */
  #selection: Selection = ALL;
  /** Groups that are excluded for the moment. */
  readonly #passedOver: Group<C>[] = [];

  /** `onFreed`: a value of a watched plan may be below its limit again. */
  constructor(
    spec: PlanSpec,
    position: number,
    table: MetaTable<C>,
    random: Random,
    onFreed: () => void = () => undefined,
  ) {
    this.spec = spec;
    this.position = position;
    this.isWeighted = spec.base === 'random';
    this.#random = random;
    this.#onFreed = onFreed;
    const { only, except, limits, ranks } = spec;
    const names = new Set([...only, ...except, ...limits.keys(), ...ranks.map(({ key }) => key)]);
    this.#keys = Array.from(names, (name) => table.useKey(name));
    this.#seating = this.#newSeating((key) => key.values.size);
  }

  /** Changes that wait to be looked at. */
  get changesPending(): number {
    return this.#dirtySeats.length;
  }

  /** Candidates that are seated, as of the last look. */
  get seatsTotal(): number {
    return this.#seating.seatsTotal;
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

  /**
   * The candidate that comes first now among those selected, drawn where the base order is random; undefined if there
   * is none. To be followed by `release` before somebody else asks, and before anything else happens than that chunks
   * of the candidate are taken.
   */
  first(selection: Selection): C | undefined {
    this.#select(selection);
    this.catchUp();
    const { root } = this.#seating;
    if (this.spec.only.length === 0)
      return (this.isWeighted ? this.#draw(root) : this.#best(root))?.candidate;
    const starts = this.#startsOf(selection);
    return (this.isWeighted ? this.#drawAmong(starts) : this.#bestAmong(starts))?.candidate;
  }

  /** For checks: one that may come first now, and the weight of all that may. Draws nothing. */
  peek(selection: Selection): { readonly candidate: C | undefined; readonly weight: number } {
    this.#select(selection);
    this.catchUp();
    const tied = this.#tiedAmong(this.#startsOf(selection));
    const candidate = tied.length === 0 ? undefined : this.#best(tied[0]!)?.candidate;
    const weight = tied.reduce((sum, start) => sum + start.weight, 0);
    this.release();
    return { candidate, weight };
  }

  /** Alternatives of one strategy may ask the same plan in turn: what one passes over is there for the next. */
  #select(selection: Selection): void {
    if (selection !== this.#selection) this.release();
    this.#selection = selection;
  }

  /** The selection does not matter any more. */
  release(): void {
    const groups = this.#passedOver;
    if (groups.length === 0) return;
    for (const group of groups) if (group.absence === 'excluded') this.#seating.comeBack(group);
    groups.length = 0;
  }

  /** Looks at every change that it was told of. `mayTurn`: also at the shape of the tree, which is to be large enough. */
  catchUp(mayTurn = true): void {
    const seats = this.#dirtySeats;
    for (let i = 0; i < seats.length; i++) this.#place(seats[i]!);
    if (seats.length > 0) seats.length = 0;
    const ranks = this.#dirtyRanks;
    for (let i = 0; i < ranks.length; i++) this.#lower(ranks[i]!);
    if (ranks.length > 0) ranks.length = 0;
    if (mayTurn && this.seatsTotal >= this.#seatsToTurn && this.#keys.length > 1) this.#turnIfBetter();
  }

  /** What got free since the last call, by limit; null: whoever waits for any is to look. */
  takeFreed(): ReadonlyMap<Limit, Freed<C>> | null {
    this.catchUp();
    const freed = this.#hasTurned ? null : new Map(this.#freed);
    this.#freed.clear();
    this.#hasTurned = false;
    return freed;
  }

  /** Everybody has been taken in. The levels are as a new plan would have them, so a large tree stays as it is. */
  built(): void {
    this.catchUp(false);
    if (this.seatsTotal > SEATS_TURNED_MAX) this.#seatsToTurn = 2 * this.seatsTotal;
    this.catchUp();
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
    for (const level of this.#seating.levels) {
      if (!isTold(level)) continue;
      for (const [metaValue, rank] of level.ranks) {
        metaValue?.listeners.splice(metaValue.listeners.indexOf(rank), 1);
        yield;
      }
    }
    this.#seating = new Seating(this.#seating);
    for (const key of this.#keys) table.releaseKey(key);
  }

  /** Everybody who is seated, in no particular order. */
  seats(): Generator<Seat<C>> {
    return this.#seating.seats();
  }

  /** The groups of the selected values, or all. */
  #startsOf({ only }: Selection): readonly Group<C>[] {
    const starts: Group<C>[] = [];
    this.#find(this.#seating.root, 0, only, starts);
    return starts;
  }

  #find(group: Group<C>, depth: number, only: Selection['only'], starts: Group<C>[]): void {
    if (depth === only.length) {
      starts.push(group);
      return;
    }
    const { key, ranks } = this.#seating.levels[depth]!;
    const groups = group.groupsByRank!;
    const values = only[depth]!;
    if (groups.size < values.size) {
      for (const [{ metaValue }, inner] of groups) {
        if (metaValue === null || !values.has(metaValue.value) || !this.#isOpen(inner)) continue;
        this.#find(inner, depth + 1, only, starts);
      }
      return;
    }
    for (const value of values) {
      const metaValue = key.values.get(value);
      const rank = metaValue === undefined ? undefined : ranks.get(metaValue);
      const inner = rank === undefined ? undefined : groups.get(rank);
      if (inner !== undefined && this.#isOpen(inner)) this.#find(inner, depth + 1, only, starts);
    }
  }

  /** A group that is asked for by its value: its count is right from now on. False if the value is at its limit. */
  #isOpen(group: Group<C>): boolean {
    const rank = group.rank!;
    if (rank.isAtLimit) {
      if (group.absence === null) this.#seating.setAside(group, 'at_limit');
      return false;
    }
    if (rank.level.isCounted && group.count !== rank.inFlight) this.#seating.recount(group);
    return true;
  }

  /** Corrects what it finds on its way. */
  #best(start: Group<C>): Seat<C> | undefined {
    let group = start;
    while (group.groups !== null) {
      const next: Group<C> | undefined = group.groups.best;
      if (next === undefined) return undefined;
      group = this.#isFine(next) ? next : start;
    }
    return group.seats!.best;
  }

  #bestAmong(starts: readonly Group<C>[]): Seat<C> | undefined {
    const [start] = this.#tiedAmong(starts);
    return start === undefined ? undefined : this.#best(start);
  }

  /** Whatever counts right and ties at the top was there all the time: correcting others changes no one's chances. */
  #draw(start: Group<C>): Seat<C> | undefined {
    let seat: Seat<C> | undefined;
    while (seat === undefined && start.isOffering) {
      seat = this.#drawAt(start, this.#random.next() * start.weight);
    }
    return seat;
  }

  #drawAmong(starts: readonly Group<C>[]): Seat<C> | undefined {
    if (starts.length === 1) return this.#draw(starts[0]!);
    for (;;) {
      const tied = this.#tiedAmong(starts);
      let weight = 0;
      for (const start of tied) weight += start.weight;
      if (weight === 0) return undefined;
      let point = this.#random.next() * weight;
      let at = 0;
      while (at < tied.length - 1 && point >= tied[at]!.weight) point -= tied[at++]!.weight;
      const seat = this.#drawAt(tied[at]!, point);
      if (seat !== undefined) return seat;
    }
  }

  /** Those whose best ones rank highest. */
  #tiedAmong(starts: readonly Group<C>[]): Group<C>[] {
    const { compareTops } = this.#seating.shape;
    let tied: Group<C>[] = [];
    for (const start of starts) {
      if (this.#best(start) === undefined) continue;
      const order = tied.length === 0 ? -1 : compareTops(start, tied[0]!);
      if (order < 0) tied = [start];
      else if (order === 0) tied.push(start);
    }
    return tied;
  }

  /** `point`: in [0, weight). undefined if something had to be corrected on the way: draw again. */
  #drawAt(start: Group<C>, point: number): Seat<C> | undefined {
    let group = start;
    let rest = point;
    while (group.groups !== null) {
      const drawn: { item: Group<C>; rest: number } = group.groups.draw(rest)!;
      if (!this.#isFine(drawn.item)) return undefined;
      group = drawn.item;
      rest = drawn.rest;
    }
    return group.seats!.draw(rest)?.item;
  }

  /**
   * Whether a group that has come to the top may be there. If not, it counts what is in flight from now on, and may not be
   * on top any more; or it is set aside, because its value is at its limit, or is excluded.
   */
  #isFine(group: Group<C>): boolean {
    const rank = group.rank!;
    const { isCounted } = rank.level;
    if (rank.isAtLimit) {
      this.#seating.setAside(group, 'at_limit');
      return false;
    }
    if (this.#selection.except.length > 0 && this.#isExcluded(group)) {
      this.#seating.setAside(group, 'excluded');
      this.#passedOver.push(group);
      return false;
    }
    if (!isCounted || group.count === rank.inFlight) return true;
    this.#seating.recount(group);
    return false;
  }

  #isExcluded({ depth, rank }: Group<C>): boolean {
    const values = this.#selection.except[depth - 1 - this.spec.only.length];
    return values !== undefined && rank!.metaValue !== null && values.has(rank!.metaValue.value);
  }

  #place(seat: Seat<C>): void {
    seat.isDirty = false;
    const { candidate, group } = seat;
    if (candidate.chunksAvailable > 0) {
      if (group === null) this.#seating.enter(seat);
      else if (this.isWeighted) this.#seating.weighAnew(seat);
      return;
    }
    candidate.seats[this.position] = undefined;
    if (group !== null) this.#seating.leave(seat);
  }

  #fell(rank: Rank<C>): void {
    this.#dirtyRanks.push(rank);
    if (this.isWatched && rank.isLimiting) this.#onFreed();
  }

  /** None of its groups counts more than there is, and none is set aside in vain. */
  #lower(rank: Rank<C>): void {
    rank.isDirty = false;
    for (let group = rank.groups.first; group !== undefined && group.count > rank.inFlight; ) {
      this.#seating.recount(group);
      group = rank.groups.first;
    }
    if (rank.isLimiting && !rank.isAtLimit) {
      const groups = [...rank.setAside];
      for (const group of groups) this.#seating.comeBack(group);
      if (this.isWatched) this.#tellFreed(rank, groups);
    }
    // What fell and rose again before this look may leave groups that count right, but more than was told.
    rank.metaValue?.counted(rank.countedMax);
  }

  #tellFreed(rank: Rank<C>, groups: readonly Group<C>[]): void {
    const { only, except } = this.spec;
    const freed = this.#freed.get(rank) ?? { candidates: [], isForAll: false };
    this.#freed.set(rank, freed);
    for (const group of groups) {
      if (!group.isOffering) continue;
      // Of the keys further down, those in it have different values.
      const isOneOfMany = freed.candidates.length === FREED_MAX;
      if (isOneOfMany || group.depth < only.length + except.length) freed.isForAll = true;
      else freed.candidates.push(group.bestLeaf.seats!.best!.candidate);
    }
  }

  /** Builds the tree anew if a lower level has far fewer values than one above it. */
  #turnIfBetter(): void {
    this.#seatsToTurn = 2 * this.seatsTotal;
    const { levels } = this.#seating;
    const fixed = this.spec.only.length + this.spec.except.length;
    const isFine = levels.every(
      (level, i) => i <= fixed || 2 * level.ranks.size >= levels[i - 1]!.ranks.size,
    );
    if (isFine) return;
    if (this.seatsTotal > SEATS_TURNED_MAX) {
      this.isOutgrown = true;
      return;
    }
    const sizes = new Map(levels.map((level) => [level.key, level.ranks.size]));
    // All of them first: seats move when others leave.
    const seats = [...this.seats()];
    for (const seat of seats) {
      this.#seating.leave(seat);
      seat.candidate.seats[this.position] = undefined;
    }
    this.#seating = this.#newSeating((key) => sizes.get(key)!);
    for (const { candidate } of seats) this.candidateChanged(candidate);
    this.catchUp();
    this.#hasTurned = true;
    if (this.isWatched) this.#onFreed();
  }

  /** `sizeOf`: how many values the candidates have of a key. */
  #newSeating(sizeOf: (key: MetaKey<C>) => number): Seating<C> {
    const { only, except, limits, ranks, base } = this.spec;
    const fixed = this.#keys.slice(0, only.length + except.length);
    const others = this.#keys.slice(fixed.length).sort((a, b) => sizeOf(a) - sizeOf(b));
    const levels = [...fixed, ...others].map(
      (key): Level<C> => ({
        key,
        isCounted: ranks.some((rank) => rank.key === key.name && rank.by === 'in_flight'),
        max: limits.get(key.name) ?? Number.POSITIVE_INFINITY,
        ranks: new Map(),
        fell: (rank) => this.#fell(rank),
      }),
    );
    const depthOf = (name: string) => levels.findIndex(({ key }) => key.name === name) + 1;
    const depthRanks = ranks.map(({ key, by }) => ({ depth: depthOf(key), by }));
    return new Seating({ levels, shape: treeShape(base, levels.length, depthRanks) });
  }
}
