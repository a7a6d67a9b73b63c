import { JsonShapeError } from '../json/errors.ts';
import type { ConsumerAnswer, ConsumerGroup, ConsumerRow, HeldItem } from './consumers.ts';
import type { EventRow, EventsAnswer } from './events.ts';
import type { FailureGroup, FailureRow, FailuresAnswer, PairCount } from './failures.ts';
import type { List, PauseItem, Quantiles } from './lists.ts';
import type {
  Attention,
  FailureExample,
  History,
  LongSubmission,
  NamedSubmission,
  Overview,
  Rates,
  StoreHealth,
  StrategyRow,
} from './overview.ts';
import type { LeftUnknown, SubmissionItem } from './submissions.ts';
import type { KeyRow, ValueRow, ValuesAnswer } from './values.ts';
import type { Why, WhyCheck } from './why.ts';

/** Returns a value as what it is, with whatever more it has. Throws JsonShapeError for anything else. */
export type Shape<T> = (value: unknown, path: string) => T;

/** What may be left out is not looked at. */
type Fields<T> = {
  readonly [Name in keyof T as undefined extends T[Name] ? never : Name]: Shape<T[Name]>;
};

const text = <T extends string>(value: unknown, path: string): T =>
  typeof value === 'string' ? (value as T) : misfit(value, path, 'a text');
const digits = (value: unknown, path: string): string =>
  /^\d{1,40}$/.test(text(value, path)) ? (value as string) : misfit(value, path, 'a number as text');
const time = (value: unknown, path: string): string =>
  Number.isNaN(Date.parse(text(value, path))) ? misfit(value, path, 'a time') : (value as string);
const number = (value: unknown, path: string): number =>
  typeof value === 'number' ? value : misfit(value, path, 'a number');
const flag = (value: unknown, path: string): boolean =>
  typeof value === 'boolean' ? value : misfit(value, path, 'true or false');

function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return (value, path) => (value === null ? null : shape(value, path));
}

function listOf<T>(shape: Shape<T>): Shape<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) return misfit(value, path, 'a list');
    for (const [i, each] of value.entries()) shape(each, `${path}[${i}]`);
    return value as readonly T[];
  };
}

function object<T>(fields: Fields<T>): Shape<T> {
  const all = Object.entries<Shape<unknown>>(fields);
  return (value, path) => {
    const found = recordOf(value, path);
    for (const [name, shape] of all) shape(found[name], path === '' ? name : `${path}.${name}`);
    return value as T;
  };
}

/** Whatever the names are. */
function dictionaryOf<T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value, path) => {
    const found = recordOf(value, path);
    for (const name of Object.keys(found)) shape(found[name], `${path}.${name}`);
    return value as Readonly<Record<string, T>>;
  };
}

/** One of two, which that field tells apart. */
function either<A, B>(name: keyof A & string, a: Shape<A>, b: Shape<B>): Shape<A | B> {
  return (value, path) => (name in recordOf(value, path) ? a(value, path) : b(value, path));
}

function recordOf(value: unknown, path: string): Readonly<Record<string, unknown>> {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isRecord ? (value as Record<string, unknown>) : misfit(value, path, 'an object');
}

function misfit(value: unknown, path: string, expected: string): never {
  const got = value === undefined ? 'it is missing' : `got ${JSON.stringify(value).slice(0, 60)}`;
  throw new JsonShapeError(path, `${expected} was expected, ${got}`);
}

const FRAME = { as_of: time, age_ms: number };
const list = <Row>(row: Shape<Row>): Fields<List<Row>> => ({
  ...FRAME,
  matched: orNull(number),
  next: orNull(text),
  items: listOf(row),
});

const quantiles = object<Quantiles>({ p50: number, p90: number });
const spread = object<{ readonly p50: number; readonly p99: number }>({ p50: number, p99: number });
const pause = object<PauseItem>({ cause: text, by: text, reason: orNull(text), since: time });
const rates = object<Rates>({
  inserted: orNull(number),
  done: orNull(number),
  set_back: orNull(number),
});

const NAMED: Fields<NamedSubmission> = {
  id: digits,
  queue: text,
  prefix: orNull(text),
  metadata: dictionaryOf(text<string>),
};

const attention = object<Attention>({
  code: text,
  severity: text,
  count: number,
  text,
  link: text,
  submissions: listOf(object<NamedSubmission>(NAMED)),
  metadata: dictionaryOf(text<string>),
  example: orNull(object<FailureExample>({ at: time, submission: digits, chunk: number, text })),
});

