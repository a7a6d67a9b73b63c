import { invariant as check } from './invariant.ts';
import { pairOf } from './metadata.ts';
import type { Plan } from './plan/plan.ts';
import type { ScheduledSubmission } from './state.ts';

/** Ranks everybody by hand, and compares that with what plans offer. */
export function checkPlans<Peer>(
  plans: readonly Plan<ScheduledSubmission<Peer>>[],
  open: readonly ScheduledSubmission<Peer>[],
): void {
  const expected = open.filter((submission) => submission.chunksAvailable > 0);
  for (const plan of plans) {
    plan.catchUp();
    const seated = new Set([...plan.seats()].map((seat) => seat.candidate));
    check(seated.size === plan.seatsTotal, 'seatsTotal is a recount');
    check(seated.size === expected.length, 'a plan has as many seats as there are submissions with chunks');
    for (const submission of expected) check(seated.has(submission), 'who has chunks available is seated');
    for (const [values, candidates] of byValues(expected, plan.spec.only)) {
      if (!values.includes(undefined)) checkTop(plan, values as bigint[], candidates);
    }
  }
}

type Values = readonly (bigint | undefined)[];

/** Those that have the same values of the keys; all, if there are no keys. */
function byValues<Peer>(
  submissions: readonly ScheduledSubmission<Peer>[],
  keys: readonly string[],
): Iterable<readonly [Values, ScheduledSubmission<Peer>[]]> {
  const found = new Map<string, [Values, ScheduledSubmission<Peer>[]]>();
  if (keys.length === 0) found.set('', [[], []]);
  for (const submission of submissions) {
    const values = keys.map((key) => pairOf(submission.values, key)?.value);
    const name = values.join();
    if (!found.has(name)) found.set(name, [values, []]);
    found.get(name)![1].push(submission);
  }
  return found.values();
}

function checkTop<Peer>(
  plan: Plan<ScheduledSubmission<Peer>>,
  values: readonly bigint[],
  candidates: readonly ScheduledSubmission<Peer>[],
): void {
  const { limits, ranks, base } = plan.spec;
  const isBelow = (submission: ScheduledSubmission<Peer>) =>
    [...limits].every(([key, max]) => (pairOf(submission.values, key)?.inFlight ?? 0) < max);
  const ordered = candidates.filter(isBelow).map((candidate) => ({
    candidate,
    ranks: ranks.map(({ key, by }) => {
      const pair = pairOf(candidate.values, key);
      return by === 'value' ? -(pair?.value ?? 0n) : BigInt(pair?.inFlight ?? 0);
    }),
  }));
  ordered.sort((a, b) => compareLists(a.ranks, b.ranks));
  const tied = ordered.filter((entry) => compareLists(entry.ranks, ordered[0]!.ranks) === 0);
  const { candidate, weight } = plan.peek({ only: values.map((value) => new Set([value])), except: [] });
  check(
    tied.length === 0 ? candidate === undefined : tied.some((entry) => entry.candidate === candidate),
    'the first of a plan has the lowest ranks',
  );
  if (base === 'random') {
    const total = weightAtTop(plan, new Set(candidates));
    check(weight === total, `the weight of those at the top is ${weight}, counted anew ${total}`);
  } else if (candidate !== undefined) {
    const ids = tied.map((entry) => entry.candidate.record.id).sort((a, b) => (a < b ? -1 : 1));
    check(candidate.record.id === (base === 'oldest' ? ids[0] : ids.at(-1)), `a plan offers the ${base} one`);
  }
}

/** The weight of those whose groups count least; groups may count less than there is, never more. */
function weightAtTop<Peer>(
  plan: Plan<ScheduledSubmission<Peer>>,
  candidates: ReadonlySet<ScheduledSubmission<Peer>>,
): number {
  let least: readonly bigint[] | undefined;
  let weight = 0;
  for (const { candidate, group } of plan.seats()) {
    const groups = group!.lineage.slice(1);
    for (const { count, rank, absence } of groups) {
      check(count <= rank!.inFlight, 'no group counts more than what is in flight');
      check(
        rank!.countedMax <= (rank!.metaValue?.countedMax ?? 0),
        'a pair knows how much groups count for it',
      );
      check(absence !== 'at_limit' || rank!.isAtLimit, 'no group is set aside without need');
    }
    if (!candidates.has(candidate) || groups.some(({ absence }) => absence !== null)) continue;
    const order = plan.spec.ranks.map(({ key, by }) => {
      const ranked = groups.find((each) => each.rank!.level.key.name === key)!;
      return by === 'value' ? -(ranked.rank!.metaValue?.value ?? 0n) : BigInt(ranked.count);
    });
    const compared = least === undefined ? -1 : compareLists(order, least);
    if (compared > 0) continue;
    least = order;
    weight = candidate.chunksAvailable + (compared === 0 ? weight : 0);
  }
  return weight;
}

function compareLists(a: readonly bigint[], b: readonly bigint[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1;
  return 0;
}
