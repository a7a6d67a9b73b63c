/** Answers of `/api/v1` as a queue gives them, made up: for cases that a real one would take long to get into. */
import type { ConsumerAnswer, ConsumerGroup, ConsumerRow } from '../../../src/protocol/api/consumers.ts';
import type { EventRow, EventsAnswer } from '../../../src/protocol/api/events.ts';
import type { FailureGroup, FailureRow, FailuresAnswer } from '../../../src/protocol/api/failures.ts';
import type { Frame, List } from '../../../src/protocol/api/lists.ts';
import { HISTORY_SERIES, type History, type Overview } from '../../../src/protocol/api/overview.ts';
import type { QueueAnswer, QueueRow } from '../../../src/protocol/api/queue.ts';
import {
  type ChunkRow,
  MAP_BITS,
  type SubmissionAnswer,
  type SubmissionItem,
} from '../../../src/protocol/api/submissions.ts';
import type { KeyRow, ValueRow } from '../../../src/protocol/api/values.ts';
import type { Why } from '../../../src/protocol/api/why.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** What a client can set, and the times, of a world of answers. */
export interface World {
  readonly nowMs: number;
  readonly prefix: string;
  readonly key: string;
  readonly strategy: string;
  readonly client: string;
  readonly failure: string;
  readonly reason: string;
  readonly by: string;
  readonly queue: string;
  /** Chunks of the large submission. */
  readonly chunks: number;
  readonly submissions: number;
  /** Of a list. */
  readonly rows: number;
  /** There is work, and there are consumers. */
  readonly isEmpty: boolean;
  /** Addresses of nodes that do not answer. */
  readonly nodesMissing: readonly string[];
  /** Shards that no node has. */
  readonly shardsMissing: number;
}

export const PLAIN: Omit<World, 'nowMs'> = {
  prefix: 'thumbnails-2026-11-27/batch-0417',
  key: 'customer',
  strategy: 'prefer-distinct(customer, oldest)',
  client: 'opsqueue 0.1.0',
  failure:
    'TypeError: cannot read properties of undefined (reading "width")\n    at resize (/app/resize.ts:41:18)\n    at runEachOp (/app/worker.ts:12:7)',
  reason: 'their bucket is being moved',
  by: 'ann@ops-1',
  queue: 'images',
  chunks: 10_000,
  submissions: 1_337,
  rows: 50,
  isEmpty: false,
  nodesMissing: [],
  shardsMissing: 0,
};

export const iso = (ms: number) => new Date(ms).toISOString();
export const frame = ({ nowMs, nodesMissing, shardsMissing }: World): Frame => ({
  as_of: iso(nowMs - 400),
  age_ms: 400,
  ...(nodesMissing.length === 0 ? {} : { nodes_missing: nodesMissing }),
  ...(shardsMissing === 0 ? {} : { shards_missing: shardsMissing }),
});

export function list<Item>(world: World, items: readonly Item[], matched = items.length): List<Item> {
  return { ...frame(world), matched, next: matched > items.length ? 'next-page' : null, items };
}

