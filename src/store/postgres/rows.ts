import type { SubmissionId } from '../../model/ids.ts';

/**
 * Values by submission and number (of a page, of a chunk); a later one takes the place of an earlier one. When many submissions are
 * drained, nearly each has one row in a batch: none has a map of its own before its second row.
 */
export class Rows<Value> {
  readonly #ids: SubmissionId[] = [];
  readonly #numbers: number[] = [];
  readonly #values: Value[] = [];
  /** Where the first row of a submission is, and the others. */
  readonly #first = new Map<SubmissionId, number>();
  readonly #others = new Map<SubmissionId, Map<number, number>>();
  readonly #dropped = new Set<SubmissionId>();

  has(id: SubmissionId): boolean {
    return this.#first.has(id);
  }

  set(id: SubmissionId, number: number, value: Value): void {
    const place = this.#placeOf(id, number);
    if (place < this.#ids.length) {
      this.#values[place] = value;
      return;
    }
    this.#ids.push(id);
    this.#numbers.push(number);
    this.#values.push(value);
  }

  /** For good: none are set after it. */
  drop(id: SubmissionId): void {
    if (this.#first.has(id)) this.#dropped.add(id);
  }

  forEach(visit: (id: SubmissionId, number: number, value: Value) => void): void {
    for (let i = 0; i < this.#ids.length; i++) {
      const id = this.#ids[i]!;
      if (this.#dropped.size === 0 || !this.#dropped.has(id)) visit(id, this.#numbers[i]!, this.#values[i]!);
    }
  }

  #placeOf(id: SubmissionId, number: number): number {
    const next = this.#ids.length;
    const first = this.#first.get(id);
    if (first === undefined) {
      this.#first.set(id, next);
      return next;
    }
    if (this.#numbers[first] === number) return first;
    let others = this.#others.get(id);
    if (others === undefined) {
      others = new Map();
      this.#others.set(id, others);
    }
    const place = others.get(number) ?? next;
    others.set(number, place);
    return place;
  }
}
