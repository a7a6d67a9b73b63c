import type { PauseItem } from '../../src/protocol/api/lists.ts';
import type { SubmissionItem } from '../../src/protocol/api/submissions.ts';
import type { VERB_WORDS } from '../../src/protocol/api/verb-words.ts';

export type Verb = keyof typeof VERB_WORDS;

/** What a verb is for, as `POST /api/v1/actions/{verb}` takes it. */
export type Target =
  | { readonly ids: readonly string[] }
  | { readonly filter: Readonly<Record<string, unknown>> }
  | { readonly queue: string }
  | { readonly server: true };

/** Of `set`, what is to be different; of `resume`, what for. */
export interface Fields {
  /** Default: what was paused by hand. */
  readonly every_cause?: true;
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

/** Why something is paused. */
export interface HoldItem extends PauseItem {
  /** What is. */
  readonly of: 'submission' | 'queue' | 'server';
  readonly queue?: string;
  /** How many of those that it was done to. */
  readonly submissions: number;
}

export interface ActionAnswer {
  readonly dry_run: boolean;
  readonly matched: number;
  readonly done: number;
  readonly unchanged: number;
  readonly still_paused: number;
  /** For which causes, and with what. */
  readonly paused_by: readonly HoldItem[];
  readonly chunks?: number;
  readonly ids: readonly string[];
  readonly skipped: readonly { readonly id: string; readonly code: string; readonly text: string }[];
  /** Addresses of nodes that did not say what they did. */
  readonly nodes_missing?: readonly string[];
}

/** What takes an action back; null: nothing does. */
export function undoOf({ verb, target, fields, before }: Action, { ids }: ActionAnswer): Action | null {
  if (verb === 'set' && fields !== undefined && before !== undefined) {
    return { verb, target, fields: restoring(fields, before) };
  }
  // Nobody but who paused it can do so for each of its causes.
  if (fields?.every_cause || (verb !== 'pause' && verb !== 'resume')) return null;
  const opposite = verb === 'pause' ? 'resume' : 'pause';
  return { verb: opposite, target: nameOf(target) === null ? { ids } : target };
}

/** Whether what takes it back is not for all that it was done to: an answer names no more than 10 000 submissions. */
export function isUndonePartly(action: Action, answer: ActionAnswer): boolean {
  return undoOf(action, answer) !== null && nameOf(action.target) === null && answer.ids.length < answer.done;
}

/** What is the target itself; null: submissions are. */
export function nameOf(target: Target): string | null {
  if ('server' in target) return 'the server';
  if (!('queue' in target)) return null;
  return target.queue === '-' ? 'the unnamed queue' : `queue ${target.queue}`;
}

/** What stays paused, of what was to go on. */
export function holdsOf(verb: Verb, { paused_by: holds }: ActionAnswer): readonly HoldItem[] {
  return verb === 'resume' || verb === 'retry' ? holds : [];
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
