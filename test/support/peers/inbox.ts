/** Things as they come in, taken one by one; taking waits, but not for ever. */
export class Inbox<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];

  put(item: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#items.push(item);
    else taker(item);
  }

  get size(): number {
    return this.#items.length;
  }

  take(withinMs = 10_000): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#takers.splice(this.#takers.indexOf(taker), 1);
        reject(new Error(`nothing came within ${withinMs} ms`));
      }, withinMs);
      const taker = (taken: T) => {
        clearTimeout(timer);
        resolve(taken);
      };
      this.#takers.push(taker);
    });
  }
}
