/** A timer that can be taken back. */
export interface Timer {
  cancel(): void;
}

/** Time, handed in to everything that needs it, so that tests and the simulation can steer it. */
export interface Clock {
  /** Unix time in milliseconds; may step back. */
  nowMs(): number;
  /** Milliseconds since some moment, with fractions; never steps back. Time-outs and durations use this. */
  monotonicMs(): number;
  /** Calls `run` once, after `delayMs`. Does not keep the process alive if `unref` is set. */
  after(delayMs: number, run: () => void, options?: { readonly unref?: boolean }): Timer;
  /** Calls `run` once, after what is being done now (the current turn of the event loop). */
  soon(run: () => void): void;
}

// Taken when this module is loaded: a user's test that replaces the timers afterwards, as Jest, Vitest, Sinon and
// node:test do, must not stop the clients that run beside it.
const { setTimeout, clearTimeout, setImmediate, performance } = globalThis;
const dateNow = Date.now.bind(Date);

/** The clock of this machine. */
export const systemClock: Clock = {
  nowMs: dateNow,
  monotonicMs: () => performance.now(),
  after(delayMs, run, options) {
    // setTimeout fires at once beyond 2^31 - 1 ms.
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), 0x7fff_ffff));
    if (options?.unref) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon(run) {
    setImmediate(run);
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Whether `work` ends within that time, with success or without; resolves as soon as that is known. */
export function endsWithin(clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, () => resolve(false));
    const ended = () => {
      timer.cancel();
      resolve(true);
    };
    work.then(ended, ended);
  });
}
