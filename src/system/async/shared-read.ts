/**
 * Reads for all who ask at about the same time. What each gets was read after it asked: who asks while it is being read
 * shares the next reading with all others who do.
 */
export class SharedRead<T> {
  readonly #read: () => Promise<T>;
  #now: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | null = null;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  read(): Promise<T> {
    this.#next ??= this.#now.then(() => {
      this.#next = null;
      const reading = this.#read();
      this.#now = reading.catch(() => {});
      return reading;
    });
    return this.#next;
  }
}
