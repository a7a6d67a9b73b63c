import { type LinkedSignal, linkedSignal } from '../system/signals.ts';
import type { ClientContext } from './context.ts';
import { BatchedResults, type BatchSource, type Results } from './results.ts';
import type { Tracing } from './tracing.ts';

/** Makes results out of a generator of batches, which gets a signal that ends it, and that it may fire itself. */
export function resultsOf<Item>(
  context: ClientContext,
  signal: AbortSignal | undefined,
  tracing: Tracing,
  generate: (linked: LinkedSignal) => AsyncGenerator<readonly Item[], void>,
): Results<Item> {
  return new BatchedResults(new Session(context, signal, tracing, generate));
}

/** One reading of results: from the first `next` to the end, an error, or `stop`. */
class Session<Item> implements BatchSource<Item> {
  readonly #context: ClientContext;
  readonly #caller: AbortSignal | undefined;
  readonly #tracing: Tracing;
  readonly #generate: (linked: LinkedSignal) => AsyncGenerator<readonly Item[], void>;
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
  ) {
    this.#context = context;
    this.#caller = caller;
    this.#tracing = tracing;
    this.#generate = generate;
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
    this.#tracing.begin();
    const linked = linkedSignal(this.#context.closing, this.#caller);
    linked.signal.addEventListener('abort', () => this.#whenAborted(), { once: true });
    return { linked, batches: this.#generate(linked) };
  }

  #end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    // Whatever still runs beside the generator (who watches the progress) ends with it.
    this.#running?.linked.abort(new Error('the results have ended'));
    this.#tracing.end(error);
  }
}
