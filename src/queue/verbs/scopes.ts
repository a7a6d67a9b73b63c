import {
  isUntouched,
  NO_SCOPE_CONTROL,
  type PausedBy,
  type Scope,
  type ScopeControl,
  SERVER_SCOPE,
} from '../../model/control.ts';
import type { QueuePause } from '../../model/queue-info.ts';

/** What verbs have changed of queues as such and of the whole server, whether there is work in them or not. */
export class Scopes {
  readonly #controls = new Map<Scope, ScopeControl>();

  get size(): number {
    return this.#controls.size;
  }

  get(scope: Scope): ScopeControl {
    return this.#controls.get(scope) ?? NO_SCOPE_CONTROL;
  }

  set(scope: Scope, control: ScopeControl): void {
    if (isUntouched(control)) this.#controls.delete(scope);
    else this.#controls.set(scope, control);
  }

  /** All of such scopes. */
  forget(isOne: (scope: Scope) => boolean): void {
    for (const scope of this.#controls.keys()) if (isOne(scope)) this.#controls.delete(scope);
  }

  /** Of such that are not paused, the one that nobody has touched for longest; null: all are paused. */
  longestResumed(isOne: (scope: Scope) => boolean): Scope | null {
    let found: Scope | null = null;
    let foundAtMs = Number.POSITIVE_INFINITY;
    for (const [scope, { pauses, history }] of this.#controls) {
      const atMs = history.at(-1)?.atMs ?? 0;
      if (pauses.length > 0 || atMs >= foundAtMs || !isOne(scope)) continue;
      found = scope;
      foundAtMs = atMs;
    }
    return found;
  }

  /** How many are paused, the whole server included. */
  get pausedCount(): number {
    let count = 0;
    for (const { pauses } of this.#controls.values()) if (pauses.length > 0) count++;
    return count;
  }

  /** For which causes nothing of a queue is handed out: its own, then those of the whole server. */
  pausesOf(queue: string): readonly PausedBy[] {
    return [...this.get(queue).pauses, ...this.get(SERVER_SCOPE).pauses];
  }

  /** Likewise, each with what is paused. */
  queuePauses(queue: string): readonly QueuePause[] {
    const of = (scope: Scope, what: QueuePause['of']) =>
      this.get(scope).pauses.map((pause) => ({ of: what, ...pause }));
    return [...of(queue, 'queue'), ...of(SERVER_SCOPE, 'server')];
  }

  /** Queues that are paused by themselves, whether they are in use or not. */
  get queuesPaused(): string[] {
    return [...this.#controls].flatMap(([scope, { pauses }]) =>
      scope !== SERVER_SCOPE && pauses.length > 0 ? [scope] : [],
    );
  }

  isPaused(queue: string): boolean {
    return this.get(queue).pauses.length > 0 || this.get(SERVER_SCOPE).pauses.length > 0;
  }
}
