import type { Carrier, InFlightListener, MetaKey, MetaValue } from './metadata.ts';
import { type Placed, PlacedHeap } from './placed-heap.ts';
import type { Slotted } from './slots.ts';
import { SumTree } from './sum-tree.ts';
import { type Rules, Tournament } from './tournament.ts';

/** What a plan puts in order: a submission. */
export interface Candidate<C extends Candidate<C>> extends Carrier {
  /** The upper and the lower half of the id, as small integers in the ids' order: cheaper to compare than bigints. */
  readonly orderHigh: number;
  readonly orderLow: number;
  readonly values: readonly MetaValue<C>[];
  /** A plan offers it while this is above 0. */
  readonly chunksAvailable: number;
  /** Its place in each plan, by the plan's position; the plans' own. */
  readonly seats: (Seat<C> | undefined)[];
}

/** The place of a candidate in one plan. */
export class Seat<C extends Candidate<C>> implements Slotted {
  readonly candidate: C;
  slot = -1;
  /** Where it sits; null while it does not. */
  group: Group<C> | null = null;
  /** The plan has yet to look at it. */
  isDirty = false;

  constructor(candidate: C) {
    this.candidate = candidate;
  }
}

/**
 * A value on one level of a plan. Its groups do not follow each rise of its in-flight count: they may count less than
 * there is, and are corrected when they come to the top (see `Plan`). They never count more.
 */
export class Rank<C extends Candidate<C>> implements InFlightListener {
  readonly level: Level<C>;
  /** null: for those who have no value, which counts as 0. */
  readonly metaValue: MetaValue<C> | null;
  /** All groups of the plan that have this value on this level, the highest count first. */
  readonly groups: PlacedHeap<Group<C>> = new PlacedHeap(countsMore);
  isDirty = false;

  constructor(level: Level<C>, metaValue: MetaValue<C> | null) {
    this.level = level;
    this.metaValue = metaValue;
  }

  get inFlight(): number {
    return this.metaValue === null ? 0 : this.metaValue.inFlight;
  }

  inFlightFell(): void {
    if (this.isDirty || this.groups.first!.count <= this.inFlight) return;
    this.isDirty = true;
    this.level.dirtyRanks.push(this);
  }
}

/** A rank key of a plan. */
export interface Level<C extends Candidate<C>> {
  readonly key: MetaKey<C>;
  readonly ranks: Map<MetaValue<C> | null, Rank<C>>;
  /** The plan's list of those of whose groups some count too much now. */
  readonly dirtyRanks: Rank<C>[];
}

/**
 * Those who share their values on the first levels of a plan: either divided by their value on the next level,
 * or, on the last one, the seats themselves.
 */
export class Group<C extends Candidate<C>> implements Slotted, Placed {
  /** null for the root. */
  readonly rank: Rank<C> | null;
  readonly parent: Group<C> | null;
  readonly seats: Tournament<Seat<C>> | SumTree<Seat<C>> | null;
  readonly groups: Tournament<Group<C>> | null;
  readonly groupsByRank: Map<Rank<C>, Group<C>> | null;
  /** In flight of the rank's value, as of the last look. */
  count: number;
  slot = -1;
  /** In the rank's groups. */
  place = -1;

  constructor(rank: Rank<C> | null, parent: Group<C> | null, isLeaf: boolean, rules: PlanRules<C>) {
    this.rank = rank;
    this.parent = parent;
    this.count = rank?.inFlight ?? 0;
    this.seats = isLeaf ? rules.newSeats() : null;
    this.groups = isLeaf ? null : new Tournament(rules.groups);
    this.groupsByRank = isLeaf ? null : new Map();
  }

  get weight(): number {
    return this.seats === null ? this.groups!.weight : this.seats.weight;
  }

  get isEmpty(): boolean {
    return (this.seats === null ? this.groups!.size : this.seats.size) === 0;
  }
}

export type BaseOrder = 'oldest' | 'newest' | 'random';

/** How seats and groups of a plan compare. */
export interface PlanRules<C extends Candidate<C>> {
  readonly newSeats: () => Tournament<Seat<C>> | SumTree<Seat<C>>;
  readonly groups: Rules<Group<C>>;
}

/**
 * Groups compare by their own count, then, because equal counts of *different* values are a tie too, by the best that
 * is in them, level by level down to the seats.
 */
export function planRules<C extends Candidate<C>>(base: BaseOrder): PlanRules<C> {
  if (base === 'random') {
    return {
      newSeats: () => new SumTree((seat) => seat.candidate.chunksAvailable),
      groups: {
        first: (group) => group.count,
        second: (group) => (group.groups === null ? 0 : group.groups.best!.count),
        third: (a, b) => compareGroups(a, b, null),
        weigh: (group) => group.weight,
      },
    };
  }
  const sign = base === 'oldest' ? 1 : -1;
  const seats: Rules<Seat<C>> = {
    first: (seat) => sign * seat.candidate.orderHigh,
    second: (seat) => sign * seat.candidate.orderLow,
    third: () => 0,
    weigh: null,
  };
  return {
    newSeats: () => new Tournament(seats),
    groups: {
      first: (group) => group.count,
      // Of the best seat's order as much as fits into a double.
      second: (group) => (group.groups === null ? roughOrder(group, seats) : group.groups.best!.count),
      third: (a, b) => compareGroups(a, b, seats),
      weigh: null,
    },
  };
}

function roughOrder<C extends Candidate<C>>(leaf: Group<C>, seats: Rules<Seat<C>>): number {
  const best = leaf.seats!.best!;
  return seats.first(best) * 2 ** 32 + seats.second(best);
}

/** `seats` is null where they tie all. */
function compareGroups<C extends Candidate<C>>(
  a: Group<C>,
  b: Group<C>,
  seats: Rules<Seat<C>> | null,
): number {
  if (a.count !== b.count) return a.count - b.count;
  if (a.groups !== null) return compareGroups(a.groups.best!, b.groups!.best!, seats);
  if (seats === null) return 0;
  const one = a.seats!.best!;
  const other = b.seats!.best!;
  return seats.first(one) - seats.first(other) || seats.second(one) - seats.second(other);
}

function countsMore<C extends Candidate<C>>(a: Group<C>, b: Group<C>): boolean {
  return a.count > b.count;
}
