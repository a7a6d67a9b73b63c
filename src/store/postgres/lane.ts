import { Semaphore } from '../../system/async/semaphore.ts';
import type { Clock, Timer } from '../../system/time/clock.ts';
import type { SqlSession } from './session.ts';

/** As many users at a time as there may be connections of a kind; those that are idle are kept for the next ones. */
export class Lane {
  readonly #room: Semaphore;
  readonly #idleMs: number | null;
  readonly #clock: Clock;
  readonly #idle: { readonly session: SqlSession; readonly timer: Timer | null }[] = [];
  readonly #uses = new Set<Promise<unknown>>();

  /** @param idleMs connections that nobody has used for so long are ended; null: never */
  constructor(max: number, idleMs: number | null, clock: Clock) {
    this.#room = new Semaphore(max);
    this.#idleMs = idleMs;
    this.#clock = clock;
  }

  /** Waits for room. `work` gets an idle session; null: it has to open one. */
  async use<T>(work: (idle: SqlSession | null) => Promise<T>): Promise<T> {
    await this.#room.take();
    const use = work(this.#takeIdle());
    this.#uses.add(use);
    try {
      return await use;
    } finally {
      this.#uses.delete(use);
      this.#room.give();
    }
  }

  /** For the next one. */
  keep(session: SqlSession): void {
    const timer =
      this.#idleMs === null
        ? null
        : this.#clock.after(this.#idleMs, () => this.#drop(session), { unref: true });
    this.#idle.push({ session, timer });
  }

  /** Ends what is idle. */
  dropIdle(): void {
    for (const { session } of [...this.#idle]) this.#drop(session);
  }

  /** Ends what is idle, and waits for the rest. */
  async close(): Promise<void> {
    this.dropIdle();
    while (this.#uses.size > 0) await Promise.allSettled(this.#uses);
  }

  #takeIdle(): SqlSession | null {
    for (;;) {
      const last = this.#idle.pop();
      if (last === undefined) return null;
      last.timer?.cancel();
      if (last.session.isUsable) return last.session;
      last.session.end();
    }
  }

  #drop(session: SqlSession): void {
    const index = this.#idle.findIndex((idle) => idle.session === session);
    const [found] = index < 0 ? [] : this.#idle.splice(index, 1);
    found?.timer?.cancel();
    session.end();
  }
}
