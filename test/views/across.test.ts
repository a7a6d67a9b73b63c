import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SHARDS } from '../../src/model/shard.ts';
import { Strategy } from '../../src/model/strategy.ts';
import type { VerbRequest } from '../../src/model/verbs.ts';
import { CONSUMER_GROUPINGS, CONSUMER_SORTS, type ConsumerRow } from '../../src/protocol/api/consumers.ts';
import type { EventRow } from '../../src/protocol/api/events.ts';
import type { List } from '../../src/protocol/api/lists.ts';
import { HISTORY_SERIES } from '../../src/protocol/api/overview.ts';
import { SUBMISSION_SORTS, type SubmissionItem } from '../../src/protocol/api/submissions.ts';
import { VALUE_SORTS, type ValuesAnswer } from '../../src/protocol/api/values.ts';
import type { Consumers } from '../../src/queue/consumers.ts';
import type { ConnectedConsumer, ConsumerPeer } from '../../src/queue/peer.ts';
import { Queue } from '../../src/queue/queue.ts';
import type { HandedOutChunk } from '../../src/scheduler/types.ts';
import { checkedSettings } from '../../src/server/settings.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { seededRandom } from '../../src/system/random.ts';
import {
  type EventPlaces,
  eventTag,
  eventTagSince,
  formatEventPlaces,
  GONE_MAX,
  mergeEvents,
  parseEventPlaces,
} from '../../src/views/across/events.ts';
import { mergeHistories } from '../../src/views/across/history.ts';
import {
  isPaged,
  isPagedValues,
  mergeConsumers,
  mergeFailures,
  mergeKeys,
  mergeSubmissions,
  mergeValues,
  WHOLE,
} from '../../src/views/across/lists.ts';
import { mergeOverviews } from '../../src/views/across/overview.ts';
import { mergeQueues } from '../../src/views/across/queues.ts';
import { mergeWhys } from '../../src/views/across/why.ts';
import { consumers } from '../../src/views/answers/consumers.ts';
import { eventsAfter } from '../../src/views/answers/events.ts';
import { failures } from '../../src/views/answers/failure-groups.ts';
import { history } from '../../src/views/answers/history.ts';
import { overview } from '../../src/views/answers/overview.ts';
import { itemSortValue, openList } from '../../src/views/answers/submissions.ts';
import { keys, ValueRates, values } from '../../src/views/answers/values.ts';
import { why } from '../../src/views/answers/why.ts';
import type { Computation, Computing } from '../../src/views/frames.ts';
import type { Sources } from '../../src/views/sources.ts';
import type { Views } from '../../src/views/views.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { newSubmission } from '../support/queues/queue-world.ts';
import { startViews } from '../support/queues/test-views.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

// Queues that are dealt out to two nodes, and the same ones on a third that has everything: what is made of the answers of
// the two has to be the answer of the third.

const QUEUES = ['', 'images', 'letters', 'video'] as const;
const STRATEGIES = [
  Strategy.oldest(),
  Strategy.newest(),
  Strategy.preferDistinct('customer', Strategy.oldest()),
];

interface Held {
  readonly submissionId: bigint;
  readonly chunkIndex: number;
}

interface Worker {
  readonly of: Consumers;
  readonly handle: ConnectedConsumer;
  readonly strategy: Strategy;
  readonly held: Held[];
}

class TestNode {
  readonly queue: Queue;
  readonly views: Views;
  readonly #workers = new Map<number, Worker>();
  readonly #clock: ManualClock;

  private constructor(queue: Queue, clock: ManualClock) {
    this.queue = queue;
    this.#clock = clock;
    this.views = startViews({ queue, clock });
  }

  static async start(clock: ManualClock): Promise<TestNode> {
    const logger = recordingLogger();
    const settings = {
      ...checkedSettings({}),
      clock,
      logger,
      random: seededRandom(1),
      store: new MemoryStore(),
    };
    return new TestNode(await Queue.open(settings), clock);
  }

