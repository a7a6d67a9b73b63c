import { NumberedCalls, Thread, type ThreadProgram } from '../../../system/process/worker.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { StoreError } from '../../errors.ts';
import type { ImportReport } from '../import/report.ts';
import { DATABASE_PROGRAM } from './inlined.ts';
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
  inlined: DATABASE_PROGRAM,
};

/** The near end of the database's thread. */
export class DatabaseThread implements DatabaseCalls {
  readonly lost: AbortSignal;
  /** Set if the database was taken over from the original opsqueue just now. */
  imported: ImportReport | null = null;

  readonly #clock: Clock;
  readonly #thread: Thread<ThreadRequest, ThreadResponse>;
  readonly #lost = new AbortController();
  readonly #calls = new NumberedCalls<unknown>();
  #gone: StoreError | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: ThreadOptions, clock: Clock) {
    this.#clock = clock;
    this.lost = this.#lost.signal;
    this.#thread = new Thread(
      PROGRAM,
      { workerData: options },
      {
        message: (response) => this.#receive(response),
        exited: (error, status) =>
          this.#end(
            error === null
              ? `the database thread ended with status ${status}`
              : `the database thread failed: ${error.message}`,
            error,
          ),
      },
    );
  }

  /** @throws StoreError if the database cannot be opened */
  static async start(options: ThreadOptions, clock: Clock): Promise<DatabaseThread> {
    const thread = new DatabaseThread(options, clock);
    try {
      // The first answer, which comes by itself.
      thread.imported = (await thread.#calls.open().answer) as ImportReport | null;
      return thread;
    } catch (error) {
      await thread.#thread.exited;
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
    if (graceMs === undefined) await this.#thread.exited;
    // Termination comes between two statements of a long transaction, which SQLite takes back.
    else if (!(await this.#thread.end(this.#clock, graceMs, graceMs))) {
      this.#end('the database thread does not end', null);
    }
  }

  #call<M extends DatabaseMethod>(
    method: M,
    args: DatabaseArguments<M>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<DatabaseResult<M>> {
    if (this.#gone) return Promise.reject(this.#gone);
    const { number, answer } = this.#calls.open();
    this.#thread.post({ number, method, arguments: args }, transfer);
    // What comes back under this number is what that method returned.
    return answer as Promise<DatabaseResult<M>>;
  }

  #receive(response: ThreadResponse): void {
    if ('value' in response) {
      this.#calls.answered(response.number, response.value);
      return;
    }
    const error = new StoreError(response.error.storeClass, response.error.message);
    this.#calls.failed(response.number, error);
    if (error.storeClass === 'corrupt' && !this.#closing) this.#lost.abort(error);
  }

  #end(message: string, cause: Error | null): void {
    if (this.#gone) return;
    this.#gone = new StoreError('transient', message, { cause: cause ?? undefined });
    this.#calls.failAll(this.#gone);
    if (!this.#closing) this.#lost.abort(this.#gone);
  }
}
