import { type LinkedSignal, linkedSignal } from '../../system/async/abort-signals.ts';
import type { ClientContext } from '../context.ts';
import { Gate } from '../gate.ts';
import type { Progress } from '../options.ts';
import { type WaitOptions, waitForEnd } from './completion.ts';
import type { ItemIterator } from './results.ts';
import { BatchedResults, type BatchSource } from './results.ts';

/** Progress as an iterable: a reader who is slow gets the newest, not all. Nothing is asked before the first `next`. */
export function progressOf(
  context: ClientContext,
  wait: Omit<WaitOptions, 'signal' | 'onProgress'>,
  caller: AbortSignal | undefined,
): ItemIterator<Progress> {
  return new BatchedResults(new ProgressSource(context, wait, caller));
}

/** Gives out batches of one, and nothing more once it is stopped, also to a `next` that waits. */
class ProgressSource implements BatchSource<Progress> {
  readonly #context: ClientContext;
  readonly #wait: Omit<WaitOptions, 'signal' | 'onProgress'>;
  readonly #caller: AbortSignal | undefined;
  readonly #changed = new Gate();
  #watch: LinkedSignal | null = null;
  #latest: Progress | null = null;
  #isOver = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(
    context: ClientContext,
    wait: Omit<WaitOptions, 'signal' | 'onProgress'>,
    caller: AbortSignal | undefined,
  ) {
    this.#context = context;
    this.#wait = wait;
    this.#caller = caller;
  }

  async next(): Promise<IteratorResult<readonly Progress[], void>> {
    this.#watch ??= this.#start();
    while (this.#latest === null && !this.#isOver) await this.#changed.wait();
    const progress = this.#latest;
    this.#latest = null;
    if (progress !== null) return { done: false, value: [progress] };
    if (this.#failure !== null) throw this.#failure.error;
    return { done: true, value: undefined };
  }

  async stop(): Promise<void> {
    this.#watch?.abort(new Error('the reader has stopped'));
    this.#isOver = true;
    this.#changed.open();
  }

  /** The reader has what was given out: there is nothing to withhold. */
  onAbort(): void {}

  #start(): LinkedSignal {
    const watch = linkedSignal(this.#context.closing, this.#caller);
    const onProgress = (progress: Progress) => {
      this.#latest = progress;
      this.#changed.open();
    };
    waitForEnd({ ...this.#wait, signal: watch.signal, onProgress })
      .catch((error: unknown) => {
        this.#failure = { error };
      })
      .finally(() => {
        watch[Symbol.dispose]();
        this.#isOver = true;
        this.#changed.open();
      });
    return watch;
  }
}
