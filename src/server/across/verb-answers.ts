import { addHold, type Hold, VERB_IDS_MAX, type VerbAnswer } from '../../model/verbs.ts';

/** What came of a verb on several nodes, each for its own submissions. There is at least one part. */
export function mergeVerbAnswers(parts: readonly VerbAnswer[]): VerbAnswer {
  return parts.reduce(both);
}

function both(a: VerbAnswer, b: VerbAnswer): VerbAnswer {
  const chunks = a.chunks === undefined ? b.chunks : a.chunks + (b.chunks ?? 0);
  return {
    verb: a.verb,
    isDryRun: a.isDryRun,
    matched: a.matched + b.matched,
    done: a.done + b.done,
    unchanged: a.unchanged + b.unchanged,
    stillPaused: a.stillPaused + b.stillPaused,
    holds: bothHolds(a.holds, b.holds),
    ...(chunks === undefined ? {} : { chunks }),
    ids: [...a.ids, ...b.ids].slice(0, VERB_IDS_MAX),
    skipped: [...a.skipped, ...b.skipped].slice(0, VERB_IDS_MAX),
  };
}

/** Each cause once, as within a node. */
function bothHolds(a: readonly Hold[], b: readonly Hold[]): Hold[] {
  const holds = new Map<string, Hold>();
  for (const hold of [...a, ...b]) addHold(holds, hold);
  return [...holds.values()];
}
