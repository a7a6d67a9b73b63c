import { MessageChannel, type Transferable } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { IncorrectUsageError } from '../../model/errors.ts';
import { isArrayBuffer } from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { orAborted } from '../../system/signals.ts';
import { CallbackTimeoutError } from '../run/callback-watch.ts';
import { ChunkDroppedError, type ChunkDropReason } from '../run/job.ts';
import type { Processor } from '../run/processor.ts';
import type { ChunkContext } from '../types.ts';
import { checkPoolFile } from './program-file.ts';
import type { PoolAnswer, PoolFailure, PoolSetup, PoolTask } from './protocol.ts';

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

/** Runs a module's callback in threads, for work that keeps a processor busy. */
export class CallbackPool {
  readonly #pool: Piscina<PoolTask | null, PoolAnswer>;

  private constructor(setup: PoolSetup, threads: number) {
    this.#pool = new Piscina<PoolTask | null, PoolAnswer>({
      filename: checkPoolFile().href,
      workerData: setup,
      minThreads: threads,
      maxThreads: threads,
      // Without `execArgv` the threads get the flags of the program: `--import` (loaders, instrumentation), `--use-system-ca`, ...
      // A thread that waits for its next chunk must let the callback's own timers and sockets run.
      atomics: 'disabled',
      recordTiming: false,
    });
    // A thread that dies fails its chunk (the run says so) and is replaced.
    this.#pool.on('error', () => {});
  }

  /**
   * Waits until the module is loaded: for ever, if it never is, so it takes a signal.
   *
   * @throws IncorrectUsageError if the module cannot be loaded or exports no function
   */
  static async start(setup: PoolSetup, threads: number, signal: AbortSignal): Promise<CallbackPool> {
    const pool = new CallbackPool(setup, threads);
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
    // Too long: nobody waits for its end, and only that of the thread is certain. The pool replaces it.
    const thread = new AbortController();
    const onAbort = () => {
      if (signal.reason instanceof CallbackTimeoutError) thread.abort();
      else port1.postMessage(reasonOf(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    // The pool's types expect the options of a structured clone; what it takes is an array.
    const transferList: Transferable[] & { transfer?: Transferable[] } = [port2];
    if (isArrayBuffer(input.buffer) && input.buffer.byteLength === input.byteLength) {
      transferList.push(input.buffer);
    }
    try {
      const task = { input, submission, submissionId, chunkIndex, retries, port: port2 };
      const answer = await this.#pool.run(task, { transferList, signal: thread.signal });
      if ('output' in answer) return answer.output;
      throw new PoolFailedError(answer.failure);
    } finally {
      signal.removeEventListener('abort', onAbort);
      port1.close();
    }
  };

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
