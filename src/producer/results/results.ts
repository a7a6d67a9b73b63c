/** `AsyncIterableIterator<Item, undefined>`, in words that TypeScript before 5.6 understands. */
export interface ItemIterator<Item> extends AsyncIterableIterator<Item> {
  next(): Promise<IteratorResult<Item, undefined>>;
  return?(): Promise<IteratorResult<Item, undefined>>;
  [Symbol.asyncIterator](): ItemIterator<Item>;
}

/** Results, as they come from the queue. Nothing is asked of it before the first `next`. */
export interface Results<Item> extends ItemIterator<Item>, AsyncDisposable {
  next(): Promise<IteratorResult<Item, undefined>>;
  /** Ends it early; everything that it held is let go. Called by `break` in a `for await` loop. */
  return(): Promise<IteratorResult<Item, undefined>>;
  [Symbol.asyncIterator](): Results<Item>;
  /**
   * The same results, as many at a time as a chunk has: a tenth of the work for a reader of millions. Use either
   * this or the results one by one.
   */
  batches(): ItemIterator<readonly Item[]>;
}

/** Where {@link BatchedResults} gets its items: what an async generator is. */
export interface BatchSource<Item> {
  next(): Promise<IteratorResult<readonly Item[], void>>;
  /** Must make a pending `next` settle. */
  stop(): Promise<void>;
  /** Calls `run` when what was given out already is not to reach the reader any more: the next `next` will throw. */
  onAbort(run: () => void): void;
}

/** Written by hand, because an async generator costs three turns of the microtask queue for every item. */
export class BatchedResults<Item> implements Results<Item> {
  readonly #source: BatchSource<Item>;
  #batch: readonly Item[] = [];
  #at = 0;
  #ended = false;
  /** Calls that wait for the source; those that come meanwhile line up behind the last one. */
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(source: BatchSource<Item>) {
    this.#source = source;
    source.onAbort(() => {
      this.#batch = [];
      this.#at = 0;
    });
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#at < this.#batch.length && this.#waiting === 0) {
      return Promise.resolve({ done: false, value: this.#batch[this.#at++]! });
    }
    return this.#queue(() => this.#step());
  }

  async return(): Promise<IteratorResult<Item, undefined>> {
    this.#end();
    await this.#source.stop();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): Results<Item> {
    return this;
  }

  batches(): ItemIterator<readonly Item[]> {
    const batches = {
      next: () => this.#queue(() => this.#nextBatch()),
      return: async () => {
        await this.return();
        return { done: true, value: undefined } as const;
      },
      [Symbol.asyncIterator]: () => batches,
    };
    return batches;
  }

  #queue<T>(step: () => Promise<T>): Promise<T> {
    const run = async () => {
      try {
        return await step();
      } finally {
        // Before the reader gets it, or the next call would line up behind one that is over.
        this.#waiting--;
      }
    };
    const mine = this.#waiting++ === 0 ? run() : this.#last.then(run);
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #step(): Promise<IteratorResult<Item, undefined>> {
    while (this.#at >= this.#batch.length) {
      if (!(await this.#refill())) return { done: true, value: undefined };
    }
    return { done: false, value: this.#batch[this.#at++]! };
  }

  async #nextBatch(): Promise<IteratorResult<readonly Item[], undefined>> {
    while (this.#at >= this.#batch.length) {
      if (!(await this.#refill())) return { done: true, value: undefined };
    }
    const value = this.#at === 0 ? this.#batch : this.#batch.slice(this.#at);
    this.#at = this.#batch.length;
    return { done: false, value };
  }

  async #refill(): Promise<boolean> {
    if (this.#ended) return false;
    try {
      const next = await this.#source.next();
      if (this.#ended) return false;
      if (next.done) {
        this.#end();
        return false;
      }
      this.#batch = next.value;
      this.#at = 0;
      return true;
    } catch (error) {
      if (this.#ended) return false;
      this.#end();
      throw error;
    }
  }

  #end(): void {
    this.#ended = true;
    this.#batch = [];
    this.#at = 0;
  }
}
