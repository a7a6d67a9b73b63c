import { OpsqueueError } from '../model/errors.ts';
import { isPromise } from '../model/kinds.ts';
import { QueueUnavailableError } from '../queue/errors.ts';
import type { Clock } from '../system/time/clock.ts';

/** Computes a view. It yields now and then, so that others get their turn; what it looks at may change meanwhile. */
export type Computation<T> = Generator<undefined, T, undefined>;

/** Where the store is asked first, a promise. */
export type Computing<T> = Computation<T> | Promise<Computation<T>>;

/** For what is computed at once. */
export function* inOneStep<T>(value: T): Computation<T> {
  yield;
  return value;
}

/** Of rows of an answer: between two offers to give others their turn. */
const ROWS_STRIDE = 16;

/** What is made of each of them. */
export function* ofEach<T, Made>(all: readonly T[], make: (each: T) => Made): Computation<Made[]> {
  const made: Made[] = [];
  for (const each of all) {
    if (made.length % ROWS_STRIDE === 0) yield;
    made.push(make(each));
  }
  return made;
}

/** What was computed, for all who ask. */
export interface Computed<T> {
  readonly value: T;
  /** Another number whenever the value is another one. */
  readonly number: number;
  /** Unix milliseconds. */
  readonly asOfMs: number;
  readonly ageMs: number;
}

/** More different views are asked for than are kept, or than there is time for. */
export class TooManyViewsError extends OpsqueueError {
  readonly retryAfterSeconds: number;

