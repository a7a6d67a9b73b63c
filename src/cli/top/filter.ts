import { isOfEnded, SUBMISSION_FILTERS, type SubmissionSort } from '../../protocol/api/submissions.ts';

/** What is asked of `/api/v1/submissions` for a filter as it is typed: states, `key=number`, and else how a prefix begins. */
export function filterQuery(filter: string, sort: SubmissionSort) {
  const words = filter.split(/\s+/).filter((word) => word !== '');
  const state = words.findLast((word) => SUBMISSION_FILTERS.some((each) => each === word)) ?? 'open';
  const pairs = words.filter((word) => /^.+=-?[0-9]+$/.test(word));
  const prefix = words.findLast(
    (word) => !SUBMISSION_FILTERS.some((each) => each === word) && !pairs.includes(word),
  );
  return {
    state,
    // Those that have ended come in this order only.
    sort: isOfEnded(state) ? 'inserted' : sort,
    order: 'desc',
    meta: pairs.map((pair) => pair.replace(/=(-?[0-9]+)$/, ':$1')),
    ...(prefix === undefined ? {} : { prefix_starts: prefix }),
  };
}