  connect(name: string, number: number, strategy: Strategy): void {
    const held: Held[] = [];
    const sinceMs = this.#clock.nowMs();
    const peer: ConsumerPeer = {
      facts: {
        connId: `conn-${number}`,
        address: `10.0.0.${number % 3}`,
        client: number % 2 === 0 ? 'opsqueue 1.0.0' : null,
        sinceMs,
        heardMs: this.#clock.monotonicMs(),
        strategy,
        isFull: false,
      },
      reserved: (_request, chunks: readonly HandedOutChunk[]) => {
        for (const { submission, chunkIndex } of chunks)
          held.push({ submissionId: submission.record.id, chunkIndex });
      },
      expired: () => {},
      dropped: () => {},
      sick: () => {},
      recovered: () => {},
      failed: (error) => {
        throw error;
      },
    };
    const of = this.queue.consumersOf(name);
    this.#workers.set(number, { of, handle: of.connect(peer, {}), strategy, held });
  }

  work(number: number, outcome: 'reserve' | 'complete' | 'fail', text: string): void {
    const worker = this.#workers.get(number);
    if (worker === undefined) return;
    const { of, handle, strategy, held } = worker;
    if (outcome === 'reserve') {
      of.reserve(handle, { nonce: 0, max: 2, strategy });
      return;
    }
    const chunk = held.shift();
    if (chunk === undefined) return;
    if (outcome === 'complete') of.complete(handle, chunk, null);
    else of.fail(handle, chunk, { text });
  }

  /** What a view says. */
  see<T>(compute: (sources: Sources) => Computing<T>): T {
    const computation = compute(this.views.sources) as Computation<T>;
    for (;;) {
      const step = computation.next();
      if (step.done === true) return step.value;
    }
  }

  async stop(): Promise<void> {
    this.views.stop();
    const stopped = this.queue.stop(1);
    this.#clock.advance(1);
    await stopped;
  }
}

type Step =
  | { kind: 'insert'; queue: number; chunks: number; customer: number }
  | { kind: 'connect'; queue: number; strategy: number }
  | { kind: 'work'; consumer: number; outcome: 'reserve' | 'complete' | 'fail' }
  | { kind: 'pause'; queue: number; what: 'queue' | 'server' }
  | { kind: 'wait'; ms: number };

const queueNumber = fc.nat(QUEUES.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('insert' as const),
    queue: queueNumber,
    chunks: fc.integer({ min: 1, max: 5 }),
    customer: fc.nat(3),
  }),
  fc.record({ kind: fc.constant('connect' as const), queue: queueNumber, strategy: fc.nat(2) }),
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('work' as const),
      consumer: fc.nat(8),
      outcome: fc.constantFrom('reserve' as const, 'complete' as const, 'fail' as const),
    }),
  },
  fc.record({
    kind: fc.constant('pause' as const),
    queue: queueNumber,
    what: fc.constantFrom('queue' as const, 'server' as const),
  }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 5_000 }) }),
);

interface Scene {
  readonly clock: ManualClock;
  readonly nodes: readonly [TestNode, TestNode];
  readonly all: TestNode;
}

async function scene(steps: readonly Step[]): Promise<Scene & AsyncDisposable> {
  const clock = new ManualClock();
  const [a, b, all] = [await TestNode.start(clock), await TestNode.start(clock), await TestNode.start(clock)];
  const homeOf = (queue: number) => (queue % 2 === 0 ? a : b);
  const homes: TestNode[] = [];
  for (const each of steps) {
    // So that no two things happen in the same millisecond.
    clock.advance(1);
    switch (each.kind) {
      case 'insert':
        for (const node of [homeOf(each.queue), all]) {
          await node.queue.inserts.insert(
            newSubmission({
              queue: QUEUES[each.queue]!,
              chunksTotal: each.chunks,
              prefix: `p${clock.nowMs()}`,
              strategicMetadata: new Map([['customer', BigInt(each.customer)]]),
            }),
          );
        }
        break;
      case 'connect':
        for (const node of [homeOf(each.queue), all]) {
          node.connect(QUEUES[each.queue]!, homes.length, STRATEGIES[each.strategy]!);
        }
        homes.push(homeOf(each.queue));
        break;
      case 'work':
        for (const node of [homes[each.consumer], all]) {
          node?.work(
            each.consumer,
            each.outcome,
            `Error: customer ${each.consumer % 2 === 0 ? 'a' : 'b'} is gone`,
          );
        }
        break;
      case 'pause': {
        const target =
          each.what === 'server'
            ? ({ kind: 'server' } as const)
            : ({ kind: 'queue', queue: QUEUES[each.queue]! } as const);
        const request: VerbRequest = {
          change: { verb: 'pause', cause: 'manual' },
          target,
          by: 'ann',
          reason: null,
          isDryRun: false,
          expected: null,
        };
        // Of the whole server each node learns.
        const told = each.what === 'server' ? [a, b] : [homeOf(each.queue)];
        for (const node of [...told, all]) await node.queue.verbs.run(request);
        break;
      }
      case 'wait':
        clock.advance(each.ms);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    clock,
    nodes: [a, b],
    all,
    async [Symbol.asyncDispose]() {
      for (const node of [a, b, all]) await node.stop();
    },
  };
}

/** Checks a property on random scenes. */
async function onScenes(check: (scene: Scene) => void): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      await using found = await scene(steps);
      check(found);
    }),
    { numRuns: 10 },
  );
}