export function overview(world: World): Overview {
  const { nowMs, isEmpty } = world;
  const zero = (value: number) => (isEmpty ? 0 : value);
  return {
    ...frame(world),
    since: iso(nowMs - 5 * HOUR),
    queue: null,
    state: 'running',
    counts: {
      submissions_open: zero(world.submissions),
      submissions_paused: zero(3),
      chunks_backlog: zero(world.chunks * 12),
      operations_backlog: zero(world.chunks * 12_000),
      chunks_waiting: zero(world.chunks * 11),
      chunks_reserved: zero(412),
      chunks_delayed: zero(17),
      chunks_paused: zero(5_210),
      chunks_failed: zero(9),
      consumers: zero(64),
      consumers_working: zero(61),
      consumers_waiting: zero(2),
      consumers_sick: zero(1),
    },
    totals: {
      submissions_inserted: 1_900,
      submissions_completed: 540,
      submissions_failed: 12,
      submissions_cancelled: 11,
      chunks_done: 1_204_332,
      chunks_set_back: 1_020,
    },
    rates: {
      last_1s: { inserted: zero(12), done: zero(318), set_back: zero(1) },
      last_10s: { inserted: zero(10.1), done: zero(311.4), set_back: zero(0.9) },
      last_60s: { inserted: zero(9.4), done: zero(304.2), set_back: zero(0.8) },
    },
    oldest_waiting: isEmpty ? null : { submission: submissionId(1), queue: '-', age_ms: 47 * MINUTE },
    left_ms: isEmpty ? null : 52 * MINUTE,
    longest_left: isEmpty
      ? []
      : [
          {
            id: submissionId(1),
            queue: '-',
            prefix: world.prefix,
            metadata: { [world.key]: '42' },
            left_ms: { p50: 47 * MINUTE, p90: 58 * MINUTE },
          },
        ],
    strategies: isEmpty ? [] : [{ strategy: world.strategy, consumers: 64, waiting: 2, held: 412 }],
    store: {
      healthy: true,
      error: null,
      stuck_ms: null,
      hand_out_held: false,
      commit_ms: isEmpty ? null : { p50: 2.4, p99: 9.8 },
      last_commit: isEmpty ? null : iso(nowMs - SECOND),
      pending_bytes: zero(18_400),
      size_bytes: 48_300_000,
      disk_free_bytes: 41_000_000_000,
      disk_total_bytes: 220_000_000_000,
    },
    event_loop_delay_ms: { p50: 0.3, p99: 2.1 },
    pauses: [],
    attention: isEmpty
      ? []
      : [
          {
            code: 'failing',
            severity: 'critical',
            count: 12,
            text: `812 tries of 12 submissions, all with customer 42, failed in the last minute, the latest: ${world.failure.split('\n')[0]}`,
            link: 'failures',
            submissions: [
              { id: submissionId(3), queue: '-', prefix: world.prefix, metadata: { [world.key]: '42' } },
            ],
            metadata: { [world.key]: '42' },
            example: {
              at: iso(nowMs - 2 * SECOND),
              submission: submissionId(3),
              chunk: 17,
              text: world.failure.split('\n')[0]!,
            },
          },
          {
            code: 'slow_consumers',
            severity: 'warning',
            count: 1,
            text: 'Consumer c-17 takes 10 times as long for a chunk as the others',
            link: 'consumers?sort=slowest',
            submissions: [],
            metadata: {},
            example: null,
          },
          {
            code: 'paused_with_work',
            severity: 'info',
            count: 3,
            text: '3 submissions with 5 210 chunks are paused',
            link: 'submissions?state=paused',
            submissions: [],
            metadata: {},
            example: null,
          },
        ],
  };
}

export function history(world: World): History {
  const points = 300;
  const step = 2 * SECOND;
  const atMs = Array.from({ length: points }, (_, i) => world.nowMs - (points - 1 - i) * step);
  const wave = (base: number, swing: number, period: number) =>
    atMs.map((_, i) =>
      world.isEmpty || i < 30
        ? i < 30
          ? null
          : 0
        : Math.max(0, base + swing * Math.sin(i / period) + ((i * 7919) % 13) * swing * 0.03),
    );
  const shapes = {
    inserted: wave(9, 6, 20),
    done: wave(300, 60, 18),
    set_back: wave(1, 2, 9),
    backlog: wave(world.chunks * 12, world.chunks, 60),
    waiting: wave(world.chunks * 11, world.chunks, 60),
    reserved: wave(410, 30, 11),
    delayed: wave(17, 4, 11),
    consumers: wave(64, 0, 1),
    consumers_waiting: wave(2, 1, 5),
    commit_p50_ms: wave(2.4, 0.4, 6),
    commit_p99_ms: wave(9, 4, 8),
    event_loop_delay_ms: wave(1, 0.4, 8),
  };
  return {
    ...frame(world),
    since: iso(world.nowMs - 5 * HOUR),
    queue: null,
    window: '10m',
    step_ms: step,
    at_ms: atMs,
    series: Object.fromEntries(HISTORY_SERIES.map((name) => [name, shapes[name]])),
  };
}

