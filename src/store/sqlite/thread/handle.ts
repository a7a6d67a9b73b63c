import type { Worker } from 'node:worker_threads';
import { isError } from '../../../model/kinds.ts';
import { type Clock, endsWithin } from '../../../system/clock.ts';
import { startThread, type ThreadProgram } from '../../../system/thread-program.ts';
import { StoreError } from '../../errors.ts';
import type { ImportReport } from '../import/report.ts';
import { INLINED } from './inlined.ts';
import type {
  DatabaseArguments,
  DatabaseCalls,
  DatabaseMethod,
  DatabaseResult,
  ThreadOptions,
  ThreadRequest,
  ThreadResponse,
} from './protocol.ts';

const PROGRAM: ThreadProgram = {
  base: import.meta.url,
  starter: 'store/sqlite/thread/handle',
  file: './entry',
  inlined: INLINED,
};

interface Call {
  resolve(value: unknown): void;
  reject(error: StoreError): void;
}

/** The near end of the database's thread. */
export class DatabaseThread implements DatabaseCalls {
  readonly lost: AbortSignal;
  /** Set if the database was taken over from the original opsqueue just now. */
  imported: ImportReport | null = null;

  readonly #clock: Clock;
  readonly #worker: Worker;
  readonly #lost = new AbortController();
  readonly #calls = new Map<number, Call>();
  readonly #exited: Promise<void>;
  #number = 0;
  #gone: StoreError | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: ThreadOptions, clock: Clock) {
    this.#clock = clock;
    this.lost = this.#lost.signal;
    this.#worker = startThread(PROGRAM, { workerData: options });
    this.#worker.on('message', (response: ThreadResponse) => this.#receive(response));
    this.#worker.on('messageerror', (cause) => this.#end('the database thread sent nonsense', cause));
    this.#worker.on('error', (cause) => this.#end('the database thread failed', cause));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#end(`the database thread ended with status ${code}`);
        resolve();
      });
    });
  }

  /** @throws StoreError if the database cannot be opened */
  static async start(options: ThreadOptions, clock: Clock): Promise<DatabaseThread> {
    const thread = new DatabaseThread(options, clock);
    try {
      thread.imported = await new Promise<ImportReport | null>((resolve, reject) => {
        thread.#calls.set(0, { resolve: resolve as (value: unknown) => void, reject });
      });
      return thread;
    } catch (error) {
      await thread.#exited;
      throw error;
    }
  }

  get isGone(): boolean {
    return this.#gone !== null;
  }

  call<M extends DatabaseMethod>(
    method: M,
    args: DatabaseArguments<M>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<DatabaseResult<M>> {
    if (this.#closing) return Promise.reject(new StoreError('transient', 'the store is closed'));
    return this.#call(method, args, transfer);
  }

  close(graceMs?: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number | undefined): Promise<void> {
    if (!this.isGone) this.#call('close', []).catch(() => {});
    if (graceMs === undefined) {
      await this.#exited;
      return;
    }
    if (await endsWithin(this.#clock, graceMs, this.#exited)) return;
    // Between two statements of a long transaction, which SQLite takes back.
    void this.#worker.terminate();
    if (await endsWithin(this.#clock, graceMs, this.#exited)) return;
    // Nothing ends a thread that waits for the disk: it goes with the process.
    this.#worker.unref();
    this.#end('the database thread does not end');
  }

  #call<M extends DatabaseMethod>(
    method: M,
    args: DatabaseArguments<M>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<DatabaseResult<M>> {
    if (this.#gone) return Promise.reject(this.#gone);
    const number = ++this.#number;
    const request: ThreadRequest = { number, method, arguments: args };
    return new Promise((resolve, reject) => {
      // What comes back under this number is what that method returned.
      this.#calls.set(number, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage(request, transfer);
    });
  }

  #receive(response: ThreadResponse): void {
    const call = this.#calls.get(response.number);
    if (!call) return;
    this.#calls.delete(response.number);
    if ('value' in response) {
      call.resolve(response.value);
      return;
    }
    const error = new StoreError(response.error.storeClass, response.error.message);
    call.reject(error);
    if (error.storeClass === 'corrupt' && !this.#closing) this.#lost.abort(error);
  }

  #end(message: string, cause?: unknown): void {
    if (this.#gone) return;
    const detail = isError(cause) ? `${message}: ${cause.message}` : message;
    this.#gone = new StoreError('transient', detail, { cause });
    for (const call of this.#calls.values()) call.reject(this.#gone);
    this.#calls.clear();
    if (!this.#closing) this.#lost.abort(this.#gone);
  }
}
