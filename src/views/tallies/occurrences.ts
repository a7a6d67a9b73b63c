import type { SubmissionId } from '../../model/ids.ts';
import type { EventKind } from '../../protocol/api/events.ts';
import { Ring } from './ring.ts';

/** Something that people may want to know. */
export interface Occurrence {
  readonly kind: EventKind;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** '' for the unnamed queue; null: of the server. */
  readonly queue: string | null;
  readonly submissionId: SubmissionId | null;
  readonly connId: string | null;
  readonly by: string | null;
  readonly text: string;
}

const OCCURRENCES_MAX = 10_000;

/** What happened of late, but for chunks. */
export class Occurrences {
  readonly ring = new Ring<Occurrence>(OCCURRENCES_MAX);
  readonly #waiting = new Set<() => void>();

  add(occurrence: Occurrence): void {
    this.ring.push(occurrence);
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /**
   * Calls back once, when the next one comes: at once then, so it must only make a note of it.
   *
   * @returns takes it back
   */
  onceAdded(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => void this.#waiting.delete(wake);
  }

  /** There will be no more. */
  wakeAll(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
