import type { Journal } from './journal.ts';

/**
 * Says when outputs come faster than the store takes them. Inserts are refused then; a completion cannot be, but those
 * who send outputs can be read more slowly.
 */
export class Congestion {
  readonly #journal: Journal;
  readonly #bytesMax: number;
  /** Whom to call when the store has caught up. */
  readonly #waiting = new Set<() => void>();

  /** @param bytesMax from more than this that waits for its commit on, it is congested */
  constructor(journal: Journal, bytesMax: number) {
    this.#journal = journal;
    this.#bytesMax = bytesMax;
  }

  get isCongested(): boolean {
    return this.#journal.bytesPending > this.#bytesMax;
  }

  /** Calls back once, when it is no longer congested or nothing is written any more. */
  onceRelieved(run: () => void): void {
    this.#waiting.add(run);
    if (this.#waiting.size === 1) void this.#awaitRelief();
  }

  async #awaitRelief(): Promise<void> {
    try {
      do await this.#journal.committed();
      while (this.isCongested);
    } catch {
      // The journal has ended, and with it the queue: everybody is let go.
    }
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const run of waiting) run();
  }
}
