/** What can be done to work that was submitted before. */
export const VERBS = ['pause', 'resume', 'set', 'cancel', 'retry'] as const;
export type Verb = (typeof VERBS)[number];

/** Somebody did something to a submission, a queue or the server. */
export interface Act {
  readonly verb: Verb;
  /** To what exactly: the cause of a pause, the values that were set; empty where the verb says it all. */
  readonly detail: string;
  /** Who did it, in his own words: `user@host`, or the name of a program. */
  readonly by: string;
  /** Why, in his own words; null if he did not say. */
  readonly reason: string | null;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** Nothing is handed out of what is paused until everybody who paused it has resumed it. */
export interface PausedBy {
  /** Tells the pauses of the same thing apart: only a resume that names the cause lifts it. */
  readonly cause: string;
  readonly by: string;
  readonly reason: string | null;
  /** Unix milliseconds. */
  readonly sinceMs: number;
}

/** What verbs have changed of a queue or the whole server. */
export interface ScopeControl {
  /** In the order of their coming, each cause once. */
  readonly pauses: readonly PausedBy[];
  /** The last {@link HISTORY_MAX} acts, the latest last. */
  readonly history: readonly Act[];
}

/** What verbs have changed of a submission. A whole value: replaced, never added to. */
export interface Control extends ScopeControl {
  /** The submission is cancelled if it has not ended by then, in Unix milliseconds; null = never. */
  readonly deadlineMs: number | null;
  /** Nothing of it is handed out before then, in Unix milliseconds; null = at once. */
  readonly startAfterMs: number | null;
  /** Takes the place of what was inserted; null = as inserted. */
  readonly strategicMetadata: ReadonlyMap<string, bigint> | null;
}

/** What a {@link ScopeControl} is of: the name of a queue (empty: the unnamed one), or the whole server. */
export type Scope = string;
export const SERVER_SCOPE: Scope = '*';

/** What verbs have changed, as the status of a submission reports it. */
export interface StatusControl extends Control {
  /** For which causes nothing of its queue is handed out: the queue's own pauses, then the server's. */
  readonly queuePauses: readonly PausedBy[];
}

/** No verb has changed anything yet. */
export const NO_SCOPE_CONTROL: ScopeControl = Object.freeze({ pauses: [], history: [] });
export const NO_CONTROL: Control = Object.freeze({
  pauses: [],
  history: [],
  deadlineMs: null,
  startAfterMs: null,
  strategicMetadata: null,
});

/** Nothing of it needs to be remembered. */
export function isUntouched({ pauses, history }: ScopeControl): boolean {
  return pauses.length === 0 && history.length === 0;
}

/** Acts that are remembered of a submission, a queue or the server. */
export const HISTORY_MAX = 20;
/** Causes for which something may be paused at a time. */
export const PAUSES_MAX = 16;
/** What a cause looks like. */
export const CAUSE_PATTERN = /^[0-9a-z][0-9a-z._-]{0,63}$/;
/** The cause of those who name none. */
export const CAUSE_DEFAULT = 'manual';
/** Characters of a reason. */
export const REASON_CHARS_MAX = 1_000;
/** Characters of the name of who acts. */
export const BY_CHARS_MAX = 200;

/** Who cancelled a submission, and why, in their own words; null where that is not known. */
export interface Cancellation {
  readonly by: string | null;
  readonly reason: string | null;
}

export const UNKNOWN_CANCELLATION: Cancellation = Object.freeze({ by: null, reason: null });
/** Nobody had to do anything. */
export const DEADLINE_CANCELLATION: Cancellation = Object.freeze({
  by: 'opsqueue',
  reason: 'its deadline passed',
});

/** The record with the metadata that strategies go by now. */
export function currentRecord<R extends { readonly strategicMetadata: ReadonlyMap<string, bigint> }>(
  record: R,
  { strategicMetadata }: Control,
): R {
  return strategicMetadata === null ? record : { ...record, strategicMetadata };
}

/** Null if something is paused for that cause already, by whomever: it stays as it is. */
export function withPause<C extends ScopeControl>(control: C, cause: string, act: Act): C | null {
  if (control.pauses.some((pause) => pause.cause === cause)) return null;
  const { by, reason, atMs } = act;
  return withAct({ ...control, pauses: [...control.pauses, { cause, by, reason, sinceMs: atMs }] }, act);
}

/** @param cause null = every cause. Gives null if nothing is paused for it. */
export function withoutPause<C extends ScopeControl>(control: C, cause: string | null, act: Act): C | null {
  const pauses = cause === null ? [] : control.pauses.filter((pause) => pause.cause !== cause);
  return pauses.length === control.pauses.length ? null : withAct({ ...control, pauses }, act);
}

export function withAct<C extends ScopeControl>(control: C, act: Act): C {
  return { ...control, history: [...control.history, act].slice(-HISTORY_MAX) };
}
