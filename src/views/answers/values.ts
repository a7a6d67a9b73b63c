import { submissionIdTimeMs } from '../../model/ids.ts';
import type { List } from '../../protocol/api/lists.ts';
import type { KeyRow, ValueSort, ValuesAnswer } from '../../protocol/api/values.ts';
import { MINUTE } from '../../protocol/api/words.ts';
import type { SubmissionSight, ValueSight } from '../../scheduler/sight.ts';
import { type Computation, ofEach } from '../frames.ts';
import { Page } from '../page.ts';
import { queuesOf, rounded, type Sources, STRIDE } from '../sources.ts';

export interface ValuesQuery {
  readonly queue: string | null;
  readonly key: string | null;
  readonly sort: ValueSort;
  readonly order: 'asc' | 'desc';
  readonly starts: string | null;
  readonly limit: number;
  readonly cursor: string | null;
}

type Rows<T> = Omit<List<T>, 'as_of' | 'age_ms'>;

export interface KeysQuery {
  readonly queue: string | null;
  readonly limit: number;
  readonly cursor: string | null;
}

/** Keys of strategic metadata that open submissions carry. */
export function* keys(sources: Sources, query: KeysQuery): Computation<Rows<KeyRow>> {
  const values = new Map<string, number>();
  for (const { schedule } of queuesOf(sources, query.queue)) {
    for (const key of schedule.metadata.keys) {
      // One that a plan ranks by, and that nobody carries.
      if (key.values.size === 0) continue;
      values.set(key.name, Math.max(values.get(key.name) ?? 0, key.values.size));
    }
    yield;
  }
  return keysPage(values, query);
}

/** @param values how many each key has */
export function keysPage(values: ReadonlyMap<string, number>, query: KeysQuery): Rows<KeyRow> {
  const page = new Page<KeyRow>({ ...query, sort: 'values', order: 'desc' }, false);
  for (const [key, count] of values) page.add(count, key, { key, values: count });
  const { matched, next, rows } = page.finish();
  return { matched, next, items: rows };
}

interface Gathered {
  submissions: number;
  waiting: number;
  inFlight: number;
  backlog: number;
  done: number;
  oldestMs: number;
}

interface Look {
  readonly atMs: number;
  /** How many chunks of each value were done. */
  readonly done: ReadonlyMap<bigint, number>;
}

/** Rates are over this time at least, whoever looks meanwhile. */
const RATE_MS_MIN = 5_000;
/** A look that is longer ago says nothing of now: somebody has stopped looking meanwhile. */
const RATE_MS_MAX = 60_000;
const KEYS_KEPT_MAX = 4;
/** Of a key with more values than that, rates are not told: what was done would take too much memory. */
const VALUES_KEPT_MAX = 20_000;

/** How fast the chunks of each value are done, from one look to a later one. */
export class ValueRates {
  /** The last look and, before it, the one that rates are counted from. */
  readonly #looks = new Map<string, { readonly base: Look; readonly last: Look }>();

