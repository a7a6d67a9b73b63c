import { MessageChannel, type Transferable } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { IncorrectUsageError } from '../../model/errors.ts';
import { isArrayBuffer } from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { orAborted } from '../../system/async/abort-signals.ts';
import { networkDefaults } from '../../system/process/network-defaults.ts';
import { CallbackTimeoutError, type CallbackWatch } from '../run/callback-watch.ts';
import { ChunkDroppedError, type ChunkDropReason } from '../run/job.ts';
import type { OnRecorded, Processor } from '../run/processor.ts';
import type { ChunkContext } from '../types.ts';
import { checkPoolFile } from './program.ts';
import type { PoolAnswer, PoolFailure, PoolSetup, PoolTask, PoolThreadData } from './protocol.ts';

/** The callback failed in a thread of the pool; the stack is the one from there. */
export class PoolFailedError extends Error {
  readonly code: string | null;
  readonly delayMs: number;

  constructor({ message, stack, verdict }: PoolFailure) {
    super(message);
    this.name = 'PoolFailedError';
    this.stack = stack;
    this.code = verdict === null ? null : verdict.retryable ? 'RETRY_LATER' : 'NON_RETRYABLE';
    this.delayMs = verdict?.delayMs ?? 0;
  }
}

/** As data: the error itself would lose its class on the way. */
function reasonOf({ reason }: AbortSignal): ChunkDropReason {
  return reason instanceof ChunkDroppedError ? reason.reason : 'abandoned';
}

export interface PoolOptions {
  readonly setup: PoolSetup;
  readonly threads: number;
  readonly watch: CallbackWatch;
  readonly recorded: OnRecorded;
}

/** Runs a module's callback in threads, for work that keeps a processor busy. */
export class CallbackPool {
  readonly #pool: Piscina<PoolTask | null, PoolAnswer>;
  readonly #watch: CallbackWatch;
  readonly #recorded: OnRecorded;

  private constructor({ setup, threads, watch, recorded }: PoolOptions) {
    this.#watch = watch;
    this.#recorded = recorded;
    this.#pool = new Piscina<PoolTask | null, PoolAnswer>({
      filename: checkPoolFile().href,
      workerData: { setup, network: networkDefaults(true) } satisfies PoolThreadData,
      minThreads: threads,
      maxThreads: threads,
      // Operations of small chunks run side by side as well; one chunk more begins while others end.
      concurrentTasksPerWorker: setup.opConcurrency === null ? 1 : setup.opConcurrency + 1,
      // Without `execArgv` the threads get the flags of the program: `--import` (loaders, instrumentation), `--use-system-ca`, ...; what it has set by calls they get as data.
      // A thread that waits for its next chunk must let the callback's own timers and sockets run.
      atomics: 'disabled',
      recordTiming: false,
    });
    // A thread that dies fails its chunk (the run logs that) and is replaced.
    this.#pool.on('error', () => {});
  }

  /**
   * Waits until the module is loaded: for ever, if it never is, so it takes a signal.
   *
   * @throws IncorrectUsageError if the module cannot be loaded or exports no function
   */
  static async start(options: PoolOptions, signal: AbortSignal): Promise<CallbackPool> {
    const pool = new CallbackPool(options);
    try {
      await orAborted(pool.#load(), signal);
      return pool;
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  async #load(): Promise<void> {
    let cause: unknown;
    try {
      const answer = await this.#pool.run(null);
      if ('output' in answer) return;
      cause = new PoolFailedError(answer.failure);
    } catch (error) {
      // The thread ended while it loaded the module.
      cause = error;
    }
    throw new IncorrectUsageError(`the callback's module cannot be used: ${messageOf(cause)}`, { cause });
  }

  readonly processor: Processor = async (input: Uint8Array, context: ChunkContext): Promise<Uint8Array> => {
    const { port1, port2 } = new MessageChannel();
    const { submission, submissionId, chunkIndex, retries, signal } = context;
    const pulse = new Int32Array(new SharedArrayBuffer(8));
    const onAbort = () => port1.postMessage(reasonOf(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    // The pool's types expect the options of a structured clone; what it takes is an array.
    const transferList: Transferable[] & { transfer?: Transferable[] } = [port2];
    if (isArrayBuffer(input.buffer) && input.buffer.byteLength === input.byteLength) {
      transferList.push(input.buffer);
    }
    try {
      const task = { input, submission, submissionId, chunkIndex, retries, port: port2, pulse };
      // Without a signal: the pool runs tasks that have one alone in their thread.
      const answer = await this.#unlessStuck(context, this.#pool.run(task, { transferList }), pulse);
      if ('failure' in answer) throw new PoolFailedError(answer.failure);
      const { output, recorded } = answer;
      if (recorded !== null) this.#recorded(context, recorded.operations, recorded.error);
      return output;
    } finally {
      signal.removeEventListener('abort', onAbort);
      port1.close();
    }
  };

  /** Ends a thread whose callback takes too long: it may be stuck in a loop. The pool replaces it. */
  #unlessStuck<T>(context: ChunkContext, running: Promise<T>, pulse: Int32Array): Promise<T> {
    const watch = this.#watch;
    let seen = Atomics.load(pulse, 0);
    return new Promise((resolve, reject) => {
      const look = () => {
        const now = Atomics.load(pulse, 0);
        // It has not begun, or it goes on.
        if (now === 0 || now !== seen) {
          seen = now;
          return watch.begin(context, look);
        }
        reject(new CallbackTimeoutError(watch.limitMs));
        const id = Atomics.load(pulse, 1);
        void this.#pool.threads.find(({ threadId }) => threadId === id)?.terminate();
      };
      watch.begin(context, look);
      running.then(resolve, reject).finally(() => watch.end(context));
    });
  }

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
