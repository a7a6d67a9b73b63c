import type { Carrier, InFlightListener, MetaKey, MetaValue } from './metadata.ts';
import { type Contestant, type Rules, Tournament } from './tournament.ts';

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
export class Seat<C extends Candidate<C>> implements Contestant {
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

/** A value on one level of a plan, with its in-flight count as the plan last looked at it. */
export class Rank<C extends Candidate<C>> implements InFlightListener {
  readonly level: Level<C>;
  /** null: for those who have no value, which counts as 0. */
  readonly metaValue: MetaValue<C> | null;
  count: number;
  isDirty = false;
  /** All groups of the plan that have this value on this level. */
  readonly groups: Group<C>[] = [];

  constructor(level: Level<C>, metaValue: MetaValue<C> | null) {
    this.level = level;
    this.metaValue = metaValue;
    this.count = metaValue?.inFlight ?? 0;
  }

  inFlightChanged(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.level.dirtyRanks.push(this);
  }
}

/** A rank key of a plan. */
export interface Level<C extends Candidate<C>> {
  readonly key: MetaKey<C>;
  readonly ranks: Map<MetaValue<C> | null, Rank<C>>;
  /** The plan's list of those whose count has changed. */
  readonly dirtyRanks: Rank<C>[];
}

/**
 * Those who share their values on the first levels of a plan: either divided by their value on the next level,
 * or, on the last one, the seats themselves.
 */
export class Group<C extends Candidate<C>> implements Contestant {
  /** null for the root. */
  readonly rank: Rank<C> | null;
  readonly parent: Group<C> | null;
  readonly seats: Tournament<Seat<C>> | null;
  readonly groups: Tournament<Group<C>> | null;
  readonly groupsByRank: Map<Rank<C>, Group<C>> | null;
  slot = -1;
  /** Where it is in the groups of its rank. */
  positionInRank = -1;

  constructor(rank: Rank<C> | null, parent: Group<C> | null, isLeaf: boolean, rules: PlanRules<C>) {
    this.rank = rank;
    this.parent = parent;
    this.seats = isLeaf ? new Tournament(rules.seats) : null;
    this.groups = isLeaf ? null : new Tournament(rules.groups);
    this.groupsByRank = isLeaf ? null : new Map();
  }

  get weight(): number {
    return this.seats === null ? this.groups!.weight : this.seats.weight;
  }

  get isEmpty(): boolean {
    return (this.seats ?? this.groups!).size === 0;
  }
}

export type BaseOrder = 'oldest' | 'newest' | 'random';

/** How seats and groups of a plan compare. */
export interface PlanRules<C extends Candidate<C>> {
  readonly seats: Rules<Seat<C>>;
  readonly groups: Rules<Group<C>>;
}

/**
 * Groups compare by their own count, then, because equal counts of *different* values are a tie too, by the best that
 * is in them, level by level down to the seats.
 */
export function planRules<C extends Candidate<C>>(base: BaseOrder): PlanRules<C> {
  const compareSeats = base === 'oldest' ? older<C> : base === 'newest' ? newer<C> : () => 0;
  const isDrawn = base === 'random';
  const compareGroups = (a: Group<C>, b: Group<C>): number => {
    const byCount = a.rank!.count - b.rank!.count;
    if (byCount !== 0) return byCount;
    if (a.groups !== null) return compareGroups(a.groups.best!, b.groups!.best!);
    return isDrawn ? 0 : compareSeats(a.seats!.best!, b.seats!.best!);
  };
  return {
    seats: { compare: compareSeats, weigh: isDrawn ? (seat) => seat.candidate.chunksAvailable : null },
    groups: { compare: compareGroups, weigh: isDrawn ? (group) => group.weight : null },
  };
}

function older<C extends Candidate<C>>(a: Seat<C>, b: Seat<C>): number {
  const high = a.candidate.orderHigh - b.candidate.orderHigh;
  return high !== 0 ? high : a.candidate.orderLow - b.candidate.orderLow;
}

function newer<C extends Candidate<C>>(a: Seat<C>, b: Seat<C>): number {
  return older(b, a);
}