  /** Per second over the last five to ten seconds, or since a look that is up to a minute ago; null: there was none. */
  look(key: string, nowMs: number, done: ReadonlyMap<bigint, number>): (value: bigint) => number | null {
    const known = this.#looks.get(key);
    this.#looks.delete(key);
    if (done.size > VALUES_KEPT_MAX) return () => null;
    const look = { atMs: nowMs, done };
    const agoMs = known === undefined ? Number.POSITIVE_INFINITY : nowMs - known.last.atMs;
    if (known === undefined || agoMs > RATE_MS_MAX) this.#looks.set(key, { base: look, last: look });
    else this.#looks.set(key, agoMs < RATE_MS_MIN ? known : { base: known.last, last: look });
    for (const oldest of this.#looks.keys()) {
      if (this.#looks.size <= KEYS_KEPT_MAX) break;
      this.#looks.delete(oldest);
    }
    const { base } = this.#looks.get(key)!;
    if (nowMs <= base.atMs) return () => null;
    const seconds = (nowMs - base.atMs) / 1000;
    return (value) => {
      const count = base.done.get(value);
      return count === undefined ? null : rounded(Math.max(0, (done.get(value) ?? 0) - count) / seconds);
    };
  }
}

const NOTHING: Gathered = {
  submissions: 0,
  waiting: 0,
  inFlight: 0,
  backlog: 0,
  done: 0,
  oldestMs: Number.POSITIVE_INFINITY,
};

/** Values of a key, and what goes on with each. */
export function* values(
  sources: Sources,
  query: ValuesQuery,
  rates: ValueRates,
): Computation<Omit<ValuesAnswer, 'as_of' | 'age_ms'>> {
  const page = new Page<{ readonly value: bigint; readonly of: Gathered }>(query, query.sort === 'value');
  const gathered = new Map<bigint, Gathered>();
  let looked = 0;
  let inFlightTotal = 0;
  for (const { name, schedule } of queuesOf(sources, query.queue)) {
    const isPaused = sources.queue.isPaused(name);
    const key = query.key === null ? undefined : schedule.metadata.key(query.key);
    for (const each of key?.values.values() ?? []) {
      if (++looked % STRIDE === 0) yield;
      inFlightTotal += each.inFlight;
      const of = gathered.get(each.value);
      if (of === undefined) gathered.set(each.value, add({ ...NOTHING }, each, isPaused));
      else add(of, each, isPaused);
    }
  }
  const { clock } = sources;
  const setBack = yield* setBackOfLate(sources, query);
  const done = new Map<bigint, number>();
  for (const [value, of] of gathered) {
    if (++looked % STRIDE === 0) yield;
    done.set(value, of.done);
  }
  const rateOf = rates.look(`${query.queue ?? ''} ${query.key}`, clock.monotonicMs(), done);
  for (const [value, of] of gathered) {
    if (++looked % STRIDE === 0) yield;
    if (query.starts !== null && !String(value).startsWith(query.starts)) continue;
    page.add(sortValue(value, of, query.sort, rateOf, setBack), String(value), { value, of });
  }
  const { matched, next, rows } = page.finish();
  const unixMs = clock.nowMs();
  return {
    matched,
    next,
    in_flight: inFlightTotal,
    items: yield* ofEach(rows, ({ value, of }) => ({
      value: String(value),
      submissions: of.submissions,
      waiting: of.waiting,
      in_flight: of.inFlight,
      backlog: of.backlog,
      rate: rateOf(value),
      set_back_60s: setBack.get(value) ?? 0,
      share: inFlightTotal === 0 ? 0 : of.inFlight / inFlightTotal,
      oldest_ms: Math.max(0, unixMs - of.oldestMs),
    })),
  };
}

/** Tries of the last minute that came to nothing, by value of the key. */
function* setBackOfLate(
  { watcher, clock }: Sources,
  query: Pick<ValuesQuery, 'queue' | 'key'>,
): Computation<ReadonlyMap<bigint, number>> {
  const { ring } = watcher.failures;
  const sinceMs = clock.nowMs() - MINUTE;
  const found = new Map<bigint, number>();
  for (let seq = ring.lastSeq; seq >= ring.firstSeq; seq--) {
    if (seq % STRIDE === 0) yield;
    const failure = ring.at(seq);
    if (failure === undefined || failure.atMs < sinceMs) break;
    const value = query.key === null ? undefined : failure.metadata.get(query.key);
    if (value === undefined || (query.queue !== null && failure.queue !== query.queue)) continue;
    found.set(value, (found.get(value) ?? 0) + 1);
  }
  return found;
}

/** @param isPaused its queue, or the server: nothing waits to be handed out */
function add(
  of: Gathered,
  { carriers, waiting, inFlight, backlog, done }: ValueSight,
  isPaused: boolean,
): Gathered {
  of.submissions += carriers.size;
  if (!isPaused) of.waiting += waiting;
  of.inFlight += inFlight;
  of.backlog += backlog;
  of.done += done;
  const oldest = firstOf(carriers.values());
  if (oldest !== undefined) of.oldestMs = Math.min(of.oldestMs, submissionIdTimeMs(oldest.record.id));
  return of;
}

function firstOf(submissions: Iterable<SubmissionSight>): SubmissionSight | undefined {
  for (const submission of submissions) return submission;
  return undefined;
}

function sortValue(
  value: bigint,
  of: Gathered,
  sort: ValueSort,
  rateOf: (value: bigint) => number | null,
  setBack: ReadonlyMap<bigint, number>,
): number {
  switch (sort) {
    case 'waiting':
      return of.waiting;
    case 'in_flight':
      return of.inFlight;
    case 'backlog':
      return of.backlog;
    case 'rate':
      return rateOf(value) ?? -1;
    case 'set_back':
      return setBack.get(value) ?? 0;
    case 'oldest':
      return -of.oldestMs;
    case 'value':
      return Number(value);
  }
}
