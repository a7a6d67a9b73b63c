import type { SubmissionItem } from '../../src/protocol/api/submissions.ts';
import { post } from '../lib/api.ts';
import { preferences } from '../lib/preferences.ts';
import { Store } from '../lib/store.ts';

export const VERBS = ['pause', 'resume', 'retry', 'cancel', 'set'] as const;
export type Verb = (typeof VERBS)[number];

/** What a verb is for, as `POST /api/v1/actions/{verb}` takes it. */
export type Target =
  | { readonly ids: readonly string[] }
  | { readonly filter: Readonly<Record<string, unknown>> }
  | { readonly queue: string }
  | { readonly server: true };

/** Fields of `set`: what is to be different. */
export interface Fields {
  readonly strategic_metadata?: Readonly<Record<string, string | null>>;
  readonly deadline?: string | null;
  readonly start_after?: string | null;
}

/** What `set` changes of a submission, as it is. */
export type Before = Pick<SubmissionItem, 'metadata' | 'deadline' | 'start_after'>;

/** What an action is asked to do. */
export interface Action {
  readonly verb: Verb;
  readonly target: Target;
  readonly fields?: Fields;
  /** Where it is for one submission whose values are known: they are shown, and can be restored. */
  readonly before?: Before;
}

export interface ActionAnswer {
  readonly matched: number;
  readonly done: number;
  readonly unchanged: number;
  readonly still_paused: number;
  readonly chunks?: number;
  readonly ids: readonly string[];
  readonly skipped: readonly { readonly id: string; readonly code: string; readonly text: string }[];
}

/** What would happen. */
export function tryOut({ verb, target, fields }: Action): Promise<ActionAnswer> {
  return post(`actions/${verb}`, { ...target, ...fields, dry_run: true });
}

/**
 * @param expected if more match by now, nothing happens
 * @returns does it, however often it is called
 */
export function performing(
  { verb, target, fields }: Action,
  expected: number,
  reason: string,
): () => Promise<ActionAnswer> {
  const { name } = preferences.value;
  const body = {
    ...target,
    ...fields,
    ...(name === '' ? {} : { by: name }),
    ...(reason === '' ? {} : { reason }),
    expected,
  };
  // randomUUID is not there where a page comes without TLS.
  const key = crypto.getRandomValues(new Uint32Array(4)).join('-');
  return () => post(`actions/${verb}`, body, key);
}

/** The action that somebody is asked about; null: none. */
export const asked = new Store<Action | null>(null);

/** Above this, the number has to be typed. */
export const TYPED_ABOVE = 100;
/** How long a cancellation can be taken back. */
export const CANCEL_WAIT_MS = 5_000;

export const DONE_WORDS: Readonly<Record<Verb, string>> = {
  pause: 'Paused',
  resume: 'Resumed',
  retry: 'Retried',
  cancel: 'Cancelled',
  set: 'Changed',
};

/** What takes an action back; null: nothing does. */
export function undoOf({ verb, target, fields, before }: Action, { ids }: ActionAnswer): Action | null {
  if (verb === 'set' && fields !== undefined && before !== undefined) {
    return { verb, target, fields: restoring(fields, before) };
  }
  if (verb !== 'pause' && verb !== 'resume') return null;
  const opposite = verb === 'pause' ? 'resume' : 'pause';
  return { verb: opposite, target: isOfOne(target) ? target : { ids } };
}

/** Whether what takes it back is not for all that it was done to: an answer names no more than 10 000 submissions. */
export function isUndonePartly(action: Action, answer: ActionAnswer): boolean {
  return undoOf(action, answer) !== null && !isOfOne(action.target) && answer.ids.length < answer.done;
}

/** Not of submissions. */
function isOfOne(target: Target): boolean {
  return 'queue' in target || 'server' in target;
}

/** What was before, of all that is changed. */
function restoring({ strategic_metadata: pairs, deadline, start_after }: Fields, before: Before): Fields {
  const keys = Object.keys(pairs ?? {});
  return {
    ...(pairs === undefined
      ? {}
      : { strategic_metadata: Object.fromEntries(keys.map((key) => [key, before.metadata[key] ?? null])) }),
    ...(deadline === undefined ? {} : { deadline: before.deadline }),
    ...(start_after === undefined ? {} : { start_after: before.start_after }),
  };
}
