import { SumTree } from './sum-tree.ts';
import { type Rules, Tournament } from './tournament.ts';
import type { Candidate, Group, Seat, TreeShape } from './tree.ts';

/** The order of those whose ranks tie. */
export type BaseOrder = 'oldest' | 'newest' | 'random';

/** What the levels of a tree at one depth are ranked by. */
export interface DepthRank {
  /** From 1: below the root. */
  readonly depth: number;
  readonly by: 'in_flight' | 'value';
}

/** A number of a group at its depth, the lowest first. */
interface Term<C extends Candidate<C>> {
  readonly depth: number;
  readonly of: (group: Group<C>) => number;
}

/**
 * How groups and seats of a plan compare.
 *
 * Two groups compare by the best seat in each: by its ranks in the order of their importance, then in base order. (Not by
 * their own ranks first and inside afterwards: equal ranks of *different* values are a tie, and then the next key
 * decides between them.) Groups that share a parent share its values, so only the ranks of their own level and those
 * below matter.
 *
 * @param levels of the tree, below its root
 * @param ranks by importance
 */
export function treeShape<C extends Candidate<C>>(
  base: BaseOrder,
  levels: number,
  ranks: readonly DepthRank[],
): TreeShape<C> {
  const terms = ranks.flatMap((rank) => termsOf<C>(rank));
  const seatRules = base === 'random' ? null : orderOfAge<C>(base === 'oldest' ? 1 : -1);
  return {
    depth: levels,
    newSeats: () =>
      seatRules === null ? new SumTree((seat) => seat.candidate.chunksAvailable) : new Tournament(seatRules),
    groupRules: Array.from({ length: levels }, (_, parentDepth) =>
      groupRules(
        terms.filter((term) => term.depth > parentDepth),
        seatRules,
      ),
    ),
    compareTops: (a, b) => compareLeaves(a.bestLeaf, b.bestLeaf, terms, seatRules),
  };
}

/** A value has 64 bits, a number 53: two numbers are exact. */
function termsOf<C extends Candidate<C>>({ depth, by }: DepthRank): readonly Term<C>[] {
  if (by === 'in_flight') return [{ depth, of: (group) => group.count }];
  return [
    { depth, of: (group) => -group.rank!.valueHigh },
    { depth, of: (group) => -group.rank!.valueLow },
  ];
}

function orderOfAge<C extends Candidate<C>>(sign: 1 | -1): Rules<Seat<C>> {
  return {
    first: (seat) => sign * seat.candidate.orderHigh,
    second: (seat) => sign * seat.candidate.orderLow,
    third: null,
    weigh: null,
  };
}

/** `terms`: those that matter, the most important first. `seatRules` is null where seats are drawn. */
function groupRules<C extends Candidate<C>>(
  terms: readonly Term<C>[],
  seatRules: Rules<Seat<C>> | null,
): Rules<Group<C>> {
  const [mostImportant, next] = terms;
  const isDecided = terms.length <= 2 && seatRules === null;
  return {
    first: mostImportant === undefined ? () => 0 : (group) => termOf(group, mostImportant),
    second: next === undefined ? orderOfBest(seatRules) : (group) => termOf(group, next),
    third: isDecided ? null : (a, b) => compareLeaves(a.bestLeaf, b.bestLeaf, terms, seatRules),
    weigh: seatRules === null ? (group) => group.weight : null,
  };
}

/** As much of the best seat's order as fits into a double. */
function orderOfBest<C extends Candidate<C>>(seatRules: Rules<Seat<C>> | null): (group: Group<C>) => number {
  if (seatRules === null) return () => 0;
  return (group) => {
    const best = group.bestLeaf.seats!.best!;
    return seatRules.first(best) * 2 ** 32 + seatRules.second(best);
  };
}

function termOf<C extends Candidate<C>>(group: Group<C>, { depth, of }: Term<C>): number {
  return of(group.depth === depth ? group : group.bestLeaf.lineage[depth]!);
}

function compareLeaves<C extends Candidate<C>>(
  a: Group<C>,
  b: Group<C>,
  terms: readonly Term<C>[],
  seatRules: Rules<Seat<C>> | null,
): number {
  for (let i = 0; i < terms.length; i++) {
    const { depth, of } = terms[i]!;
    const byTerm = of(a.lineage[depth]!) - of(b.lineage[depth]!);
    if (byTerm !== 0) return byTerm;
  }
  if (seatRules === null) return 0;
  const one = a.seats!.best!;
  const other = b.seats!.best!;
  return seatRules.first(one) - seatRules.first(other) || seatRules.second(one) - seatRules.second(other);
}