  constructor(what: string, retryAfterSeconds: number) {
    super('TOO_MANY_VIEWS', `${what}: try again in ${retryAfterSeconds} seconds`);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface FramesOptions {
  readonly clock: Clock;
  /** Processor time of the queue's thread so far, in milliseconds. */
  readonly cpuMs: () => number;
  /** How late timers come, at worst, in milliseconds: then everything is computed half as often. */
  readonly loopDelayMs: () => number;
}

interface View {
  readonly key: string;
  value: unknown;
  number: number;
  /** On the monotonic clock, when it was computed last; -Infinity: not yet. */
  madeAtMs: number;
  asOfMs: number;
  /** Processor time of the last two computations, the latest first, in milliseconds. */
  costsMs: readonly [number, number];
  askedAtMs: number;
  pending: Promise<void> | null;
}

interface Job {
  readonly computation: Computation<unknown>;
  /** Of a view that has not been computed before. */
  readonly isNew: boolean;
  costMs: number;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Views that are kept. */
export const VIEWS_MAX = 64;
/** A view is computed again after this time at the earliest. */
const INTERVAL_MS_MIN = 1_000;
/** All views together take one part in so many of the queue's time. */
const SHARE = 100;
/** What the store is asked for counts as so much of the queue's time, in milliseconds. */
const READ_COST_MS = 1;
/**
 * Of what nobody has looked at yet no interval is known. All such views together take one part in so many of the queue's time,
 * and so many milliseconds at once after a pause: opening a page costs some tens.
 */
const NEW_SHARE = 20;
export const NEW_MS_MAX = 1_000;
/** For that long at a time, in milliseconds, and then to the end of the step: two of them at most. */
export const SLICE_MS = 1;
/** One that nobody has asked for in that time makes room for another one. */
const UNUSED_AFTER_MS = 3_000;
/** One that nobody has asked for in that time costs nothing: pages ask every 15 seconds at the slowest. */
const FREE_AFTER_MS = 20_000;
/** So late timers mean that the queue has better things to do. */
const BUSY_LOOP_DELAY_MS = 20;

/**
 * What people look at, computed when somebody asks, at most so often that all views together take a hundredth of the
 * queue's time, and shared by all who ask; a slice at a time, one a turn.
 */
export class Frames {
  readonly #o: FramesOptions;
  readonly #views = new Map<string, View>();
  readonly #jobs: Job[] = [];
  #isArmed = false;
  #lastNumber = 0;
  /** What new views may cost now, in milliseconds; below 0: they have cost more than that. As of a moment. */
  #newMsLeft = NEW_MS_MAX;
  #newAsOfMs: number;
  /** How often one too many was asked for. */
  refused = 0;

  constructor(options: FramesOptions) {
    this.#o = options;
    this.#newAsOfMs = options.clock.monotonicMs();
  }

  get kept(): number {
    return this.#views.size;
  }

  /**
   * Processor time that it takes to compute all that somebody looks at once, in milliseconds. Of each view the cheaper one of the last
   * two computations counts: one that ran code for the first time, or into a collection of garbage, says nothing of the next one.
   */
  get costMs(): number {
    const nowMs = this.#o.clock.monotonicMs();
    let cost = 0;
    for (const { askedAtMs, costsMs } of this.#views.values()) {
      if (nowMs - askedAtMs < FREE_AFTER_MS) cost += Math.min(...costsMs);
    }
    return cost;
  }

  /** Between two computations of the same view, in milliseconds. */
  get intervalMs(): number {
    const isBusy = this.#o.loopDelayMs() > BUSY_LOOP_DELAY_MS;
    return Math.max(INTERVAL_MS_MIN, SHARE * this.costMs) * (isBusy ? 2 : 1);
  }

  /**
   * @param key says what it is of: who asks with the same key gets the same
   * @param isSame whether two values say the same
   * @throws TooManyViewsError; whatever the computation throws
   */
  async get<T>(
    key: string,
    compute: () => Computing<T>,
    isSame: (a: T, b: T) => boolean = Object.is,
  ): Promise<Computed<T>> {
    const nowMs = this.#o.clock.monotonicMs();
    const view = this.#views.get(key) ?? this.#add(key, nowMs);
    view.askedAtMs = nowMs;
    if (view.pending !== null) await view.pending;
    else if (nowMs - view.madeAtMs >= this.intervalMs) {
      view.pending = this.#compute(view, compute, isSame).finally(() => {
        view.pending = null;
      });
      await view.pending;
    }
    const { number, asOfMs, madeAtMs } = view;
    const ageMs = Math.max(0, Math.round(this.#o.clock.monotonicMs() - madeAtMs));
    return { value: view.value as T, number, asOfMs, ageMs };
  }

  /** What is being computed ends with a QueueUnavailableError. */
  stop(): void {
    for (const job of this.#jobs.splice(0)) job.reject(new QueueUnavailableError('the queue is stopping'));
  }

  #add(key: string, nowMs: number): View {
    this.#newMsLeft = Math.min(NEW_MS_MAX, this.#newMsLeft + (nowMs - this.#newAsOfMs) / NEW_SHARE);
    this.#newAsOfMs = nowMs;
    if (this.#newMsLeft <= 0) {
      this.#refuse(
        'different views take more of the time of the queue than they may',
        (1 - this.#newMsLeft) * NEW_SHARE,
      );
    }
    if (this.#views.size >= VIEWS_MAX) this.#makeRoom(nowMs);
    const never = Number.NEGATIVE_INFINITY;
    const view: View = {
      key,
      value: undefined,
      number: 0,
      madeAtMs: never,
      asOfMs: 0,
      costsMs: [0, 0],
      askedAtMs: nowMs,
      pending: null,
    };
    this.#views.set(key, view);
    return view;
  }

  #makeRoom(nowMs: number): void {
    let longestUnused: View | null = null;
    for (const view of this.#views.values()) {
      if (view.pending !== null || nowMs - view.askedAtMs < UNUSED_AFTER_MS) continue;
      if (longestUnused === null || view.askedAtMs < longestUnused.askedAtMs) longestUnused = view;
    }
    if (longestUnused === null) {
      this.#refuse(`more than ${VIEWS_MAX} different views are being looked at`, UNUSED_AFTER_MS);
    }
    this.#views.delete(longestUnused.key);
  }

  #refuse(what: string, forMs: number): never {
    this.refused++;
    throw new TooManyViewsError(what, Math.ceil(forMs / 1_000));
  }

  async #compute<T>(view: View, compute: () => Computing<T>, isSame: (a: T, b: T) => boolean): Promise<void> {
    try {
      const asOfMs = this.#o.clock.nowMs();
      const made = compute();
      const readMs = isPromise(made) ? READ_COST_MS : 0;
      const isNew = view.number === 0;
      if (isNew) this.#newMsLeft -= readMs;
      const { value, costMs } = await this.#run(isPromise(made) ? await made : made, isNew);
      // An answer that says the same keeps its number: whoever has it need not get it again.
      if (view.number === 0 || !isSame(value as T, view.value as T)) {
        view.number = ++this.#lastNumber;
        view.value = value;
      }
      view.asOfMs = asOfMs;
      view.madeAtMs = this.#o.clock.monotonicMs();
      view.costsMs = [readMs + costMs, view.costsMs[0]];
    } catch (error) {
      // Nobody is shown old figures for new ones.
      this.#views.delete(view.key);
      throw error;
    }
  }

  #run(
    computation: Computation<unknown>,
    isNew: boolean,
  ): Promise<{ readonly value: unknown; readonly costMs: number }> {
    return new Promise((resolve, reject) => {
      const job: Job = {
        computation,
        isNew,
        costMs: 0,
        resolve: (value) => resolve({ value, costMs: job.costMs }),
        reject,
      };
      this.#jobs.push(job);
      // At once: most are done within their first slice.
      if (this.#jobs.length === 1 && !this.#isArmed) this.#slice();
    });
  }

  #charge(job: Job, costMs: number): void {
    job.costMs += costMs;
    if (job.isNew) this.#newMsLeft -= costMs;
  }

  #slice(): void {
    this.#isArmed = false;
    const job = this.#jobs[0];
    if (job === undefined) return;
    const { clock, cpuMs } = this.#o;
    const startedMs = clock.monotonicMs();
    const startedCpuMs = cpuMs();
    try {
      for (;;) {
        const step = job.computation.next();
        if (step.done === true) {
          this.#charge(job, cpuMs() - startedCpuMs);
          this.#jobs.shift();
          job.resolve(step.value);
          break;
        }
        if (clock.monotonicMs() - startedMs < SLICE_MS) continue;
        this.#charge(job, cpuMs() - startedCpuMs);
        break;
      }
    } catch (error) {
      this.#charge(job, cpuMs() - startedCpuMs);
      this.#jobs.shift();
      job.reject(error);
    }
    if (this.#jobs.length === 0) return;
    this.#isArmed = true;
    clock.soon(() => this.#slice());
  }
}
