import type { MetaKey } from '../metadata.ts';
import { type Candidate, Group, type Level, Rank, type Seat, type TreeShape } from './tree.ts';

/** What a plan has to know of a tree. */
export interface SeatingOptions<C extends Candidate<C>> {
  /** From the uppermost to the lowest. */
  readonly levels: readonly Level<C>[];
  readonly shape: TreeShape<C>;
}

/**
 * The tree of a plan: who sits where, and which groups are offered. Groups of a value are in their parent's tournament
 * unless they have nobody to offer or are absent, and each change at the top of one settles those above it.
 */
export class Seating<C extends Candidate<C>> {
  readonly root: Group<C>;
  readonly levels: readonly Level<C>[];
  readonly shape: TreeShape<C>;
  seatsTotal = 0;

  constructor({ levels, shape }: SeatingOptions<C>) {
    this.levels = levels;
    this.shape = shape;
    this.root = new Group(null, null, shape);
  }

  enter(seat: Seat<C>): void {
    let group = this.root;
    for (let depth = 0; depth < this.levels.length; depth++) {
      const rank = this.#rankOf(seat.candidate, this.levels[depth]!);
      group = group.groupsByRank!.get(rank) ?? this.#newGroup(rank, group);
    }
    seat.group = group;
    this.seatsTotal++;
    if (group.seats!.add(seat)) this.#settleUpwards(group);
  }

  leave(seat: Seat<C>): void {
    const group = seat.group!;
    seat.group = null;
    this.seatsTotal--;
    if (group.seats!.remove(seat)) this.#settleUpwards(group);
  }

  /** Its weight has changed. */
  weighAnew(seat: Seat<C>): void {
    const group = seat.group!;
    if (group.seats!.update(seat)) this.#settleUpwards(group);
  }

  /** The group counts what is in flight of its rank's value from now on. */
  recount(group: Group<C>): void {
    const rank = group.rank!;
    group.count = rank.inFlight;
    rank.groups.update(group);
    rank.metaValue?.counted(group.count);
    if (group.slot < 0) return;
    const parent = group.parent!;
    if (parent.groups!.update(group)) this.#settleUpwards(parent);
  }

  /** It is not offered any more, until `comeBack`. */
  setAside(group: Group<C>, absence: 'at_limit' | 'excluded'): void {
    group.absence = absence;
    if (absence === 'at_limit') this.#waitForRoom(group);
    if (group.slot < 0) return;
    const parent = group.parent!;
    if (parent.groups!.remove(group)) this.#settleUpwards(parent);
  }

  /** It is offered again, if there is anybody in it. */
  comeBack(group: Group<C>): void {
    if (group.absence === 'at_limit') group.rank!.setAside.delete(group);
    group.absence = null;
    if (!group.isOffering) return;
    const parent = group.parent!;
    if (parent.groups!.add(group)) this.#settleUpwards(parent);
  }

  /** Everybody who is seated, in no particular order. */
  seats(): Generator<Seat<C>> {
    return seatsOf(this.root);
  }

  #rankOf(candidate: C, level: Level<C>): Rank<C> {
    const metaValue = metaValueOf(candidate, level.key);
    let rank = level.ranks.get(metaValue);
    if (rank === undefined) {
      rank = new Rank(level, metaValue);
      level.ranks.set(metaValue, rank);
      if (isTold(level)) metaValue?.listeners.push(rank);
    }
    return rank;
  }

  /** It joins its parent's tournament as soon as there is somebody in it, unless its value is at its limit. */
  #newGroup(rank: Rank<C>, parent: Group<C>): Group<C> {
    const group = new Group(rank, parent, this.shape);
    parent.groupsByRank!.set(rank, group);
    rank.groupsTotal++;
    if (rank.level.isCounted) {
      rank.groups.add(group);
      rank.metaValue?.counted(group.count);
    }
    if (rank.isAtLimit) {
      group.absence = 'at_limit';
      this.#waitForRoom(group);
    }
    return group;
  }

  #waitForRoom(group: Group<C>): void {
    const rank = group.rank!;
    rank.setAside.add(group);
    rank.metaValue!.counted(rank.level.max);
  }

  /** Something at the top of `from` has changed, or it has got empty. */
  #settleUpwards(from: Group<C>): void {
    let group = from;
    for (let parent = group.parent; parent !== null; parent = group.parent) {
      const siblings = parent.groups!;
      let isTopChanged = false;
      if (!group.isOffering) isTopChanged = group.slot >= 0 && siblings.remove(group);
      else if (group.absence === null)
        isTopChanged = group.slot < 0 ? siblings.add(group) : siblings.update(group);
      if (group.isEmpty) this.#removeGroup(group, parent);
      if (!isTopChanged && !parent.isEmpty) return;
      group = parent;
    }
  }

  #removeGroup(group: Group<C>, parent: Group<C>): void {
    const rank = group.rank!;
    parent.groupsByRank!.delete(rank);
    rank.groupsTotal--;
    if (rank.level.isCounted) rank.groups.remove(group);
    rank.setAside.delete(group);
    if (rank.groupsTotal === 0 && !rank.isAwaited) rank.leave();
  }
}

/** Whether ranks of the level listen to their values. */
export function isTold<C extends Candidate<C>>({ isCounted, max }: Level<C>): boolean {
  return isCounted || max !== Number.POSITIVE_INFINITY;
}

function metaValueOf<C extends Candidate<C>>(candidate: C, key: MetaKey<C>) {
  for (const metaValue of candidate.values) if (metaValue.key === key) return metaValue;
  return null;
}

function* seatsOf<C extends Candidate<C>>(group: Group<C>): Generator<Seat<C>> {
  if (group.seats !== null) yield* group.seats;
  for (const inner of group.groupsByRank?.values() ?? []) yield* seatsOf(inner);
}