function framed<T extends object>(answer: T, clock: ManualClock): T & { as_of: string; age_ms: number } {
  return { as_of: new Date(clock.nowMs()).toISOString(), age_ms: 0, ...answer };
}

/** All pages of a list, and what each of them said of how many there are. */
function walked<Row>(page: (cursor: string | null) => Pick<List<Row>, 'matched' | 'next' | 'items'>) {
  const rows: Row[] = [];
  const matched = new Set<number | null>();
  for (let cursor: string | null = null; ; ) {
    const { next, items, matched: counted } = page(cursor);
    rows.push(...items);
    matched.add(counted);
    if (next === null) return { rows, matched: [...matched] };
    assert.ok(items.length > 0);
    cursor = next;
  }
}

test('the overview of all nodes is that of one that has everything', () =>
  onScenes(({ nodes, all }) => {
    const whole = all.see((sources) => overview(sources, null));
    const merged = mergeOverviews(nodes.map((node) => node.see((sources) => overview(sources, null))));
    const { strategies, attention, store: _store, rates: _rates, ...others } = merged;
    const {
      strategies: wholeStrategies,
      attention: wholeAttention,
      store: _s,
      rates: _r,
      ...wholeOthers
    } = whole;
    assert.deepEqual(others, wholeOthers);
    const byName = (a: { strategy: string | null }, b: { strategy: string | null }) =>
      String(a.strategy) < String(b.strategy) ? -1 : 1;
    assert.deepEqual(strategies.toSorted(byName), wholeStrategies.toSorted(byName));
    // What is told of failures counts them for each node.
    const told = (of: typeof attention) =>
      [...new Set(of.map(({ code, severity, link }) => `${code} ${severity} ${link}`))].toSorted();
    assert.deepEqual(told(attention), told(wholeAttention));
  }));

test('pages of submissions out of two nodes have each of them once, in the order of one list', () =>
  onScenes(({ nodes, all }) => {
    for (const sort of SUBMISSION_SORTS) {
      for (const order of ['asc', 'desc'] as const) {
        const query = { ...ANY_SUBMISSION, sort, order, limit: 3 };
        const whole = walked<SubmissionItem>((cursor) =>
          all.see((sources) => openList(sources, { ...query, cursor })),
        );
        const merged = walked<SubmissionItem>((cursor) =>
          mergeSubmissions(
            nodes.map((node) => node.see((sources) => openList(sources, { ...query, cursor }))),
            { ...query, cursor },
          ),
        );
        assert.deepEqual(merged, whole, `${sort} ${order}`);
        const shown = whole.rows.map((row) => itemSortValue(row, sort));
        const sign = order === 'asc' ? 1 : -1;
        assert.deepEqual(
          shown,
          shown.toSorted((x, y) => (x === y ? 0 : sign * (x - y))),
          sort,
        );
      }
    }
  }));

