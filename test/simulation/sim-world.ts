import type { Clock, Timer } from '../../src/system/time/clock.ts';
import type { SimClock } from './sim-clock.ts';

export interface SimTimes {
  /** How wrong the wall clock is. */
  readonly wallOffsetMs: number;
  /** What the monotonic clock shows at the beginning of time. Default 0. */
  readonly monotonicFromMs?: number;
  /** Of its milliseconds in one of the world's. Default 1. */
  readonly rate?: number;
  /** It is stopped with its machine: the monotonic clock stands still meanwhile. Default false. */
  readonly isSuspended?: boolean;
}

interface Held {
  readonly isTimer: boolean;
  run(): void;
}

/**
 * The time of one simulated process. It may be stopped, as by SIGSTOP: its clocks go on (or not all of them, see there), nothing of it runs, and what was due
 * meanwhile runs when it wakes. After `kill` nothing of it ever runs.
 */
export class SimWorld {
  readonly clock: Clock;
  readonly #time: SimClock;
  readonly #monotonicFromMs: number;
  readonly #rate: number;
  readonly #wallOffsetMs: number;
  readonly #isSuspended: boolean;
  /** For how long it was stopped, up to now, by its own clock. */
  sleptMs = 0;
  #stoppedMs = 0;
  /** As it was told last. */
  #monotonicMs = 0;
  #isAlive = true;
  /** What waits for the process to wake; null while it is awake. */
  #held: Held[] | null = null;

  constructor(
    time: SimClock,
    { wallOffsetMs, monotonicFromMs = 0, rate = 1, isSuspended = false }: SimTimes,
  ) {
    this.#time = time;
    this.#monotonicFromMs = monotonicFromMs;
    this.#rate = rate;
    this.#wallOffsetMs = wallOffsetMs;
    this.#isSuspended = isSuspended;
    this.clock = {
      nowMs: () => this.wallMs(),
      monotonicMs: () => this.monotonicMs(),
      after: (delayMs, run) => this.#after(Math.max(0, delayMs) / rate, run),
      soon: (run) => void this.#after(0, run),
    };
  }

  /** Goes on while it is stopped, unless its machine is as well. */
  monotonicMs(): number {
    const sleptMs = this.#isSuspended ? this.sleptMs : 0;
    const nowMs = this.#monotonicFromMs + this.#time.elapsedMs * this.#rate - sleptMs;
    // What is added up and taken off again differs in its last digits.
    this.#monotonicMs = Math.max(this.#monotonicMs, nowMs);
    return this.#monotonicMs;
  }

  wallMs(): number {
    return this.#time.epochMs + this.#time.elapsedMs * this.#rate + this.#wallOffsetMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isStopped(): boolean {
    return this.#held !== null;
  }

  kill(): void {
    this.#isAlive = false;
  }

  stop(): void {
    if (this.#held === null) this.#stoppedMs = this.#time.elapsedMs;
    this.#held ??= [];
  }

  /** @param timersFirst whether timers that are due come before what arrived */
  wake(timersFirst: boolean): void {
    const held = this.#held;
    if (held === null) return;
    this.sleptMs += (this.#time.elapsedMs - this.#stoppedMs) * this.#rate;
    this.#held = null;
    const inTurn = [
      ...held.filter(({ isTimer }) => isTimer === timersFirst),
      ...held.filter(({ isTimer }) => isTimer !== timersFirst),
    ];
    for (const each of inTurn) this.#time.at(this.#time.elapsedMs, () => this.#enter(each));
  }

  /** Something has come from outside, which the process looks at when it runs. */
  arrives(run: () => void): void {
    this.#enter({ isTimer: false, run });
  }

  /** From here on this process runs, called by an actor. */
  runs(): void {
    this.#time.running = this.clock;
  }

  #after(delayMs: number, run: () => void): Timer {
    let isCancelled = false;
    const held = { isTimer: true, run: () => void (isCancelled || run()) };
    const timer = this.#time.at(this.#time.elapsedMs + delayMs, () => this.#enter(held));
    return {
      cancel() {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  #enter(entry: Held): void {
    if (!this.#isAlive) return;
    if (this.#held !== null) {
      this.#held.push(entry);
      return;
    }
    this.runs();
    entry.run();
  }
}
