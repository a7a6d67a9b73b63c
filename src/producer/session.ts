import { type LinkedSignal, linkedSignal } from '../system/signals.ts';
import type { ClientContext } from './context.ts';
import { BatchedResults, type BatchSource, type Results } from './results/results.ts';
import type { OpenSource } from './submit/source.ts';
import type { Tracing } from './tracing.ts';

/**
 * Makes results out of a generator of batches, which gets a signal that ends it, and that it may fire itself.
 *
 * @param source what it will read; let go of if nobody ever reads the results
 */
export function resultsOf<Item>(
  context: ClientContext,
  signal: AbortSignal | undefined,
  tracing: Tracing,
  generate: (linked: LinkedSignal) => AsyncGenerator<readonly Item[], void>,
  source: OpenSource<unknown> | null = null,
): Results<Item> {
  return new BatchedResults(new Session(context, signal, tracing, generate, source));
}

/** One reading of results: from the first `next` to the end, an error, or `stop`. */
class Session<Item> implements BatchSource<Item> {
  readonly #context: ClientContext;
  readonly #caller: AbortSignal | undefined;
  readonly #tracing: Tracing;
  readonly #generate: (linked: LinkedSignal) => AsyncGenerator<readonly Item[], void>;
  readonly #source: OpenSource<unknown> | null;
  readonly #stopWatching: (() => void) | undefined;
  #running: {
    readonly batches: AsyncGenerator<readonly Item[], void>;
    readonly linked: LinkedSignal;
  } | null = null;
  #ended = false;
  #whenAborted = () => {};

  constructor(
    context: ClientContext,
    caller: AbortSignal | undefined,
    tracing: Tracing,
    generate: (linked: LinkedSignal) => AsyncGenerator<readonly Item[], void>,
    source: OpenSource<unknown> | null,
  ) {
    this.#context = context;
    this.#caller = caller;
    this.#tracing = tracing;
    this.#generate = generate;
    this.#source = source;
    this.#stopWatching = source === null ? undefined : context.unread.watch(this, source, caller);
  }

  async next(): Promise<IteratorResult<readonly Item[], void>> {
    if (this.#ended) return { done: true, value: undefined };
    this.#running ??= this.#start();
    try {
      this.#running.linked.signal.throwIfAborted();
      const next = await this.#context.work(this.#running.batches.next());
      if (next.done) this.#end();
      return next;
    } catch (error) {
      const { linked, batches } = this.#running;
      await batches.return().catch(() => {});
      // What an abort makes of a transfer differs from store to store: the caller gets his own reason.
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
    this.#tracing.begin();
    const linked = linkedSignal(this.#context.closing, this.#caller);
    linked.signal.addEventListener('abort', () => this.#whenAborted(), { once: true });
    return { linked, batches: this.#generate(linked) };
  }

  #end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWatching?.();
    this.#source?.discard();
    // Whatever still runs beside the generator (who watches the progress) ends with it.
    this.#running?.linked.abort(new Error('the results have ended'));
    this.#tracing.end(error);
  }
}