const overview = object<Overview>({
  ...FRAME,
  since: time,
  queue: orNull(text),
  state: text,
  counts: object<Overview['counts']>({
    submissions_open: number,
    submissions_paused: number,
    chunks_backlog: number,
    operations_backlog: number,
    chunks_waiting: number,
    chunks_reserved: number,
    chunks_delayed: number,
    chunks_paused: number,
    chunks_failed: number,
    consumers: number,
    consumers_working: number,
    consumers_waiting: number,
    consumers_sick: number,
  }),
  totals: object<Overview['totals']>({
    submissions_inserted: number,
    submissions_completed: number,
    submissions_failed: number,
    submissions_cancelled: number,
    chunks_done: number,
    chunks_set_back: number,
  }),
  rates: object<Overview['rates']>({ last_1s: rates, last_10s: rates, last_60s: rates }),
  oldest_waiting: orNull(
    object<NonNullable<Overview['oldest_waiting']>>({
      submission: digits,
      queue: text,
      age_ms: number,
    }),
  ),
  left_ms: orNull(number),
  longest_left: listOf(object<LongSubmission>({ ...NAMED, left_ms: quantiles })),
  strategies: listOf(
    object<StrategyRow>({ strategy: orNull(text), consumers: number, waiting: number, held: number }),
  ),
  store: object<StoreHealth>({
    healthy: flag,
    error: orNull(object<NonNullable<StoreHealth['error']>>({ code: text, text })),
    stuck_ms: orNull(number),
    hand_out_held: flag,
    commit_ms: orNull(spread),
    last_commit: orNull(time),
    pending_bytes: number,
    size_bytes: orNull(number),
    disk_free_bytes: orNull(number),
    disk_total_bytes: orNull(number),
  }),
  event_loop_delay_ms: spread,
  pauses: listOf(pause),
  attention: listOf(attention),
});

const history = object<History>({
  ...FRAME,
  since: time,
  queue: orNull(text),
  window: text,
  step_ms: number,
  at_ms: listOf(number),
  series: dictionaryOf(listOf(orNull(number))),
});

const submission = object<SubmissionItem>({
  id: text,
  queue: text,
  prefix: orNull(text),
  state: text,
  failing: flag,
  chunks: object<SubmissionItem['chunks']>({
    total: number,
    done: number,
    reserved: number,
    waiting: number,
    delayed: number,
    paused: number,
    failed: number,
  }),
  chunk_size: orNull(number),
  rate: number,
  left_ms: orNull(quantiles),
  left_unknown: orNull(text<LeftUnknown>),
  metadata: dictionaryOf(text<string>),
  inserted: time,
  ended: orNull(time),
  deadline: orNull(time),
  start_after: orNull(time),
  set_back: orNull(number),
  oldest_held_ms: orNull(number),
  oldest_held_since: orNull(time),
  pauses: listOf(pause),
});

const CONSUMER: Fields<ConsumerRow> = {
  conn_id: text,
  queue: text,
  address: orNull(text),
  client: orNull(text),
  strategy: orNull(text),
  state: text,
  concurrency: number,
  held: number,
  oldest_held_ms: orNull(number),
  oldest_held_since: orNull(time),
  requests_waiting: number,
  done: number,
  set_back: number,
  rate: number,
  set_back_60s: number,
  durations_ms: orNull(quantiles),
  slow: orNull(number),
  silent_ms: number,
  heard: time,
  since: time,
};
const consumerGroup = object<ConsumerGroup>({
  group: orNull(text),
  consumers: number,
  working: number,
  waiting: number,
  slow: number,
  held: number,
  rate: number,
  set_back_60s: number,
  oldest_held_ms: orNull(number),
});
const held = object<HeldItem>({
  submission: text,
  chunk: number,
  held_ms: number,
  expires_in_ms: number,
  retries: number,
});

const failure = object<FailureRow>({
  at: time,
  submission: text,
  queue: text,
  chunk: number,
  conn_id: orNull(text),
  cause: text,
  fatal: flag,
  took_ms: number,
  fingerprint: text,
  gist: text,
  text,
});
const failureGroup = object<FailureGroup>({
  fingerprint: text,
  title: text,
  cause: text,
  count: number,
  submissions: number,
  consumers: number,
  metadata: listOf(object<PairCount>({ key: text, value: text, count: number })),
  first: time,
  last: time,
  example: failure,
});

const event = object<EventRow>({
  seq: number,
  at: time,
  kind: text,
  queue: orNull(text),
  submission: orNull(text),
  conn_id: orNull(text),
  by: orNull(text),
  text,
});

/** Answers out of which one node makes one of all. */
export const SHAPES = {
  overview,
  history,
  submissions: object<List<SubmissionItem>>(list(submission)),
  consumers: object<List<ConsumerRow | ConsumerGroup>>(
    list(either('conn_id', object<ConsumerRow>(CONSUMER), consumerGroup)),
  ),
  consumerDetails: object<ConsumerAnswer>({ ...FRAME, ...CONSUMER, holding: listOf(held) }),
  failures: object<FailuresAnswer>({
    ...list(either('at', failure, failureGroup)),
    since: time,
    forgotten: flag,
  }),
  keys: object<List<KeyRow>>(list(object<KeyRow>({ key: text, values: number }))),
  values: object<ValuesAnswer>({
    ...list(
      object<ValueRow>({
        value: text,
        submissions: number,
        waiting: number,
        in_flight: number,
        backlog: number,
        rate: orNull(number),
        set_back_60s: number,
        share: number,
        oldest_ms: number,
      }),
    ),
    in_flight: number,
  }),
  events: object<EventsAnswer>({ ...list(event), next: text<string>, missed: orNull(number) }),
  why: object<Why>({
    ...FRAME,
    submission: orNull(text),
    queue: orNull(text),
    backlog: number,
    ok: flag,
    verdict: text,
    text,
    advice: orNull(text),
    command: orNull(text),
    checks: listOf(
      object<WhyCheck>({ code: text, ok: flag, evidence: text, advice: orNull(text), command: orNull(text) }),
    ),
  }),
} as const;
