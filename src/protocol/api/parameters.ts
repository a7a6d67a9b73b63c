import { CONSUMER_GROUPINGS, CONSUMER_SORTS, CONSUMER_STATES } from './consumers.ts';
import { EVENT_KINDS, EVENT_TAKES } from './events.ts';
import { FAILURE_CAUSES, FAILURE_GROUPINGS } from './failures.ts';
import { HISTORY_SERIES, HISTORY_WINDOWS, type HistoryWindow } from './overview.ts';
import {
  CHUNK_SORTS,
  CHUNK_STATES,
  MAP_CELLS_MAX,
  MAP_MODES,
  SUBMISSION_FILTERS,
  SUBMISSION_SORTS,
} from './submissions.ts';
import { VALUE_SORTS } from './values.ts';

/** A parameter in the query of a request. Where there is no default it may be left out. */
export type Parameter =
  | { readonly kind: 'text' }
  /** Of a submission. */
  | { readonly kind: 'id' }
  /** The name of a queue, `-` for the unnamed one. */
  | { readonly kind: 'queue' }
  /** ISO 8601. */
  | { readonly kind: 'time' }
  | { readonly kind: 'integer'; readonly min: number; readonly max: number; readonly default?: number }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default?: string }
  /** One or more, with commas between them. */
  | { readonly kind: 'choices'; readonly choices: readonly string[] }
  /** `key:value` of strategic metadata; repeated: all of them. */
  | { readonly kind: 'pairs' };

/** Rows of a list. */
export const LIMIT_MAX = 200;

const QUEUE = { kind: 'queue' } as const;
const TEXT = { kind: 'text' } as const;
const ID = { kind: 'id' } as const;
const TIME = { kind: 'time' } as const;
const ORDER = { kind: 'choice', choices: ['asc', 'desc'], default: 'desc' } as const;
const PAGE = {
  limit: { kind: 'integer', min: 1, max: LIMIT_MAX, default: 50 },
  /** `next` of the page before. */
  cursor: TEXT,
} as const;
const CHUNK_MAX = 2 ** 32 - 1;

/** What each route of `/api/v1` that reads something takes. Whatever else a query has is refused. */
export const PARAMETERS = {
  overview: { queue: QUEUE },
  history: {
    queue: QUEUE,
    window: {
      kind: 'choice',
      choices: Object.keys(HISTORY_WINDOWS) as HistoryWindow[],
      default: '10m',
    },
    series: { kind: 'choices', choices: HISTORY_SERIES },
    /** At most; neighbours are put together. */
    points: { kind: 'integer', min: 1, max: 600, default: 600 },
  },
  submissions: {
    queue: QUEUE,
    state: { kind: 'choice', choices: SUBMISSION_FILTERS, default: 'open' },
    meta: { kind: 'pairs' },
    prefix: TEXT,
    prefix_starts: TEXT,
    inserted_before: TIME,
    inserted_after: TIME,
    ended_before: TIME,
    ended_after: TIME,
    /** A fingerprint. */
    failure: TEXT,
    sort: { kind: 'choice', choices: SUBMISSION_SORTS, default: 'inserted' },
    order: ORDER,
    ...PAGE,
  },
  submission: { queue: QUEUE },
  map: {
    queue: QUEUE,
    /** Chunks of a cell, a power of 2; default: the least with which all fit. */
    cell: { kind: 'integer', min: 1, max: 2 ** 32 },
    /** The chunk that the first cell begins with; a multiple of `cell`. */
    from: { kind: 'integer', min: 0, max: CHUNK_MAX, default: 0 },
    cells: { kind: 'integer', min: 1, max: MAP_CELLS_MAX, default: MAP_CELLS_MAX },
    mode: { kind: 'choice', choices: MAP_MODES, default: 'state' },
  },
  chunks: {
    queue: QUEUE,
    state: { kind: 'choice', choices: CHUNK_STATES },
    sort: { kind: 'choice', choices: CHUNK_SORTS, default: 'index' },
    /** The lowest index that is wanted. */
    from: { kind: 'integer', min: 0, max: CHUNK_MAX, default: 0 },
    ...PAGE,
  },
  failures: {
    queue: QUEUE,
    submission: ID,
    meta: { kind: 'pairs' },
    consumer: TEXT,
    cause: { kind: 'choice', choices: FAILURE_CAUSES },
    fingerprint: TEXT,
    group: { kind: 'choice', choices: FAILURE_GROUPINGS, default: 'fingerprint' },
    ...PAGE,
  },
  consumers: {
    queue: QUEUE,
    strategy: TEXT,
    state: { kind: 'choice', choices: CONSUMER_STATES },
    client: TEXT,
    address: TEXT,
    sort: { kind: 'choice', choices: CONSUMER_SORTS, default: 'since' },
    order: ORDER,
    group: { kind: 'choice', choices: CONSUMER_GROUPINGS, default: 'none' },
    ...PAGE,
  },
  consumerDetails: { queue: QUEUE },
  keys: { queue: QUEUE, ...PAGE },
  values: {
    queue: QUEUE,
    key: TEXT,
    sort: { kind: 'choice', choices: VALUE_SORTS, default: 'waiting' },
    order: ORDER,
    /** Values whose text begins so. */
    starts: TEXT,
    ...PAGE,
  },
  why: { queue: QUEUE, submission: ID },
  events: {
    queue: QUEUE,
    /** `next` of the answer before; default: all that are kept. */
    after: TEXT,
    /** How long to wait for the first event, if there is none yet. */
    wait_ms: { kind: 'integer', min: 0, max: 60_000, default: 0 },
    kind: { kind: 'choices', choices: EVENT_KINDS },
    submission: ID,
    /** Which ones, where more than `limit` match. */
    take: { kind: 'choice', choices: EVENT_TAKES, default: 'next' },
    limit: PAGE.limit,
  },
  queue: {},
} as const satisfies Readonly<Record<string, Readonly<Record<string, Parameter>>>>;

export type ApiRead = keyof typeof PARAMETERS;
