import type { Journal } from './journal.ts';

/** Whose bytes wait for their commit. */
export interface Congestible {
  readonly bytesPending: number;
  readonly journals: Iterable<Journal>;
}

/**
 * Says when outputs come faster than the store takes them. Inserts are refused then; a completion cannot be, but those
 * who send outputs can be read more slowly.
 */
export class Congestion {
  readonly #pending: Congestible;
  readonly #bytesMax: number;
  /** Whom to call when the store has caught up. */
  readonly #waiting = new Set<() => void>();

  /** @param bytesMax from more than this that waits for its commit on, it is congested */
  constructor(pending: Congestible, bytesMax: number) {
    this.#pending = pending;
    this.#bytesMax = bytesMax;
  }

  get isCongested(): boolean {
    return this.#pending.bytesPending > this.#bytesMax;
  }

  /** Calls back once, when it is no longer congested or nothing is written any more. */
  onceRelieved(run: () => void): void {
    this.#waiting.add(run);
    if (this.#waiting.size === 1) void this.#awaitRelief();
  }

  async #awaitRelief(): Promise<void> {
    try {
      do await this.#fullest()?.committed();
      while (this.isCongested);
    } catch {
      // The journal has ended: everybody is let go, and waits again if others are as full.
    }
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const run of waiting) run();
  }

  /** The journal that most waits for. */
  #fullest(): Journal | null {
    let fullest: Journal | null = null;
    for (const journal of this.#pending.journals) {
      if (fullest === null || journal.bytesPending > fullest.bytesPending) fullest = journal;
    }
    return fullest;
  }
}
