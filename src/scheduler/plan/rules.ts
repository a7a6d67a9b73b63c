import { SumTree } from './sum-tree.ts';
import { type Rules, Tournament } from './tournament.ts';
import type { Candidate, Group, Seat, TreeShape } from './tree.ts';

/** The order of those whose counts tie. */
export type BaseOrder = 'oldest' | 'newest' | 'random';

/**
 * How groups and seats of a plan compare.
 *
 * Two groups compare by the best seat in each: by its in-flight counts in the order of the plan's keys, then in base
 * order. (Not by their own counts first and inside afterwards: equal counts of *different* values are a tie, and
 * then the next key decides between them.) Groups that share a parent share its values, so only the counts of
 * their own level and those below matter.
 *
 * @param importance for each level of the tree, from the top, where its key stands among the plan's keys
 */
export function treeShape<C extends Candidate<C>>(
  base: BaseOrder,
  importance: readonly number[],
): TreeShape<C> {
  const depths = importance.map((_, i) => i + 1).sort((a, b) => importance[a - 1]! - importance[b - 1]!);
  const seatRules = base === 'random' ? null : orderOfAge<C>(base === 'oldest' ? 1 : -1);
  return {
    depth: importance.length,
    newSeats: () =>
      seatRules === null ? new SumTree((seat) => seat.candidate.chunksAvailable) : new Tournament(seatRules),
    groupRules: importance.map((_, parentDepth) =>
      groupRules(
        depths.filter((depth) => depth > parentDepth),
        seatRules,
      ),
    ),
  };
}

function orderOfAge<C extends Candidate<C>>(sign: 1 | -1): Rules<Seat<C>> {
  return {
    first: (seat) => sign * seat.candidate.orderHigh,
    second: (seat) => sign * seat.candidate.orderLow,
    third: null,
    weigh: null,
  };
}

/** `depths`: the levels that matter, the most important first. `seatRules` is null where seats are drawn. */
function groupRules<C extends Candidate<C>>(
  depths: readonly number[],
  seatRules: Rules<Seat<C>> | null,
): Rules<Group<C>> {
  const [mostImportant, next] = depths;
  const countAt = (group: Group<C>, depth: number) =>
    group.depth === depth ? group.count : group.bestLeaf.lineage[depth]!.count;
  const tieBreak = (group: Group<C>): number => {
    if (next !== undefined) return countAt(group, next);
    if (seatRules === null) return 0;
    // As much of the best seat's order as fits into a double.
    const best = group.seats!.best!;
    return seatRules.first(best) * 2 ** 32 + seatRules.second(best);
  };
  return {
    first: (group) => countAt(group, mostImportant!),
    second: tieBreak,
    third:
      seatRules === null && depths.length <= 2
        ? null
        : (a, b) => compareLeaves(a.bestLeaf, b.bestLeaf, depths, seatRules),
    weigh: seatRules === null ? (group) => group.weight : null,
  };
}

function compareLeaves<C extends Candidate<C>>(
  a: Group<C>,
  b: Group<C>,
  depths: readonly number[],
  seatRules: Rules<Seat<C>> | null,
): number {
  for (let i = 0; i < depths.length; i++) {
    const byCount = a.lineage[depths[i]!]!.count - b.lineage[depths[i]!]!.count;
    if (byCount !== 0) return byCount;
  }
  if (seatRules === null) return 0;
  const one = a.seats!.best!;
  const other = b.seats!.best!;
  return seatRules.first(one) - seatRules.first(other) || seatRules.second(one) - seatRules.second(other);
}
