import type { Clock, Timer } from '../../src/system/time/clock.ts';

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  run: (() => void) | null;
}

/**
 * Time that passes only when the simulation says so: the earliest timer is next, ties in the order in which they
 * were set. The time of a process is a {@link SimWorld}.
 */
export class SimClock {
  /** The clock of the process that ran last. */
  running: Clock | null = null;
  #nowMs = 0;
  #order = 0;
  readonly #heap: Entry[] = [];
  /** Unix time at the beginning. */
  readonly epochMs: number;

  constructor(epochMs = 1_700_000_000_000) {
    this.epochMs = epochMs;
  }

  get elapsedMs(): number {
    return this.#nowMs;
  }

  get pending(): number {
    return this.#heap.length;
  }

  /** When the next timer is due; null if there is none. */
  get nextDueMs(): number | null {
    return this.#heap[0]?.dueMs ?? null;
  }

  at(dueMs: number, run: () => void): Timer {
    const entry: Entry = { dueMs: Math.max(dueMs, this.#nowMs), order: this.#order++, run };
    this.#push(entry);
    return {
      cancel() {
        entry.run = null;
      },
    };
  }

  /** Runs the earliest timer; false if there is none. */
  step(): boolean {
    for (;;) {
      const entry = this.#pop();
      if (entry === undefined) return false;
      if (entry.run === null) continue;
      this.#nowMs = entry.dueMs;
      entry.run();
      return true;
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!before(entry, heap[up]!)) break;
      heap[i] = heap[up]!;
      i = up;
    }
    heap[i] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1]!, heap[down]!)) down++;
      if (!before(heap[down]!, last)) break;
      heap[i] = heap[down]!;
      i = down;
    }
    heap[i] = last;
    return top;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

/** Lets every promise that can go on, go on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
