import { type LinkedSignal, linkedSignal } from '../../system/async/abort-signals.ts';
import type { ClientContext } from '../context.ts';
import type { OpenSource } from '../submit/source.ts';
import type { SubmissionTracing } from '../tracing.ts';
import type { BatchSource } from './results.ts';

export interface SessionOptions<Item> {
  readonly context: ClientContext;
  /** The caller's. */
  readonly signal: AbortSignal | undefined;
  readonly tracing: SubmissionTracing;
  /** Makes the batches; gets a signal that ends it, and that it may fire itself. */
  readonly generate: (linked: LinkedSignal) => AsyncGenerator<readonly Item[], void>;
  /** What it will read; let go of if the results are never read. */
  readonly source: OpenSource<unknown> | null;
}

/** One reading of results: from the first `next` to the end, an error, or `stop`. */
export class Session<Item> implements BatchSource<Item> {
  readonly #o: SessionOptions<Item>;
  readonly #stopWatching: (() => void) | undefined;
  #running: {
    readonly batches: AsyncGenerator<readonly Item[], void>;
    readonly linked: LinkedSignal;
  } | null = null;
  #ended = false;
  #whenAborted = () => {};

  constructor(options: SessionOptions<Item>) {
    const { context, source, signal } = options;
    this.#o = options;
    this.#stopWatching = source === null ? undefined : context.unread.watch(this, source, signal);
  }

  async next(): Promise<IteratorResult<readonly Item[], void>> {
    if (this.#ended) return { done: true, value: undefined };
    this.#running ??= this.#start();
    const { linked, batches } = this.#running;
    try {
      linked.signal.throwIfAborted();
      this.#o.context.assertOpen();
      const next = await this.#o.context.work(batches.next());
      if (next.done) this.#end();
      return next;
    } catch (error) {
      await batches.return().catch(() => {});
      // What an abort makes of a transfer differs from store to store: the caller gets the signal's reason.
      const reason: unknown = linked.signal.aborted ? linked.signal.reason : error;
      this.#end(reason);
      throw reason;
    }
  }

  onAbort(run: () => void): void {
    this.#whenAborted = run;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#end();
    if (this.#running === null) return;
    await this.#running.batches.return().catch(() => {});
  }

  #start() {
    this.#stopWatching?.();
    this.#o.tracing.begin();
    const linked = linkedSignal(this.#o.context.closing, this.#o.signal);
    linked.signal.addEventListener('abort', () => this.#whenAborted(), { once: true });
    return { linked, batches: this.#o.generate(linked) };
  }

  #end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWatching?.();
    this.#o.source?.discard();
    // Whatever still runs beside the generator (who watches the progress) ends with it.
    this.#running?.linked.abort(new Error('the results have ended'));
    this.#o.tracing.end(error);
  }
}