export const submissionId = (index: number) => String(7_216_308_450_426_880n + BigInt(index) * 65_537n);

const STATES = ['running', 'waiting', 'paused', 'delayed', 'running'] as const;

export function submission(world: World, index: number): SubmissionItem {
  const state = STATES[index % STATES.length] ?? 'running';
  const total = index === 0 ? world.chunks : 40 + ((index * 977) % 9_000);
  const done = state === 'waiting' ? 0 : Math.floor(total * (0.12 + ((index * 37) % 80) / 100));
  const reserved = state === 'running' ? Math.min(40, total - done) : 0;
  const failed = index % 7 === 3 ? 3 : 0;
  const left = total - done - reserved - failed;
  const part = (name: string) => (state === name ? left : 0);
  return {
    id: submissionId(index),
    queue: index % 4 === 1 ? world.queue : '-',
    prefix: index % 9 === 8 ? null : `${world.prefix}-${index}`,
    state,
    failing: failed > 0,
    chunks: {
      total,
      done,
      reserved,
      waiting: part('running') + part('waiting'),
      delayed: part('delayed'),
      paused: part('paused'),
      failed,
    },
    chunk_size: 1_000,
    rate: state === 'running' ? 4 + (index % 11) * 3.1 : 0,
    left_ms:
      state === 'running'
        ? { p50: (2 + (index % 50)) * MINUTE, p90: (3 + (index % 50) * 1.4) * MINUTE }
        : null,
    left_unknown:
      state === 'running'
        ? null
        : state === 'waiting'
          ? 'stands_still'
          : state === 'paused'
            ? 'paused'
            : 'not_started',
    metadata: { [world.key]: String(40 + (index % 6)), priority: String(index % 3) },
    inserted: iso(world.nowMs - (index + 1) * 4 * MINUTE),
    ended: null,
    deadline: index % 5 === 0 ? iso(world.nowMs + 3 * HOUR) : null,
    start_after: null,
    set_back: index % 7 === 3 ? 31 : index % 3,
    oldest_held_ms: reserved > 0 ? 14 * SECOND + index * 100 : null,
    oldest_held_since: reserved > 0 ? iso(world.nowMs - 14 * SECOND - index * 100) : null,
    pauses:
      state === 'paused'
        ? [{ cause: 'manual', by: world.by, reason: world.reason, since: iso(world.nowMs - 35 * MINUTE) }]
        : [],
  };
}

export function submissions(world: World): List<SubmissionItem> {
  const shown = world.isEmpty ? 0 : Math.min(world.rows, world.submissions);
  const items = Array.from({ length: shown }, (_, index) => submission(world, index));
  return list(world, items, world.isEmpty ? 0 : world.submissions);
}

export function failureRow(world: World, index: number): FailureRow {
  return {
    at: iso(world.nowMs - index * 7 * SECOND - SECOND),
    submission: submissionId(index % 4),
    queue: '-',
    chunk: 17 + index * 31,
    conn_id: `c-${1 + (index % 6)}`,
    cause: index % 5 === 4 ? 'expired' : 'failed',
    fatal: index % 6 === 5,
    took_ms: 340 + index * 17,
    fingerprint: `fp-${index % 3}`,
    gist: index % 5 === 4 ? 'the reservation expired after 10 minutes' : (world.failure.split('\n')[0] ?? ''),
    text: index % 5 === 4 ? 'the reservation expired after 10 minutes' : world.failure,
  };
}

export function failureGroups(world: World): List<FailureGroup> & FailuresAnswer {
  const groups = world.isEmpty
    ? []
    : [0, 4, 2].map((index): FailureGroup => {
        const example = failureRow(world, index);
        return {
          fingerprint: example.fingerprint,
          title: example.text.split('\n')[0] ?? '',
          cause: example.cause,
          count: 812 - index * 190,
          submissions: 4,
          consumers: 17,
          metadata: [
            { key: world.key, value: '42', count: 812 - index * 190 },
            { key: 'priority', value: '1', count: 40 },
          ],
          first: iso(world.nowMs - 48 * MINUTE),
          last: example.at,
          example,
        };
      });
  return { ...list(world, groups), since: iso(world.nowMs - 5 * HOUR), forgotten: true };
}

