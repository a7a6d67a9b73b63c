import { type PausedBy, type Scope, type ScopeControl, SERVER_SCOPE } from '../../model/control.ts';
import type { OpsqueueError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { addHold, type Hold, VERB_IDS_MAX } from '../../model/verbs.ts';
import type { Scopes } from './scopes.ts';

/** What a verb has done, counted while its request is worked off. */
export class VerbTally {
  readonly #scopes: Scopes;
  /** Submissions that were changed, or would be; 1 for a queue or the server. */
  done = 0;
  /** Those that were so already. */
  unchanged = 0;
  /** Those that are paused all the same. */
  stillPaused = 0;
  /** Chunks that are to be done again; of a retry only. */
  chunks: number | undefined;
  /** The first of those that were changed. */
  readonly ids: SubmissionId[] = [];
  /** The first of those that were passed over. */
  readonly skipped: { readonly id: SubmissionId; readonly error: OpsqueueError }[] = [];
  readonly #holds = new Map<string, Hold>();

  constructor(scopes: Scopes) {
    this.#scopes = scopes;
  }

  /** What still holds the paused ones, each cause once. */
  get holds(): readonly Hold[] {
    return [...this.#holds.values()];
  }

  changed(id: SubmissionId): void {
    this.done++;
    if (this.ids.length < VERB_IDS_MAX) this.ids.push(id);
  }

  skip(id: SubmissionId, error: OpsqueueError): void {
    if (this.skipped.length < VERB_IDS_MAX) this.skipped.push({ id, error });
  }

  /** A submission of that queue, with its own pauses as they are, or would be. */
  look(queue: string, pauses: readonly PausedBy[]): void {
    for (const pause of pauses) this.#hold('submission', null, pause);
    this.#lookAtQueue(queue, this.#scopes.get(queue), pauses.length);
  }

  /** The queue itself or the server, with its pauses as they are, or would be. */
  lookAtScope(scope: Scope, control: ScopeControl): void {
    if (scope !== SERVER_SCOPE) this.#lookAtQueue(scope, control, 0);
    else this.#lookAtServer(control, 0);
  }

  #lookAtQueue(queue: string, { pauses }: ScopeControl, pausesInside: number): void {
    for (const pause of pauses) this.#hold('queue', queue, pause);
    this.#lookAtServer(this.#scopes.get(SERVER_SCOPE), pausesInside + pauses.length);
  }

  #lookAtServer({ pauses }: ScopeControl, pausesInside: number): void {
    for (const pause of pauses) this.#hold('server', null, pause);
    if (pauses.length + pausesInside > 0) this.stillPaused++;
  }

  #hold(of: Hold['of'], queue: string | null, pause: PausedBy): void {
    addHold(this.#holds, { ...pause, of, queue, submissions: 1 });
  }
}