test('time that passes from page to page skips nothing that is sorted by how long it lasts', async () => {
  const steps: Step[] = [];
  for (let number = 0; number < 9; number++) {
    const queue = number % 2;
    steps.push({ kind: 'insert', queue, chunks: 1, customer: 0 }, { kind: 'connect', queue, strategy: 0 });
    steps.push({ kind: 'wait', ms: 1_000 }, { kind: 'work', consumer: number, outcome: 'reserve' });
  }
  for (const order of ['asc', 'desc'] as const) {
    await using found = await scene(steps);
    const { clock, nodes, all } = found;
    const passing = <T>(value: T): T => {
      clock.advance(7_000);
      return value;
    };
    const submissions = { ...ANY_SUBMISSION, sort: 'oldest_held', order, limit: 2 } as const;
    const list = (cursor: string | null) => (node: TestNode) =>
      node.see((sources) => openList(sources, { ...submissions, cursor }));
    for (const page of [
      (cursor: string | null) => list(cursor)(all),
      (cursor: string | null) => mergeSubmissions(nodes.map(list(cursor)), { ...submissions, cursor }),
    ]) {
      const { rows } = walked<SubmissionItem>((cursor) => passing(page(cursor)));
      assert.deepEqual([rows.length, new Set(rows.map(({ id }) => id)).size], [9, 9], order);
    }
    for (const sort of ['oldest_held', 'silent'] as const) {
      const query = { ...ANY_CONSUMER, sort, order, limit: 2 };
      const rows = walked((cursor) =>
        passing(
          mergeConsumers(
            nodes.map((node) => node.see((sources) => consumers(sources, { ...query, cursor }))),
            { ...query, cursor },
          ),
        ),
      ).rows as ConsumerRow[];
      assert.equal(new Set(rows.map((row) => row.conn_id)).size, 9, `consumers ${sort} ${order}`);
      const values = rows.map((row) => (sort === 'silent' ? row.heard : (row.oldest_held_since ?? '')));
      const isUpwards = order === 'desc';
      assert.deepEqual(values, isUpwards ? values.toSorted() : values.toSorted().reverse());
    }
  }
});

test('a page that one node fills alone, with more there, says that there is a next one', async () => {
  const insert: Step = { kind: 'insert', queue: 0, chunks: 1, customer: 0 };
  await using found = await scene([insert, insert, insert, insert]);
  const query = { ...ANY_SUBMISSION, sort: 'inserted', order: 'asc', limit: 3, cursor: null } as const;
  const parts = found.nodes.map((node) => node.see((sources) => openList(sources, query)));
  assert.deepEqual(
    parts.map(({ items }) => items.length),
    [3, 0],
  );
  const first = mergeSubmissions(parts, query);
  assert.deepEqual([first.matched, first.items.length], [4, 3]);
  assert.notEqual(first.next, null);
});

const ANY_SUBMISSION = {
  queue: null,
  state: 'open',
  meta: new Map<string, bigint>(),
  prefix: null,
  prefix_starts: null,
  inserted_before: null,
  inserted_after: null,
  ended_before: null,
  ended_after: null,
  failure: null,
} as const;

const ANY_CONSUMER = {
  queue: null,
  strategy: null,
  state: null,
  client: null,
  address: null,
  group: 'none',
} as const;

test('consumers of two nodes are listed and grouped as those of one', () =>
  onScenes(({ nodes, all }) => {
    for (const group of CONSUMER_GROUPINGS) {
      for (const sort of CONSUMER_SORTS) {
        const query = {
          queue: null,
          strategy: null,
          state: null,
          client: null,
          address: null,
          sort,
          group,
        } as const;
        const page = { ...query, order: 'asc', limit: 2 } as const;
        const whole = walked((cursor) => all.see((sources) => consumers(sources, { ...page, cursor })));
        const merged = walked((cursor) => {
          const asked = { ...page, cursor, ...(isPaged(page) ? {} : WHOLE) };
          return mergeConsumers(
            nodes.map((node) => node.see((sources) => consumers(sources, asked))),
            { ...page, cursor },
          );
        });
        assert.deepEqual(merged, whole, `${group} ${sort}`);
      }
    }
  }));

