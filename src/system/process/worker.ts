import { existsSync } from 'node:fs';
import { type Transferable, Worker, type WorkerOptions } from 'node:worker_threads';
import { IncorrectUsageError } from '../../model/errors.ts';
import { isArrayBuffer, isError } from '../../model/kinds.ts';
import { oncePerTurn, type TurnClock } from '../event-loop/end-of-turn.ts';
import { type Clock, endsWithin } from '../time/clock.ts';

/** Smaller bodies are cheaper to copy than to transfer. */
const TRANSFER_BYTES_MIN = 4 * 1024;

/** The program of a thread: `entry.ts`, beside the module that starts it. */
export interface ThreadProgram {
  /** `import.meta.url` of that module; a bundle of CommonJS has none. */
  readonly base: string | undefined;
  /** The same module below `src/`, without its extension. */
  readonly starter: string;
  /** The program as one text, written by the build; null in the sources. */
  readonly inlined: string | null;
}

/** The program's file, or null if there is none: a bundler has made one file of many. */
export function programFile({ base, starter }: ThreadProgram): URL | null {
  if (base === undefined || !URL.canParse(base)) return null;
  const { pathname } = new URL(base);
  const extension = pathname.endsWith('.ts') ? 'ts' : 'js';
  // In a bundle the same relative path may lead to a file of another package.
  if (!pathname.endsWith(`/${starter}.${extension}`)) return null;
  const url = new URL(`entry.${extension}`, base);
  return existsSync(url) ? url : null;
}

/**
 * Starts the thread: from its file where the package is installed, from its text in a bundle.
 *
 * @throws IncorrectUsageError if there is neither
 */
export function spawn(program: ThreadProgram, options: WorkerOptions): Worker {
  const file = programFile(program);
  if (file !== null) return new Worker(file, options);
  if (program.inlined !== null) return new Worker(program.inlined, { ...options, eval: true });
  throw new IncorrectUsageError(
    `cannot find the program of the thread that ${program.starter} starts, from ${program.base}: bundle the built package, not its sources`,
  );
}

export interface ThreadListener<Out> {
  message(message: Out): void;
  /** It ended, by an error or with a status. */
  exited(error: Error | null, status: number): void;
}

/** The near end of a thread. */
export class Thread<In, Out> {
  /** Resolves when it has ended. */
  readonly exited: Promise<void>;
  readonly #worker: Worker;
  #isGone = false;

  constructor(program: ThreadProgram, options: WorkerOptions, listener: ThreadListener<Out>) {
    const worker = spawn(program, options);
    this.#worker = worker;
    let error: Error | null = null;
    worker.on('message', (message: Out) => listener.message(message));
    worker.on('messageerror', (cause) => {
      error = cause;
      void worker.terminate();
    });
    worker.on('error', (thrown: unknown) => {
      error = isError(thrown) ? thrown : new Error(String(thrown));
    });
    this.exited = new Promise((resolve) => {
      worker.once('exit', (status) => {
        this.#isGone = true;
        resolve();
        listener.exited(error, status);
      });
    });
  }

  post(message: In, transfer: readonly Transferable[] = []): void {
    if (!this.#isGone) this.#worker.postMessage(message, transfer);
  }

  /** Whether it keeps the process alive. */
  keepAlive(isNeeded: boolean): void {
    if (isNeeded) this.#worker.ref();
    else this.#worker.unref();
  }

  /**
   * Waits until it has ended, as it was asked to; terminates it after `graceMs`. One that waits in the operating system
   * (for a disk that hangs) does not end: after `terminateMs` more it is left to the end of the process, and the answer is false.
   */
  async end(clock: Clock, graceMs: number, terminateMs: number): Promise<boolean> {
    this.#worker.ref();
    if (await endsWithin(clock, graceMs, this.exited)) return true;
    void this.#worker.terminate();
    if (await endsWithin(clock, terminateMs, this.exited)) return true;
    this.#worker.unref();
    return false;
  }
}

/** Calls to another thread, each with a number under which its answer comes; the first one is 0. */
export class NumberedCalls<T> {
  readonly #waiting = new Map<number, PromiseWithResolvers<T>>();
  #next = 0;

  /** Calls that wait for their answers. */
  get size(): number {
    return this.#waiting.size;
  }

  open(): { readonly number: number; readonly answer: Promise<T> } {
    const number = this.#next++;
    const call = Promise.withResolvers<T>();
    this.#waiting.set(number, call);
    return { number, answer: call.promise };
  }

  answered(number: number, value: T): void {
    this.#take(number)?.resolve(value);
  }

  failed(number: number, error: Error): void {
    this.#take(number)?.reject(error);
  }

  answerAll(value: T): void {
    for (const number of [...this.#waiting.keys()]) this.answered(number, value);
  }

  failAll(error: Error): void {
    for (const number of [...this.#waiting.keys()]) this.failed(number, error);
  }

  #take(number: number): PromiseWithResolvers<T> | undefined {
    const call = this.#waiting.get(number);
    this.#waiting.delete(number);
    return call;
  }
}

/** Collects what is to be posted to the other thread: one message per turn of the event loop, buffers transferred. */
export class PostBatch<T> {
  readonly #flushSoon: () => void;
  readonly #post: (items: readonly T[], transfer: Transferable[]) => void;
  readonly #bodies: (item: T) => readonly (Uint8Array | null)[];
  #items: T[] = [];

  constructor(
    clock: TurnClock,
    bodies: (item: T) => readonly (Uint8Array | null)[],
    post: (items: readonly T[], transfer: Transferable[]) => void,
  ) {
    this.#flushSoon = oncePerTurn(clock, () => this.flush());
    this.#bodies = bodies;
    this.#post = post;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#flushSoon();
  }

  /** Posts now what there is. */
  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    const transfer = new Set<Transferable>();
    for (const item of items) for (const body of this.#bodies(item)) addTransferable(transfer, body);
    this.#post(items, [...transfer]);
  }
}

/** A body that owns its buffer is moved; a view of a larger one (Node's pool, a frame) is copied by the post. */
function addTransferable(transfer: Set<Transferable>, body: Uint8Array | null): void {
  if (body === null || body.byteLength < TRANSFER_BYTES_MIN) return;
  const { buffer } = body;
  if (isArrayBuffer(buffer) && buffer.byteLength === body.byteLength) transfer.add(buffer);
}
