import type { Logger } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import { type Clock, sleep } from '../../system/time/clock.ts';
import { ObjectStoreError } from '../errors.ts';
import type { OptionReader } from '../options.ts';
import type { ListPage, ListQuery, ObjectBackend } from './backend.ts';

/** How long and how often a call is tried. The defaults are those of the original. */
export interface CallRetryPolicy {
  /** Of one try, body included, in milliseconds. Default 30 000. */
  readonly timeoutMs: number;
  /** Tries after the first. Default 10. */
  readonly retriesMax: number;
  /** No try begins later than this after the first one began, in milliseconds. Default 180 000. */
  readonly retryTimeoutMs: number;
  /** The first wait, in milliseconds. Default 100. */
  readonly firstWaitMs: number;
  /** The longest wait, in milliseconds; also of a `Retry-After`. Default 15 000. */
  readonly waitMsMax: number;
}

export function retryPolicy(options: OptionReader): CallRetryPolicy {
  return {
    timeoutMs: options.durationMs(30_000, 'timeout'),
    retriesMax: options.integer(10, 0, 'max_retries'),
    retryTimeoutMs: options.durationMs(180_000, 'retry_timeout'),
    firstWaitMs: options.durationMs(100, 'retry_first_wait'),
    waitMsMax: options.durationMs(15_000, 'retry_max_wait'),
  };
}

/** A store is being waited for. */
export interface StoreWait {
  readonly url: string;
  /** put, get, delete or list. */
  readonly what: string;
  readonly key: string;
  /** The wait that begins now, in milliseconds. */
  readonly waitMs: number;
  /** Tries that failed so far. */
  readonly tries: number;
  readonly error: ObjectStoreError;
}

export interface RetryContext {
  readonly url: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Called whenever a call waits for its next try. */
  readonly onWait?: ((wait: StoreWait) => void) | undefined;
}

/** Waits that are told in the log: one in this many milliseconds, with the number of the others. */
const LOG_EVERY_MS = 5_000;

/** Adds a time limit per try, and further tries where they may help, to each call of a backend. */
export function withRetries(
  inner: ObjectBackend,
  policy: CallRetryPolicy,
  context: RetryContext,
): ObjectBackend {
  const retrier = new Retrier(policy, context);
  return {
    deleteMax: inner.deleteMax,
    put: (name, body, signal) =>
      retrier.run('put', name, signal, (attempt) => inner.put(name, body, attempt)),
    get: (name, signal) => retrier.run('get', name, signal, (attempt) => inner.get(name, attempt)),
    delete: (names, signal) =>
      retrier.run('delete', names[0] ?? '', signal, (attempt) => inner.delete(names, attempt)),
    list: (query: ListQuery, signal): Promise<ListPage> =>
      retrier.run('list', query.start, signal, (attempt) => inner.list(query, attempt)),
    close: () => inner.close(),
  };
}

class Retrier {
  readonly #policy: CallRetryPolicy;
  readonly #context: RetryContext;
  #loggedMs = -Infinity;
  #unlogged = 0;

  constructor(policy: CallRetryPolicy, context: RetryContext) {
    this.#policy = policy;
    this.#context = context;
  }

  async run<T>(
    what: string,
    key: string,
    signal: AbortSignal,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, random } = this.#context;
    const { retriesMax, retryTimeoutMs, firstWaitMs, waitMsMax } = this.#policy;
    const beganMs = clock.monotonicMs();
    let lastWaitMs = firstWaitMs;
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted();
      try {
        return await this.#once(what, key, signal, attempt);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof ObjectStoreError) || !error.retryable) throw error;
        const drawn =
          tries === 1 ? firstWaitMs : firstWaitMs + random.next() * (2 * lastWaitMs - firstWaitMs);
        lastWaitMs = Math.min(drawn, waitMsMax);
        const waitMs = Math.max(
          lastWaitMs,
          Math.min(error.retryAfterMs ?? 0, Math.max(waitMsMax, firstWaitMs)),
        );
        const spentMs = clock.monotonicMs() - beganMs;
        if (tries > retriesMax || spentMs + waitMs > retryTimeoutMs) throw gaveUp(error, tries, spentMs);
        this.#tell({ url: this.#context.url, what, key, waitMs, tries, error });
        await sleep(clock, waitMs, signal);
      }
    }
  }

  /** One try. What the backend makes of an abort does not matter: at the latest then this is over. */
  #once<T>(
    what: string,
    key: string,
    signal: AbortSignal,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { timeoutMs } = this.#policy;
    const controller = new AbortController();
    // Written out instead of with `Promise.race`, which takes as long as all the rest of this.
    return new Promise<T>((resolve, reject) => {
      const running = attempt(controller.signal);
      const settle = () => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      const end = (reason: unknown) => {
        settle();
        reject(reason);
        controller.abort(reason);
      };
      const onAbort = () => end(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      const timer = this.#context.clock.after(timeoutMs, () => {
        const text = `object ${key}: ${what}: not done within ${timeoutMs} ms`;
        end(new ObjectStoreError('OBJECT_UNREACHABLE', key, text, { retryable: true }));
      });
      running.then(
        (value) => {
          settle();
          resolve(value);
        },
        (error: unknown) => {
          settle();
          reject(error);
        },
      );
    });
  }

  #tell(wait: StoreWait): void {
    const { onWait, clock, logger } = this.#context;
    onWait?.(wait);
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#loggedMs < LOG_EVERY_MS) {
      this.#unlogged++;
      return;
    }
    const others = this.#unlogged === 0 ? '' : `, as ${this.#unlogged} other calls since the last such line`;
    this.#loggedMs = nowMs;
    this.#unlogged = 0;
    logger.warn(
      {
        url: wait.url,
        key: wait.key,
        tries: wait.tries,
        waitMs: Math.round(wait.waitMs),
        code: wait.error.code,
      },
      `waiting for the object store: ${wait.error.message}; trying again in ${Math.round(wait.waitMs)} ms${others}`,
    );
  }
}

function gaveUp(error: ObjectStoreError, tries: number, spentMs: number): ObjectStoreError {
  const spent = `${tries} tries in ${(spentMs / 1_000).toFixed(1)} s`;
  return error.with({ message: `${error.message} (gave up after ${spent})` });
}