export function failureRows(world: World): FailuresAnswer {
  const rows = Array.from({ length: world.isEmpty ? 0 : world.rows }, (_, index) => failureRow(world, index));
  return { ...list(world, rows, rows.length * 40), since: iso(world.nowMs - 5 * HOUR), forgotten: true };
}

export function submissionAnswer(world: World, id: string): SubmissionAnswer {
  const index = Number((BigInt(id) - BigInt(submissionId(0))) / 65_537n);
  const row = submission(world, Math.max(0, index));
  const insertedMs = Date.parse(row.inserted);
  return {
    ...frame(world),
    ...row,
    failure_mode: 'collect',
    durations_ms: { p50: 1_240, p90: 3_800, max: 61_000, count: row.chunks.done },
    first_not_done: row.chunks.done - 12,
    queue_pauses: [],
    timeline: [
      { kind: 'inserted', at: row.inserted, by: '10.0.4.17', text: '' },
      { kind: 'first_chunk', at: iso(insertedMs + 400), by: 'c-3', text: '' },
      {
        kind: 'first_failure',
        at: iso(insertedMs + 40 * SECOND),
        by: 'c-5',
        text: world.failure.split('\n')[0] ?? '',
      },
    ],
    acted_by: [
      {
        verb: 'pause',
        detail: 'manual',
        by: world.by,
        reason: world.reason,
        at: iso(insertedMs + 2 * MINUTE),
      },
    ],
    failures: failureGroups(world).items.slice(0, 2),
    failures_since: null,
    end: null,
  };
}

export function chunkRows(world: World): List<ChunkRow> {
  const items = Array.from(
    { length: Math.min(40, world.rows) },
    (_, index): ChunkRow => ({
      index: 2_017 + index * 3,
      state: 'reserved',
      holder: `c-${1 + (index % 6)}`,
      held_ms: Math.max(200, 61_000 - index * 7_000),
      expires_in_ms: 9 * MINUTE - index * SECOND,
      due_in_ms: null,
      straggler: index < 2,
      retries: index === 0 ? 2 : 0,
      disconnects: 0,
      last_failure: index === 0 ? world.failure : null,
    }),
  );
  return list(world, items);
}

const CONSUMER_STATES = [
  'working',
  'working',
  'working',
  'waiting',
  'working',
  'sick',
  'full',
  'idle',
] as const;

export function consumer(world: World, index: number): ConsumerRow {
  return {
    conn_id: `c-${index + 1}`,
    queue: '-',
    address: `10.0.4.${17 + index}`,
    client: index % 5 === 4 ? null : world.client,
    strategy: world.strategy,
    state: CONSUMER_STATES[index % CONSUMER_STATES.length] ?? 'working',
    concurrency: 8,
    held: (index * 5) % 9,
    oldest_held_ms: (index * 5) % 9 === 0 ? null : 900 + index * 731,
    oldest_held_since: (index * 5) % 9 === 0 ? null : iso(world.nowMs - 900 - index * 731),
    requests_waiting: index % 4 === 3 ? 1 : 0,
    done: 18_000 - index * 271,
    set_back: index,
    rate: index === 16 ? 0.52 : 5 - index / 30,
    set_back_60s: index % 6 === 5 ? 12 : 0,
    durations_ms:
      index % 9 === 7
        ? null
        : { p50: index === 16 ? 12_000 : 1_200 + index * 10, p90: index === 16 ? 38_000 : 3_700 },
    slow: index === 16 ? 10.2 : null,
    silent_ms: 120 + index * 90,
    heard: iso(world.nowMs - 120 - index * 90),
    since: iso(world.nowMs - 5 * HOUR + index * MINUTE),
  };
}

export function consumers(world: World): List<ConsumerRow> {
  const items = Array.from({ length: world.isEmpty ? 0 : world.rows }, (_, index) => consumer(world, index));
  return list(world, items, world.isEmpty ? 0 : 64);
}

