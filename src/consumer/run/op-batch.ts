import { isThenable } from '../../model/kinds.ts';
import { OpError } from '../../model/op-error.ts';
import type { ChunkContext, OpCallback } from '../types.ts';
import { CallbackTimeoutError, type CallbackWatch } from './callback-watch.ts';
import { ChunkDroppedError } from './job.ts';
import { OpJob } from './op-job.ts';
import { isOfOperation, OpFailedError } from './verdict.ts';

/** How the operations of chunks are worked on. */
export interface OpWork {
  readonly callback: OpCallback;
  /** An OpError takes the place of the result of an operation that fails. */
  readonly isRecording: boolean;
  readonly watch: CallbackWatch;
  /** null: the operations of a chunk run one after the other. */
  readonly lanes: OpLanes | null;
}

/** Calls the callback for each operation. Synchronous as long as the callback is: no promise per operation. */
export function runOps(
  work: OpWork,
  ops: readonly unknown[],
  chunk: ChunkContext,
): unknown[] | Promise<unknown[]> {
  const batch = new OpBatch(work, ops, chunk);
  if (work.lanes !== null) return batch.runIn(work.lanes);
  return batch.runAtOnce() ? batch.results : batch.runIn(batch.lanes);
}

/** Bounds how many operations are in progress at once, over all chunks that share it. The oldest chunk goes first. */
export class OpLanes {
  readonly #max: number;
  /** Chunks with operations that have not begun, in the order in which they came. */
  readonly #waiting: OpBatch[] = [];
  #busy = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(batch: OpBatch): void {
    this.#waiting.push(batch);
    this.#fill();
  }

  enter(): void {
    this.#busy++;
  }

  leave(): void {
    this.#busy--;
    this.#fill();
  }

  #fill(): void {
    while (this.#busy < this.#max) {
      const batch = this.#waiting[0];
      if (batch === undefined) return;
      if (!batch.beginNext()) this.#waiting.shift();
    }
  }
}

/**
 * The operations of one chunk.
 *
 *     beginning --all have begun, or one failed--> ending --all that began have ended--> settled
 *
 * After a failure nothing more is begun, and the signals of what is in progress fire. The chunk fails when that has
 * ended, so that none of its operations still runs here when it is tried again.
 */
class OpBatch {
  readonly results: unknown[];
  readonly #work: OpWork;
  readonly #ops: readonly unknown[];
  readonly #chunk: ChunkContext;
  readonly #settled = Promise.withResolvers<unknown[]>();
  /** In progress. */
  readonly #open = new Set<OpJob>();
  #lanes: OpLanes | null = null;
  #next = 0;
  #failure: { readonly error: unknown } | null = null;

  constructor(work: OpWork, ops: readonly unknown[], chunk: ChunkContext) {
    this.#work = work;
    this.#ops = ops;
    this.#chunk = chunk;
    this.results = new Array(ops.length);
  }

  get lanes(): OpLanes {
    this.#lanes ??= new OpLanes(1);
    return this.#lanes;
  }

  /** Until a callback returns a promise; true if none does. */
  runAtOnce(): boolean {
    while (this.#next < this.#ops.length) {
      this.#begin();
      if (this.#failure !== null) throw this.#failure.error;
      if (this.#open.size > 0) return false;
    }
    return true;
  }

  /** The rest, as far as the lanes allow. */
  runIn(lanes: OpLanes): Promise<unknown[]> {
    this.#lanes = lanes;
    lanes.add(this);
    this.#settleIfDone();
    return this.#settled.promise;
  }

  /** Begins one more operation; false if there is none left to begin. */
  beginNext(): boolean {
    // What nobody wants is not worth the rest of the chunk.
    if (this.#chunk.signal.aborted) this.#fail(this.#chunk.signal.reason);
    if (this.#next < this.#ops.length) this.#begin();
    this.#settleIfDone();
    return this.#next < this.#ops.length;
  }

  #begin(): void {
    const index = this.#next++;
    const { callback, watch } = this.#work;
    const job = new OpJob(this.#chunk, index);
    try {
      const result = callback(this.#ops[index], job);
      if (isThenable(result)) {
        // Before anything counts on it: a promise with a `constructor` of its own may throw here.
        this.#follow(job, Promise.resolve(result));
        return;
      }
      this.results[index] = result;
    } catch (error) {
      this.#opFailed(job, error);
    }
    job.end();
    watch.progressed();
  }

  #follow(job: OpJob, result: Promise<unknown>): void {
    const { watch } = this.#work;
    this.lanes.enter();
    this.#open.add(job);
    watch.begin(job, () => {
      const error = new CallbackTimeoutError(watch.limitMs);
      job.interrupt(error);
      this.#opFailed(job, error);
      this.#ended(job);
    });
    result.then(
      (value) => {
        if (!watch.end(job)) return;
        this.results[job.operationIndex] = value;
        this.#ended(job);
      },
      (error: unknown) => {
        if (!watch.end(job)) return;
        this.#opFailed(job, error);
        this.#ended(job);
      },
    );
  }

  #ended(job: OpJob): void {
    job.end();
    this.#work.watch.progressed();
    this.#open.delete(job);
    this.lanes.leave();
    this.#settleIfDone();
  }

  #opFailed({ operationIndex }: OpJob, error: unknown): void {
    if (this.#work.isRecording && isOfOperation(error)) {
      this.results[operationIndex] = OpError.from(error);
    } else this.#fail(new OpFailedError(operationIndex, this.#ops.length, error));
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = { error };
    this.#next = this.#ops.length;
    if (this.#open.size === 0) return;
    const reason = new ChunkDroppedError('operation_failed');
    for (const job of this.#open) job.interrupt(reason);
  }

  #settleIfDone(): void {
    if (this.#next < this.#ops.length || this.#open.size > 0) return;
    if (this.#failure === null) this.#settled.resolve(this.results);
    else this.#settled.reject(this.#failure.error);
  }
}
