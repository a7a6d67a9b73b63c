import type { Clock } from '../system/time/clock.ts';

/** SIGHUP comes when the terminal is closed; Node.js takes no notice of `nohup`. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type StopSignal = (typeof SIGNALS)[number];

/** What signals come from. */
export interface SignalTarget {
  on(signal: StopSignal, listener: (signal: StopSignal) => void): unknown;
  off(signal: StopSignal, listener: (signal: StopSignal) => void): unknown;
  readonly pid: number;
  kill(pid: number, signal: StopSignal): unknown;
}

/** npm passes on a Ctrl-C that the terminal has sent to its whole process group already: one key, two signals. */
const ONE_KEY_MS = 200;

/**
 * Waits for Ctrl-C, SIGTERM or SIGHUP. The first one resolves `first`; after it, another one ends the process at
 * once, as it ends any process that does not wait for it.
 */
export class StopSignals {
  readonly first: Promise<StopSignal>;
  readonly #target: SignalTarget;
  readonly #onSignal: (signal: StopSignal) => void;

  /** @param target the process; something that acts like it in tests */
  constructor(clock: Clock, target: SignalTarget) {
    this.#target = target;
    const { promise, resolve } = Promise.withResolvers<StopSignal>();
    this.first = promise;
    let firstAtMs: number | null = null;
    this.#onSignal = (signal) => {
      if (firstAtMs === null) {
        firstAtMs = clock.monotonicMs();
        resolve(signal);
      } else if (clock.monotonicMs() - firstAtMs > ONE_KEY_MS) {
        // Leaving it to the system ends also a process whose database thread hangs in a call: `exit` waits for that.
        this.release();
        target.kill(target.pid, signal);
      }
    };
    for (const signal of SIGNALS) target.on(signal, this.#onSignal);
  }

  /** From here on signals do again what they do to any process. */
  release(): void {
    for (const signal of SIGNALS) this.#target.off(signal, this.#onSignal);
  }
}