export function consumerGroups(world: World): List<ConsumerGroup> {
  const groups = [world.strategy, 'oldest', null].map((group, index) => ({
    group,
    consumers: 40 - index * 12,
    working: 38 - index * 12,
    waiting: 2,
    slow: index === 0 ? 1 : 0,
    held: 300 - index * 90,
    rate: 200 - index * 50,
    set_back_60s: index * 4,
    oldest_held_ms: 61_000 - index * 9_000,
  }));
  return list(world, world.isEmpty ? [] : groups);
}

export function consumerAnswer(world: World, id: string): ConsumerAnswer {
  const row = consumer(world, Number(id.replace(/\D/g, '')) - 1 || 0);
  return {
    ...frame(world),
    ...row,
    conn_id: id,
    held: 12,
    holding: Array.from({ length: Math.min(12, world.rows) }, (_, index) => ({
      submission: submissionId(index % 3),
      chunk: 4_100 + index * 7,
      held_ms: 61_000 - index * 4_000,
      expires_in_ms: 9 * MINUTE,
      retries: index === 0 ? 1 : 0,
    })),
  };
}

export function keys(world: World): List<KeyRow> {
  return list(
    world,
    world.isEmpty
      ? []
      : [
          { key: world.key, values: 6 },
          { key: 'priority', values: 3 },
        ],
  );
}

export function values(world: World): List<ValueRow> {
  const items = Array.from({ length: Math.min(12, world.rows) }, (_, index) => ({
    value: String(40 + index),
    submissions: 220 - index * 17,
    waiting: Math.floor(90_000 / (index + 1)),
    in_flight: index === 9 ? 0 : 80 - index * 6,
    backlog: Math.floor(99_000 / (index + 1)),
    rate: index === 11 ? null : 60 - index * 4.3,
    set_back_60s: index === 2 ? 118 : 0,
    share: index === 9 ? 0 : (80 - index * 6) / 412,
    oldest_ms: (47 - index) * MINUTE,
  }));
  return list(world, world.isEmpty ? [] : items);
}

export function why(world: World, submission: string | null): Why {
  const common = { ...frame(world), submission, queue: null, backlog: world.isEmpty ? 0 : 1_200 };
  if (world.isEmpty) {
    const text = 'Nothing is open';
    return {
      ...common,
      ok: false,
      verdict: 'nothing_open',
      text,
      advice: 'submit something, or look at the other queues',
      command: 'opsqueue queues',
      checks: [{ code: 'nothing_open', ok: false, evidence: text, advice: null, command: null }],
    };
  }
  return {
    ...common,
    ok: true,
    verdict: 'running',
    text:
      submission === null
        ? 'It runs: 304 chunks per second, 61 of 64 consumers are at work'
        : 'It runs: 31 chunks per second',
    advice: null,
    command: null,
    checks: [
      {
        code: 'store_stuck',
        ok: true,
        evidence: 'commits get through, the last one 0.2 s ago',
        advice: null,
        command: null,
      },
      {
        code: 'queue_paused',
        ok: true,
        evidence: 'neither server nor queue is paused',
        advice: null,
        command: null,
      },
      { code: 'no_consumers', ok: true, evidence: '64 consumers are connected', advice: null, command: null },
      {
        code: 'excluded',
        ok: true,
        evidence: 'all strategies in use include it',
        advice: null,
        command: null,
      },
      {
        code: 'running',
        ok: true,
        evidence: '31 chunks of it were done in the last second',
        advice: null,
        command: null,
      },
    ],
  };
}

const EVENT_KINDS = [
  'submission_inserted',
  'submission_ended',
  'consumer_connected',
  'acted',
  'consumer_gone',
] as const;

const EVENT_SEQ = 9_000;