test('failures of two nodes are listed and grouped as those of one', () =>
  onScenes(({ nodes, all }) => {
    for (const group of ['none', 'fingerprint'] as const) {
      const filter = {
        submission: null,
        meta: new Map<string, bigint>(),
        consumer: null,
        cause: null,
      } as const;
      const query = { ...filter, queue: null, fingerprint: null, group, limit: 2 } as const;
      const whole = walked((cursor) => all.see((sources) => failures(sources, { ...query, cursor })));
      const merged = walked((cursor) => {
        const asked = { ...query, cursor, ...(isPaged(query) ? {} : WHOLE) };
        return mergeFailures(
          nodes.map((node) => node.see((sources) => failures(sources, asked))),
          { ...query, cursor },
        );
      });
      assert.deepEqual(merged, whole, group);
    }
  }));

test('keys and values of two nodes are added up', () =>
  onScenes(({ clock, nodes, all }) => {
    const keysQuery = { queue: null, limit: 1, cursor: null };
    const wholeKeys = all.see((sources) => keys(sources, keysQuery));
    const partsOfKeys = nodes.map((node) => node.see((sources) => keys(sources, { ...keysQuery, ...WHOLE })));
    assert.deepEqual(mergeKeys(partsOfKeys, keysQuery), wholeKeys);
    for (const sort of VALUE_SORTS) {
      const query = { queue: null, key: 'customer', sort, order: 'desc', starts: null, limit: 2 } as const;
      const whole = walked((cursor) =>
        all.see((sources) => values(sources, { ...query, cursor }, new ValueRates())),
      );
      const merged = walked((cursor) => {
        const asked = { ...query, cursor, ...(isPagedValues({ ...query, cursor }) ? {} : WHOLE) };
        const parts: ValuesAnswer[] = nodes.map((node) =>
          framed(
            node.see((sources) => values(sources, asked, new ValueRates())),
            clock,
          ),
        );
        return mergeValues(parts, { ...query, cursor });
      });
      assert.deepEqual(merged.rows, whole.rows, sort);
      if (sort !== 'value') assert.deepEqual(merged.matched, whole.matched);
    }
  }));

test('what keeps all from going on is that of the queue that is worst off on any node', () =>
  onScenes(({ nodes, all }) => {
    const query = { submission: null, queue: null };
    const whole = all.see((sources) => why(sources, query));
    const merged = mergeWhys(nodes.map((node) => node.see((sources) => why(sources, query))));
    // Of several with the same backlog, any.
    if (merged.queue !== whole.queue)
      assert.deepEqual([merged.ok, merged.backlog], [whole.ok, whole.backlog]);
    else assert.equal(merged.verdict, whole.verdict);
  }));

test('a pause of a queue in which nothing is open keeps nothing from going on, on whichever node it is', async () => {
  const query = { submission: null, queue: null };
  const told = ({ nodes, all }: Scene) =>
    [
      all.see((sources) => why(sources, query)),
      mergeWhys(nodes.map((node) => node.see((s) => why(s, query)))),
    ].map(({ ok, verdict, queue }) => ({ ok, verdict, queue }));
  const pause: Step = { kind: 'pause', queue: 0, what: 'queue' };
  await using idle = await scene([pause]);
  const nothing = { ok: false, verdict: 'nothing_open', queue: null };
  assert.deepEqual(told(idle), [nothing, nothing]);
  await using busy = await scene([
    { kind: 'connect', queue: 1, strategy: 0 },
    { kind: 'insert', queue: 1, chunks: 3, customer: 0 },
    { kind: 'work', consumer: 0, outcome: 'reserve' },
    { kind: 'work', consumer: 0, outcome: 'complete' },
    { kind: 'wait', ms: 1_000 },
    pause,
  ]);
  const [whole, merged] = told(busy);
  assert.deepEqual(merged, whole);
  assert.equal(merged?.queue, 'images');
  assert.notEqual(merged?.verdict, 'queue_paused');
});

test('queues of two nodes are one list, with the pauses of the server once', () =>
  onScenes(({ nodes, all }) => {
    const merged = mergeQueues(nodes.map(({ queue }) => queue.inUse));
    assert.deepEqual(merged, all.queue.inUse);
  }));

