import type { Overview, Severity } from '../../protocol/api/overview.ts';
import type { SubmissionAnswer, SubmissionItem, SubmissionSort } from '../../protocol/api/submissions.ts';
import type { Why } from '../../protocol/api/why.ts';

/** What `opsqueue top` shows. Times are those of a clock that never steps back. */
export interface TopState {
  /** Where the queue is. */
  readonly url: string;
  readonly overview: Overview | null;
  readonly items: readonly SubmissionItem[];
  /** How many submissions there are in all; null where nobody has counted. */
  readonly matched: number | null;
  /** When the figures came; null before the first. */
  readonly heardAtMs: number | null;
  /** Why there are no newer ones; null as long as there are. */
  readonly problem: string | null;
  /** No new figures are asked for. */
  readonly isFrozen: boolean;
  readonly sort: SubmissionSort;
  /** The row of `items` that the keys are at. */
  readonly selected: number;
  /** Which submissions are listed, as it was typed; empty: the open ones. */
  readonly filter: string;
  /** What is being typed as a filter; null: nothing is. */
  readonly typed: string | null;
  /** The id of the submission that is shown instead of the list. */
  readonly openedId: string | null;
  /** What there is to tell of it; null before the first answer. */
  readonly opened: Opened | null;
  readonly hasHelp: boolean;
  /** A change that is to be confirmed, and one that has been. */
  readonly asked: AskedChange | null;
  readonly confirmed: AskedChange | null;
  /** What came of the last change. */
  readonly note: string | null;
}

/** Before the first answer. */
export function newTop(url: string, sort: SubmissionSort): TopState {
  return {
    url,
    overview: null,
    items: [],
    matched: null,
    heardAtMs: null,
    problem: null,
    isFrozen: false,
    sort,
    selected: 0,
    filter: '',
    typed: null,
    openedId: null,
    opened: null,
    hasHelp: false,
    asked: null,
    confirmed: null,
    note: null,
  };
}

export type ChangeVerb = 'pause' | 'resume' | 'cancel' | 'retry';

export interface AskedChange {
  readonly verb: ChangeVerb;
  /** Of a submission. */
  readonly id: string;
}

export type Style = 'plain' | 'title' | 'faint' | 'selected' | 'good' | Severity;

/** A line without control characters, as wide as it may be at most. */
export interface ScreenLine {
  readonly text: string;
  readonly style: Style;
}

/** null: as much as it takes. */
export interface Size {
  readonly columns: number | null;
  readonly rows: number | null;
}

/** One submission, and why it does not go on, or that it does. */
export interface Opened {
  readonly submission: SubmissionAnswer;
  readonly why: Why;
}
