import type { Carrier, InFlightListener, MetaKey, MetaValue } from '../metadata.ts';
import type { Limit } from './limit.ts';
import { type Placed, PlacedHeap } from './placed-heap.ts';
import type { Slotted } from './slots.ts';
import type { SumTree } from './sum-tree.ts';
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
 * there is, and are corrected when they come to the top (see `Plan`). They never count more. Nor do they follow at once
 * when the value reaches its limit: a group is set aside when it comes to the top, or comes anew, and all are back as
 * soon as the value is below it again.
 */
export class Rank<C extends Candidate<C>> implements InFlightListener, Limit {
  readonly level: Level<C>;
  /** null: for those who have no value, which counts as 0. */
  readonly metaValue: MetaValue<C> | null;
  /** The value as two numbers, in the values' order. */
  readonly valueHigh: number;
  readonly valueLow: number;
  /** All groups of the plan that have this value on this level. */
  groupsTotal = 0;
  /** The same, the highest count first, if they are counted. */
  readonly groups: PlacedHeap<Group<C>> = new PlacedHeap(countsMore);
  /** Those that are not offered because the value is at its limit. */
  readonly setAside = new Set<Group<C>>();
  /** Some who wait are to look when there is room below the limit. */
  isAwaited = false;
  isDirty = false;

  constructor(level: Level<C>, metaValue: MetaValue<C> | null) {
    this.level = level;
    this.metaValue = metaValue;
    const value = metaValue?.value ?? 0n;
    this.valueHigh = Number(BigInt.asIntN(32, value >> 32n));
    this.valueLow = Number(BigInt.asUintN(32, value));
  }

  get inFlight(): number {
    return this.metaValue === null ? 0 : this.metaValue.inFlight;
  }

  /** Who has no value is not limited. */
  get isAtLimit(): boolean {
    return this.metaValue !== null && this.metaValue.inFlight >= this.level.max;
  }

  /** The most that it needs to be told of. */
  get countedMax(): number {
    const counted = this.groups.first?.count ?? 0;
    return this.isLimiting ? Math.max(counted, this.level.max) : counted;
  }

  /** Somebody wants to know when there is room below the limit. */
  get isLimiting(): boolean {
    return this.isAwaited || this.setAside.size > 0;
  }

  awaitRoom(): void {
    this.isAwaited = true;
    this.metaValue?.counted(this.level.max);
  }

  forgoRoom(): void {
    this.isAwaited = false;
    if (this.groupsTotal === 0) this.leave();
  }

  /** Nobody has its value in this plan any more. */
  leave(): void {
    this.level.ranks.delete(this.metaValue);
    const listeners = this.metaValue?.listeners ?? [];
    const at = listeners.indexOf(this);
    if (at >= 0) listeners.splice(at, 1);
  }

  inFlightFell(): void {
    if (this.isDirty || this.countedMax <= this.inFlight) return;
    this.isDirty = true;
    this.level.fell(this);
  }
}

/** A key of a plan. */
export interface Level<C extends Candidate<C>> {
  readonly key: MetaKey<C>;
  /** Ranked by in-flight counts. */
  readonly isCounted: boolean;
  /** How many chunks of a value may be in flight; Infinity: any number. */
  readonly max: number;
  readonly ranks: Map<MetaValue<C> | null, Rank<C>>;
  /** Some of the rank's groups count too much, or are set aside though there is room. */
  readonly fell: (rank: Rank<C>) => void;
}

/**
 * Those who share their values on the upper levels of a plan: either divided by their value on the next level, or, on
 * the lowest one, the seats themselves.
 */
export class Group<C extends Candidate<C>> implements Slotted, Placed {
  /** null for the root. */
  readonly rank: Rank<C> | null;
  readonly parent: Group<C> | null;
  /** 0 for the root. */
  readonly depth: number;
  readonly seats: Tournament<Seat<C>> | SumTree<Seat<C>> | null;
  readonly groups: Tournament<Group<C>> | null;
  readonly groupsByRank: Map<Rank<C>, Group<C>> | null;
  /** The groups from the root down to this one; only of those with seats. */
  readonly lineage: readonly Group<C>[];
  /** In flight of the rank's value, as of the last look; 0 where that is not counted. */
  count: number;
  /** Why it is not in its parent's tournament although it could offer something. */
  absence: 'at_limit' | 'excluded' | null = null;
  slot = -1;
  /** In the rank's groups. */
  place = -1;

  constructor(rank: Rank<C> | null, parent: Group<C> | null, shape: TreeShape<C>) {
    this.rank = rank;
    this.parent = parent;
    this.depth = parent === null ? 0 : parent.depth + 1;
    this.count = rank?.level.isCounted === true ? rank.inFlight : 0;
    const isLeaf = this.depth === shape.depth;
    this.seats = isLeaf ? shape.newSeats() : null;
    this.groups = isLeaf ? null : new Tournament(shape.groupRules[this.depth]!);
    this.groupsByRank = isLeaf ? null : new Map();
    this.lineage = isLeaf ? lineageOf(this) : [];
  }

  get weight(): number {
    return this.seats === null ? this.groups!.weight : this.seats.weight;
  }

  /** Nobody is in it. */
  get isEmpty(): boolean {
    return (this.seats === null ? this.groupsByRank!.size : this.seats.size) === 0;
  }

  /** Somebody in it may be taken. */
  get isOffering(): boolean {
    return (this.seats === null ? this.groups!.size : this.seats.size) > 0;
  }

  /** Where the best seat below this group, which is offering, is. */
  get bestLeaf(): Group<C> {
    let group: Group<C> = this;
    while (group.groups !== null) group = group.groups.best!;
    return group;
  }
}

/** How the groups of a plan are put together. */
export interface TreeShape<C extends Candidate<C>> {
  /** Levels below the root. */
  readonly depth: number;
  readonly newSeats: () => Tournament<Seat<C>> | SumTree<Seat<C>>;
  /** For the groups below one of depth i. */
  readonly groupRules: readonly Rules<Group<C>>[];
  /** Compares the best seats of two groups that are offering, wherever they are. */
  readonly compareTops: (a: Group<C>, b: Group<C>) => number;
}

function lineageOf<C extends Candidate<C>>(leaf: Group<C>): readonly Group<C>[] {
  const lineage: Group<C>[] = [];
  for (let group: Group<C> | null = leaf; group !== null; group = group.parent) lineage.unshift(group);
  return lineage;
}

function countsMore<C extends Candidate<C>>(a: Group<C>, b: Group<C>): boolean {
  return a.count > b.count;
}
