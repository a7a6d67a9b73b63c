import type { Dialect } from './dialect/dialect.ts';

/** What is reported as soon as there is a connection. */
export interface Report {
  readonly send: (queue: Dialect) => void;
  /** Who waits until it is sent; null: it is sent some time. */
  readonly waiter: { sent(): void; givenUp(): void } | null;
}

/** Reports to the queue: now, or on the next connection. */
export class ReportOutbox {
  #queue: Dialect | null = null;
  #unsent: Report[] = [];
  #waitsNoMore = false;

  /** null: there is no connection. */
  get queue(): Dialect | null {
    return this.#queue;
  }

  connected(queue: Dialect): void {
    this.#queue = queue;
    this.#sendAgain();
  }

  disconnected(): void {
    this.#queue?.ended();
    this.#queue = null;
  }

  send(report: Report): void {
    const { waiter } = report;
    if (this.#queue !== null) {
      report.send(this.#queue);
      waiter?.sent();
    } else if (waiter !== null && this.#waitsNoMore) waiter.givenUp();
    else this.#unsent.push(report);
  }

  /** Waiters are given up where there is no connection, now and from now on. */
  waitNoMore(): void {
    this.#waitsNoMore = true;
    this.#sendAgain();
  }

  #sendAgain(): void {
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const report of unsent) this.send(report);
  }
}
