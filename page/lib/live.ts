import { useEffect, useLayoutEffect, useMemo, useReducer, useRef } from 'preact/hooks';
import { ApiError, getJson } from './api.ts';
import { queueNowMs } from './clock.ts';
import { type Hearing, problemOf } from './heard.ts';
import { preferences } from './preferences.ts';
import { isSameBut } from './same.ts';
import { Store } from './store.ts';

/** What is known of the queue's being there. */
export interface Live {
  /** The latest answer to anything, by the queue's clock; null: none yet. */
  readonly heardAtMs: number | null;
  /** Why nothing at all is heard; null: something is. */
  readonly problem: string | null;
}

export const live = new Store<Live>({ heardAtMs: null, problem: null });
/** What is asked for now. */
const polls = new Set<Hearing>();
export const hearings: ReadonlySet<Hearing> = polls;
/** Counts what was changed from this page: everything is asked for anew then. */
export const changes = new Store(0);
/** How many feeds hold still. */
export const held = new Store(0);
/** Polling has been stopped by hand. */
export const isPaused = new Store(false);

const BACKOFF_MS_MAX = 15_000;
const BACKOFF_MS_MIN = 1_000;

/** Asks the same thing again and again, while anyone can see the answer. */
class Poll<T> implements Hearing {
  data: T | null = null;
  dataAtMs: number | null = null;
  /** The value of `changes` when `data` was asked for. */
  dataChanges = 0;
  error: ApiError | null = null;
  readonly startedAtMs = queueNowMs();
  heardAtMs: number | null = null;
  failure: Hearing['failure'] = null;
  readonly slower: number;
  readonly #read: (signal: AbortSignal) => Promise<T>;
  readonly #changed: () => void;
  readonly #stops: (() => void)[] = [];
  #request: AbortController | null = null;
  #timer = 0;
  #failures = 0;
  #isStopped = false;

  constructor(read: (signal: AbortSignal) => Promise<T>, slower: number, changed: () => void) {
    this.#read = read;
    this.slower = slower;
    this.#changed = changed;
  }

  get isRefused(): boolean {
    return this.error?.isRefusal ?? false;
  }

  start(): void {
    polls.add(this);
    const again = () => this.#schedule(this.error?.isFinal ? Number.POSITIVE_INFINITY : 0);
    document.addEventListener('visibilitychange', again);
    this.#stops.push(() => document.removeEventListener('visibilitychange', again));
    this.#stops.push(
      changes.subscribe(() => void this.ask()),
      isPaused.subscribe(again),
      preferences.subscribe(() => this.#schedule(this.#waitMs())),
    );
    void this.ask();
  }

  stop(): void {
    this.#isStopped = true;
    polls.delete(this);
    clearTimeout(this.#timer);
    this.#request?.abort();
    for (const stop of this.#stops) stop();
  }

  async ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    const changesThen = changes.value;
    try {
      const data = await this.#read(request.signal);
      if (request.signal.aborted) return;
      this.data = data;
      this.error = null;
      this.#failures = 0;
      this.#heard();
      this.dataAtMs = this.heardAtMs;
      this.dataChanges = changesThen;
    } catch (error) {
      if (request.signal.aborted) return;
      this.#failures++;
      this.error = error instanceof ApiError ? error : new ApiError(0, 'PAGE', String(error));
      if (this.error.isRefusal) this.#heard();
      else this.failure = { sinceMs: this.failure?.sinceMs ?? queueNowMs(), text: this.error.message };
    }
    this.#request = null;
    if (this.#isStopped) return;
    const heardAtMs = Math.max(this.heardAtMs ?? 0, live.value.heardAtMs ?? 0) || null;
    live.set({ heardAtMs, problem: problemOf(polls) });
    this.#changed();
    this.#schedule(this.#waitMs());
  }

  #heard(): void {
    this.heardAtMs = queueNowMs();
    this.failure = null;
  }

  /** Infinity: until somebody looks, or asks. */
  #waitMs(): number {
    if (this.error?.isFinal) return Number.POSITIVE_INFINITY;
    if (this.#failures > 0) {
      const backOff = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (this.#failures - 1));
      return Math.max(backOff, this.error?.retryAfterMs ?? 0);
    }
    const { intervalMs } = preferences.value;
    return intervalMs === 0 ? Number.POSITIVE_INFINITY : intervalMs * this.slower;
  }

  /** A request that is under way schedules the next one at its end. */
  #schedule(waitMs: number): void {
    if (this.#isStopped || this.#request !== null) return;
    clearTimeout(this.#timer);
    if (document.visibilityState !== 'visible' || isPaused.value || waitMs === Number.POSITIVE_INFINITY)
      return;
    this.#timer = window.setTimeout(() => void this.ask(), waitMs);
  }
}

export interface Feed<T> {
  /** The latest answer to what is asked now, or what `keeps` leaves of the one before; null: there is none. */
  readonly data: T | null;
  /** When `data` came, by the queue's clock. */
  readonly dataAtMs: number | null;
  readonly error: ApiError | null;
  /** The answer is that of the request before, while the new one is under way. */
  readonly isOld: boolean;
  reload(): void;
}

export interface FeedOptions<T> {
  /** Asks less often, by this factor. */
  readonly slower?: number;
  /** What is shown stays as it is, until something is changed from this page. */
  readonly isHeld?: boolean;
  /** Where no other parameters than these have changed, the old answer stays until there is a new one or an error. Default: none. */
  readonly keeps?: readonly string[];
  readonly read?: (path: string, signal: AbortSignal) => Promise<T>;
}

/** Rows stay where they are while they are put in another order, or their next page is fetched. */
export const LIST_KEEPS = ['sort', 'order', 'cursor'];

/** Follows an answer of the API. What was answered to one request never stands for another one. */
export function useFeed<T extends object>(path: string | null, options: FeedOptions<T> = {}): Feed<T> {
  const {
    slower = 1,
    isHeld = false,
    keeps = [],
    read = getJson as (path: string, signal: AbortSignal) => Promise<T>,
  } = options;
  const [, redraw] = useReducer((count: number, _: null) => count + 1, 0);
  const poll = useMemo(
    () =>
      path === null
        ? null
        : new Poll<T>(
            (signal) => read(path, signal),
            slower,
            () => redraw(null),
          ),
    [path, slower],
  );
  // Before anything is painted: that would only delay the first answer.
  useLayoutEffect(() => {
    poll?.start();
    return () => poll?.stop();
  }, [poll]);
  useEffect(() => {
    if (!isHeld) return;
    held.set(held.value + 1);
    return () => held.set(held.value - 1);
  }, [isHeld]);
  const shown = useRef<{ path: string | null; data: T | null; atMs: number | null; changes: number }>({
    path,
    data: null,
    atMs: null,
    changes: changes.value,
  });
  const data = poll?.data ?? null;
  // Of what was asked for anew there is nothing yet that could be held.
  const isNew =
    shown.current.data === null || shown.current.path !== path || shown.current.changes !== poll?.dataChanges;
  if (poll !== null && data !== null && (isNew || !isHeld))
    shown.current = { path, data, atMs: poll.dataAtMs, changes: poll.dataChanges };
  const error = poll?.error ?? null;
  const isOld = shown.current.path !== path;
  const stays =
    !isOld ||
    (error === null &&
      path !== null &&
      shown.current.path !== null &&
      isSameBut(keeps, shown.current.path, path));
  return {
    data: stays ? shown.current.data : null,
    dataAtMs: shown.current.atMs,
    error,
    isOld: isOld && stays && shown.current.data !== null,
    reload: () => void poll?.ask(),
  };
}
