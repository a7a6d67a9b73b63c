import type { List } from './lists.ts';

export const FAILURE_CAUSES = ['failed', 'expired', 'disconnected'] as const;
export type FailureCause = (typeof FAILURE_CAUSES)[number];

/** A try that came to nothing: an item of `GET /api/v1/failures?group=none`. The last 2 000 are kept, their texts up to 8 kB. */
export interface FailureRow {
  readonly at: string;
  readonly submission: string;
  readonly queue: string;
  readonly chunk: number;
  /** Of the consumer that had it. */
  readonly conn_id: string | null;
  readonly cause: FailureCause;
  /** It was the last try of the chunk. */
  readonly fatal: boolean;
  readonly took_ms: number;
  readonly fingerprint: string;
  /** What went wrong, on one line: of errors that caused one another, the one at the root. */
  readonly gist: string;
  readonly text: string;
}

/** Failures that are alike but for numbers and ids: an item of `GET /api/v1/failures`. */
export interface FailureGroup {
  readonly fingerprint: string;
  /** What they have in common, on one line, with # for numbers and ids. */
  readonly title: string;
  readonly cause: FailureCause;
  readonly count: number;
  readonly submissions: number;
  readonly consumers: number;
  /** Pairs of metadata that the submissions carried, those with most failures first, at most 8. */
  readonly metadata: readonly PairCount[];
  readonly first: string;
  readonly last: string;
  /** The latest one. */
  readonly example: FailureRow;
}

/** How many of the failures were of submissions that carry a pair. */
export interface PairCount {
  readonly key: string;
  readonly value: string;
  readonly count: number;
}

/** How failures are grouped. */
export const FAILURE_GROUPINGS = ['fingerprint', 'none'] as const;

/** `GET /api/v1/failures`. */
export interface FailuresAnswer extends List<FailureGroup | FailureRow> {
  /** Failures before are not known: there is a limit to how many are kept, and none of before the start of the server. */
  readonly since: string;
  /** It is the limit: there were others since the start of the server, which counts are without. */
  readonly forgotten: boolean;
}

/** Tries that are kept, of all submissions together. */
export const FAILURES_KEPT_MAX = 2_000;