test('the history of two nodes has the sums, point by point', () =>
  onScenes(({ nodes, all }) => {
    const query = {
      queue: null,
      window: '10m',
      series: ['backlog', 'consumers', 'reserved'],
      points: 600,
    } as const;
    const whole = all.see(function* see(sources) {
      yield;
      return history(sources, query);
    });
    const merged = mergeHistories(
      nodes.map((node) =>
        node.see(function* see(sources) {
          yield;
          return history(sources, query);
        }),
      ),
    );
    assert.deepEqual(merged.series, whole.series);
    assert.deepEqual(merged.at_ms, whole.at_ms);
  }));

test('the history ends where that of the last node does, and a node that is newer counts from its beginning', () => {
  const part = (
    at: readonly number[],
    done: readonly (number | null)[],
    commits: readonly (number | null)[],
  ) => ({
    since: new Date(at[0]!).toISOString(),
    queue: null,
    window: '10m' as const,
    step_ms: 1_000,
    at_ms: at,
    series: { done, commit_p99_ms: commits },
  });
  const merged = mergeHistories([
    part([10_300, 11_300, 12_300], [1, 2, 3], [null, 5, 5]),
    part([11_100, 12_100, 13_100], [10, null, 30], [4, 6, 6]),
    part([2_000], [7], [null]),
  ]);
  assert.deepEqual(merged.at_ms, [2_000, 10_000, 11_000, 12_000]);
  assert.deepEqual(merged.series, { done: [7, 1, 12, 3], commit_p99_ms: [null, null, 5, 6] });
  assert.equal(merged.since, new Date(2_000).toISOString());
  assert.ok(HISTORY_SERIES.includes('commit_p99_ms'));
});

test('events of two nodes come once each, in the order of their time, however few are asked for at once', () =>
  onScenes(({ nodes, all }) => {
    const tags = nodes.map((_node, i) => eventTag(`01900000-0000-7000-8000-00000000000${i}`));
    const query = { queue: null, kind: [], submission: null, take: 'next' } as const;
    const seen: EventRow[] = [];
    const partsAfter = (places: EventPlaces, take: 'next' | 'latest', limit: number) =>
      nodes.map(({ views }, i) => {
        const after = places.get(tags[i]!)?.seq ?? null;
        return { tag: tags[i]!, ...eventsAfter(views.sources, { ...query, take, after, limit }) };
      });
    for (let after: string | null = null; ; ) {
      const places = parseEventPlaces(after);
      const asked = { places, take: 'next', limit: 3 } as const;
      const { items, next, missed } = mergeEvents(partsAfter(places, 'next', 3), asked);
      assert.equal(missed, 0);
      assert.equal(formatEventPlaces(parseEventPlaces(next)), next);
      if (items.length === 0) break;
      seen.push(...items);
      after = next;
    }
    for (const limit of [1, 4, 200]) {
      const [none, begun] = [new Map(), new Map(tags.map((tag) => [tag, { seq: 0, isGone: false }]))];
      for (const places of [none, begun]) {
        const asked = { places, take: 'latest', limit } as const;
        const { items, next, missed } = mergeEvents(partsAfter(places, 'latest', limit), asked);
        assert.deepEqual(items, seen.slice(-limit));
        assert.equal(missed, places === begun ? seen.length - items.length : 0);
        const [rest] = partsAfter(parseEventPlaces(next), 'next', 3).map((part) => part.items.length);
        assert.equal(rest, 0);
      }
    }
    const everything = { ...query, after: null, limit: 10_000 } as const;
    const whole = eventsAfter(all.views.sources, everything).items;
    const told = (rows: readonly EventRow[]) => rows.map(({ seq: _seq, ...row }) => JSON.stringify(row));
    const times = seen.map(({ at }) => at);
    assert.deepEqual(times, times.toSorted());
    // Each node has its own start, and each hears of what is done to the whole server.
    const once = (rows: readonly EventRow[]) => [...new Set(told(rows))].toSorted();
    assert.deepEqual(once(seen), once(whole));
  }));

const place = (tag: string, seq: number, isGone = false) =>
  formatEventPlaces(new Map([[tag, { seq, isGone }]]));
