import { createHash } from 'node:crypto';
import { ProtocolError } from '../model/errors.ts';

/** Where a page of a list ended. */
interface Cursor {
  readonly value: number;
  readonly id: string;
  /** Rows before it, its own included. */
  readonly depth: number;
}

export interface PageQuery {
  readonly sort: string;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
  readonly cursor: string | null;
}

export interface PageOf<T> {
  readonly matched: number;
  readonly next: string | null;
  readonly rows: readonly T[];
}

interface Entry<T> {
  readonly value: number;
  readonly id: string;
  readonly row: T;
}

/**
 * What a list is sorted by that goes by how long something lasts: since when. That is the same from page to page as long as
 * it lasts, which no duration is.
 *
 * @param since null: nothing does
 */
export function lastingSince(since: string | null): number {
  return since === null ? Number.NEGATIVE_INFINITY : -Date.parse(since);
}

/** Rows that a list goes down to where what it is sorted by may change; by what never changes it goes to the end. */
export const DEPTH_MAX = 2_000;
/** Of an id in a cursor, which may be a key of metadata, or a strategy with all its values. */
const ID_CHARS_MAX = 256;
const CURSOR = /^[A-Za-z0-9_-]{1,3000}$/;

/**
 * A page of a list, put together while all that matches passes by: it keeps the rows that come next after the cursor, in
 * order, and counts the others. Rows with equal values go by their ids,
 * or by the hashes of those that are long.
 */
export class Page<T> {
  readonly #q: PageQuery;
  readonly #after: Cursor | null;
  #entries: Entry<T>[] = [];
  #matched = 0;
  /** Some did not fit. */
  #hasMore = false;

  /**
   * @param isStable what it is sorted by never changes
   * @throws ProtocolError for a cursor of another list, or one that is too deep
   */
  constructor(query: PageQuery, isStable: boolean) {
    this.#q = query;
    this.#after = query.cursor === null ? null : parseCursor(query.cursor, query);
    if (!isStable && (this.#after?.depth ?? 0) >= DEPTH_MAX) {
      throw new ProtocolError(
        'cursor',
        `cursor: sorted by ${query.sort}, a list goes ${DEPTH_MAX} rows deep: narrow the filter, or sort by what does not change`,
      );
    }
  }

  /**
   * @param value what it is sorted by; not NaN
   * @returns whether it comes after the cursor
   */
  add(value: number, id: string, row: T): boolean {
    this.#matched++;
    const after = this.#after;
    const entry = { value, id: id.length > ID_CHARS_MAX ? hashOf(id) : id, row };
    if (after !== null && this.#compare(entry, after) <= 0) return false;
    const entries = this.#entries;
    entries.push(entry);
    // Sorted now and then: that is cheaper than keeping them in order.
    if (entries.length >= 4 * this.#q.limit + 64) this.#cut();
    return true;
  }

  /** So many more match, all of which come after what fills the page. */
  addBeyond(count: number): void {
    this.#matched += count;
    if (count > 0) this.#hasMore = true;
  }

  /** @param hasOthers there are more rows than were added */
  finish(hasOthers = false): PageOf<T> {
    const hasMore = this.#cut() || hasOthers;
    const last = this.#entries.at(-1);
    const depth = (this.#after?.depth ?? 0) + this.#entries.length;
    return {
      matched: this.#matched,
      next: hasMore && last !== undefined ? formatCursor({ ...last, depth }, this.#q) : null,
      rows: this.#entries.map(({ row }) => row),
    };
  }

  /** Returns whether there were more. */
  #cut(): boolean {
    this.#entries.sort((a, b) => this.#compare(a, b));
    const hasMore = this.#hasMore || this.#entries.length > this.#q.limit;
    this.#hasMore = hasMore;
    if (this.#entries.length > this.#q.limit) this.#entries.length = this.#q.limit;
    return hasMore;
  }

  #compare(a: Pick<Entry<T>, 'value' | 'id'>, b: Pick<Entry<T>, 'value' | 'id'>): number {
    const ascending = a.value === b.value ? compareIds(a.id, b.id) : a.value < b.value ? -1 : 1;
    return this.#q.order === 'asc' ? ascending : -ascending;
  }
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

/** Of numbers the lower one first, however long they are. */
function compareIds(a: string, b: string): number {
  if (a === b) return 0;
  return a.length === b.length ? (a < b ? -1 : 1) : a.length < b.length ? -1 : 1;
}

function formatCursor({ value, id, depth }: Cursor, { sort, order }: PageQuery): string {
  return Buffer.from(JSON.stringify([sort, order, String(value), id, depth])).toString('base64url');
}

function parseCursor(text: string, { sort, order }: PageQuery): Cursor {
  const refusal = new ProtocolError('cursor', 'cursor: it is not of this list: begin without one');
  if (!CURSOR.test(text)) throw refusal;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    throw refusal;
  }
  if (!Array.isArray(parsed) || parsed.length !== 5) throw refusal;
  const [bySort, byOrder, value, id, depth] = parsed as unknown[];
  const number = Number(value);
  const isWhole = Number.isSafeInteger(depth) && (depth as number) >= 0;
  if (bySort !== sort || byOrder !== order || typeof id !== 'string' || !isWhole || Number.isNaN(number)) {
    throw refusal;
  }
  return { value: number, id, depth: depth as number };
}