/** The oldest first; after these there are none. */
export function events(world: World, isAfter: boolean): EventsAnswer {
  const length = isAfter ? 0 : world.isEmpty ? 1 : Math.min(12, world.rows);
  const items = Array.from({ length }, (_, i): EventRow => {
    const index = length - 1 - i;
    const kind = world.isEmpty ? 'server_started' : (EVENT_KINDS[index % EVENT_KINDS.length] ?? 'acted');
    const isOfConsumer = kind.startsWith('consumer');
    return {
      seq: EVENT_SEQ - index,
      at: iso(world.nowMs - index * 13 * SECOND),
      kind,
      queue: '-',
      submission: isOfConsumer || world.isEmpty ? null : submissionId(index),
      conn_id: isOfConsumer ? `c-${index}` : null,
      by: kind === 'acted' ? world.by : null,
      text:
        kind === 'submission_ended'
          ? `failed: chunk 17: ${world.failure}`
          : kind === 'acted'
            ? `paused: ${world.reason}`
            : isOfConsumer
              ? world.strategy
              : world.prefix,
    };
  });
  return { ...list(world, items), next: `0190000000aa.${EVENT_SEQ}`, missed: 0 };
}

export function queueAnswer(world: World): QueueAnswer {
  return {
    ...frame(world),
    since: iso(world.nowMs - 5 * HOUR),
    version: '0.1.0',
    node: '26.10.0',
    platform: 'linux x64',
    memory_bytes: 143_000_000,
    settings: {
      '--port': 3999,
      '--host': ['127.0.0.1', '::1'],
      '--database-filename': '/var/lib/opsqueue/queue.db',
      '--reservation-expiration': '10 minutes',
      '--max-chunk-retries': 10,
      '--queues': null,
    },
    features: { consumers: ['release', 'extend', 'strategies'], producers: ['control', 'queues'] },
    store: { kind: 'sqlite', size_bytes: 48_300_000 },
    connections_rejected: { limit: 0, descriptors: 0 },
    views: { kept: 4, cost_ms: 3.2, refused: 0 },
  };
}

export function queues(world: World): List<QueueRow> {
  const row = (name: string, scale: number): QueueRow => ({
    name,
    submissions_open: 900 * scale,
    chunks_waiting: 110_000 * scale,
    chunks_reserved: 300 * scale,
    chunks_delayed: 17,
    chunks_paused: 0,
    consumers: 40 * scale,
    pauses:
      scale === 1
        ? []
        : [
            {
              of: 'queue',
              cause: 'manual',
              by: world.by,
              reason: world.reason,
              since: iso(world.nowMs - HOUR),
            },
          ],
  });
  return list(world, world.isEmpty ? [row('', 0)] : [row('', 1), row(world.queue, 2)]);
}

/** Octets of a map, half done, as its header names it. */
export function map(
  world: World,
  query: URLSearchParams,
  total = world.chunks,
): { header: string; bytes: Buffer } {
  const cell = Number(query.get('cell') ?? 1);
  const from = Number(query.get('from') ?? 0);
  const cells = Math.min(Number(query.get('cells') ?? 16_384), Math.ceil((total - from) / cell));
  const bytes = Buffer.alloc(cells * 2);
  if (query.get('mode') === 'duration') {
    // What is done took from 0.1 s at its beginning to 30 s.
    for (let i = 0; i < cells; i++) {
      const at = (from + i * cell) / total;
      if (at < 0.55) bytes.set([54 + Math.round(at * 120), 60 + Math.round(at * 140)], i * 2);
    }
    return { header: `total=${total}; from=${from}; cell=${cell}; cells=${cells}`, bytes };
  }
  for (let i = 0; i < cells; i++) {
    const at = (from + i * cell) / total;
    const isDone = at < 0.42 || (at < 0.55 && (i * 7919) % 100 < (0.55 - at) * 700);
    bytes[i * 2] = isDone ? (cell > 1 && (i * 31) % 9 === 0 ? 210 : 255) : 0;
    const isReserved = !isDone && at < 0.6 && (i * 104_729) % 11 < 3;
    bytes[i * 2 + 1] =
      (isReserved ? MAP_BITS.reserved : 0) |
      (isReserved && i % 37 === 0 ? MAP_BITS.straggler : 0) |
      (!isDone && !isReserved && at < 0.6 && i % 41 === 0 ? MAP_BITS.delayed : 0) |
      (isDone && i % 997 === 7 ? MAP_BITS.failed : 0);
  }
  return { header: `total=${total}; from=${from}; cell=${cell}; cells=${cells}`, bytes };
}