const nextAfter = (after: string) => ({ places: parseEventPlaces(after), take: 'next', limit: 5 }) as const;

test('a reader who has heard of a server that is gone is told so, once, and stays where one is silent', () => {
  const [here, gone, silent] = ['00000000000a', '00000000000b', '00000000000c'];
  const part = { tag: here, items: [], seen: 9, missed: 2 };
  const first = mergeEvents([part], nextAfter(`${here}.4,${gone}.7,${silent}.3`), [silent]);
  assert.deepEqual([first.next, first.missed], [`${here}.9,${silent}.3,${place(gone, 7, true)}`, null]);
  const second = mergeEvents([part], nextAfter(first.next), [silent]);
  assert.deepEqual([second.next, second.missed], [first.next, 2]);
});

test('a server that comes back goes on where the reader stood, and is told of again when it goes again', () => {
  const [here, other] = ['00000000000a', '00000000000b'];
  const part = { tag: here, items: [], seen: 9, missed: 0 };
  const away = mergeEvents([part], nextAfter(`${here}.9,${other}.7`));
  assert.equal(parseEventPlaces(away.next).get(other)?.seq, 7);
  const silent = mergeEvents([part], nextAfter(away.next), [other]);
  assert.equal(parseEventPlaces(silent.next).get(other)?.seq, 7);
  const back = mergeEvents([part, { tag: other, items: [], seen: 12, missed: 1 }], nextAfter(silent.next));
  assert.deepEqual([back.next, back.missed], [`${here}.9,${other}.12`, 1]);
  assert.equal(mergeEvents([part], nextAfter(back.next)).missed, null);
});

test('places on servers that are gone are bounded; one that may have been forgotten is a gap', () => {
  const here = 'a00000000000';
  const part = (tag: string) => ({ tag, items: [], seen: Number.MAX_SAFE_INTEGER, missed: 0 });
  const tagOf = (i: number) => i.toString(16).padStart(12, '0');
  let next = place(here, 1);
  for (let i = 1; i <= GONE_MAX; i++) ({ next } = mergeEvents([part(here), part(tagOf(i))], nextAfter(next)));
  const full = mergeEvents([part(here)], nextAfter(next));
  assert.deepEqual([full.missed, parseEventPlaces(full.next).size], [null, 1 + GONE_MAX]);
  const more = mergeEvents([part(here)], nextAfter(`${full.next},${place(tagOf(999), 5)}`));
  assert.equal(more.missed, null);
  const tags = [...parseEventPlaces(more.next).keys()];
  assert.deepEqual(tags, [here, ...Array.from({ length: GONE_MAX - 1 }, (_, i) => tagOf(i + 2)), tagOf(999)]);
  assert.equal(mergeEvents([part(here), part(tagOf(1))], nextAfter(more.next)).missed, null);
  assert.equal(mergeEvents([part(here), part(tagOf(2))], nextAfter(more.next)).missed, 0);
  const all = mergeEvents(
    Array.from({ length: SHARDS }, (_, i) => part(tagOf(i + 2000))),
    nextAfter(more.next),
  );
  assert.ok(all.next.length < 4_000, 'a parameter may be as long as that');
});

test('a place among events names servers; anything else is refused', () => {
  assert.deepEqual(
    parseEventPlaces('00000000000a.12'),
    new Map([['00000000000a', { seq: 12, isGone: false }]]),
  );
  assert.deepEqual(
    parseEventPlaces('00000000000a.12~'),
    new Map([['00000000000a', { seq: 12, isGone: true }]]),
  );
  assert.deepEqual(parseEventPlaces(null), new Map());
  assert.deepEqual(parseEventPlaces(`${eventTagSince(1.8e12)}.1`).size, 1);
  for (const bad of [
    '',
    '-1',
    '12',
    '0123456789ab',
    '0123456789ab.',
    '0123456789ab.1,',
    'x.1',
    '0123456789ab.~',
    '0123456789ab.1~2',
  ]) {
    assert.throws(() => parseEventPlaces(bad), /after: next of an earlier answer was expected/, bad);
  }
});
