import type { PausedBy, Verb } from './control.ts';
import type { SubmissionId } from './ids.ts';
import type { StrategicMetadata } from './submission.ts';

/** What a verb is to change. */
export type Change =
  | { readonly verb: 'pause'; readonly cause: string }
  /** `cause`: null = every cause. */
  | { readonly verb: 'resume'; readonly cause: string | null }
  | {
      readonly verb: 'set';
      /** Pairs that are not named stay as they are; null takes a pair away. */
      readonly strategicMetadata?: ReadonlyMap<string, bigint | null> | undefined;
      /** Unix milliseconds; null = none any more; undefined = as it is. So is the next one. */
      readonly deadlineMs?: number | null | undefined;
      readonly startAfterMs?: number | null | undefined;
    }
  | { readonly verb: 'cancel' }
  /** What has failed goes on: chunks that are set aside, or a submission that failed. */
  | { readonly verb: 'retry' };

/** States of open submissions, as filters name them. */
export const FILTER_STATES = ['open', 'waiting', 'running', 'paused', 'delayed'] as const;
export type FilterState = (typeof FILTER_STATES)[number];

/** What a verb is for. */
export type VerbTarget =
  | {
      readonly kind: 'submissions';
      readonly ids: readonly SubmissionId[];
      /** Those of other queues are unknown; null = of any queue. */
      readonly queue: string | null;
    }
  /** Open submissions, as of now, that match all of it; for a retry, those with something that failed, ended or not. */
  | {
      readonly kind: 'matching';
      readonly metadata: StrategicMetadata;
      readonly state: FilterState;
      /** Those of which a try failed so, of the failures that the queue remembers: a fingerprint. Default: any. */
      readonly failure?: string | undefined;
      /** null = in any queue. */
      readonly queue: string | null;
    }
  /** The queue itself, whatever is in it now or later. '' is the unnamed one. */
  | { readonly kind: 'queue'; readonly queue: string }
  | { readonly kind: 'server' };

export interface VerbRequest {
  readonly change: Change;
  readonly target: VerbTarget;
  readonly by: string;
  readonly reason: string | null;
  /** Tells what would happen, and changes nothing. */
  readonly isDryRun: boolean;
  /** If more match, nothing happens; null = however many. */
  readonly expected: number | null;
}

/** A submission that the verb could not be done to. */
export interface Skipped {
  readonly id: SubmissionId;
  /** Of the error that it would be for the submission alone. */
  readonly code: string;
  readonly text: string;
}

/** What can be paused: submissions by themselves, their queue, the whole server. */
export const HOLDERS = ['submission', 'queue', 'server'] as const;

/** For which cause something is paused. Of many submissions that are paused by themselves: by whom, why and since when the first one is. */
export interface Hold extends PausedBy {
  /** What was paused. */
  readonly of: (typeof HOLDERS)[number];
  /** The name of the queue that was paused, '' for the unnamed one; else null. */
  readonly queue: string | null;
  /** How many of the submissions it holds; 1 where the verb is for a queue or the server. */
  readonly submissions: number;
}

/** Adds one, to the same cause that is there already: of further causes there are {@link HOLDS_MAX} at most. */
export function addHold(holds: Map<string, Hold>, hold: Hold): void {
  const key = `${hold.of}\n${hold.queue ?? ''}\n${hold.cause}`;
  const known = holds.get(key);
  if (known !== undefined) holds.set(key, { ...known, submissions: known.submissions + hold.submissions });
  else if (holds.size < HOLDS_MAX) holds.set(key, hold);
}

export interface VerbAnswer {
  readonly verb: Verb;
  readonly isDryRun: boolean;
  /** Open submissions that the target names; 1 for a queue or the server. */
  readonly matched: number;
  /** Those of them that were changed, or would be. */
  readonly done: number;
  /** Those that were so already. */
  readonly unchanged: number;
  /** Those that stay paused, for another cause or with their queue. */
  readonly stillPaused: number;
  /** For which causes: the first {@link HOLDS_MAX} of them. */
  readonly holds: readonly Hold[];
  /** Chunks that are to be done again, of a retry. */
  readonly chunks?: number | undefined;
  /** The changed ones, the first {@link VERB_IDS_MAX} of them. */
  readonly ids: readonly SubmissionId[];
  /** The first {@link VERB_IDS_MAX} of them. */
  readonly skipped: readonly Skipped[];
  /** Addresses of nodes that did not say what they did; where there is one node, and if all did, none. */
  readonly nodesMissing?: readonly string[] | undefined;
}

/** Submissions that a request names, and that an answer does. */
export const VERB_IDS_MAX = 10_000;
/** Of a failure that a filter names. */
export const FINGERPRINT_CHARS_MAX = 100;
/** Causes that an answer names. */
export const HOLDS_MAX = 100;
