import assert from 'node:assert/strict';
import { describe as nodeDescribe, test as nodeTest } from 'node:test';
import { PAGE_CHUNKS } from '../../model/chunk-set.ts';
import { NO_CONTROL } from '../../model/control.ts';
import { SUBMISSION_ID_MAX } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import type { SubmissionEnd } from '../../model/submission.ts';
import { randomInt, systemRandom } from '../../system/random.ts';
import type { Mutation } from '../store.ts';
import type { ConformanceContext, TestRunner } from './context.ts';
import { storeControlConformance } from './controls.ts';
import { storeEndConformance } from './ends.ts';
import { storeFailureConformance } from './failures.ts';
import {
  cancelled,
  chunk,
  completed,
  control,
  controlOf,
  failed,
  insertOf,
  output,
  page,
} from './mutations.ts';
import { storeProgressConformance } from './progress.ts';
import { submissionRecord } from './records.ts';
import { plainLoaded, type StoreFixture, StoreSession } from './session.ts';

export interface StoreConformanceOptions {
  /** Gives an empty one each time. */
  readonly fixture: () => Promise<StoreFixture>;
  /** What opening a second store on the same data does: it is refused, or the first one is fenced. */
  readonly second: 'refused' | 'fences';
  /**
   * Number of random sequences of batches.
   *
   * @defaultValue 20
   */
  readonly randomRuns?: number | undefined;
  /**
   * Seed of the first one; a failure reports its own.
   *
   * @defaultValue another one each time
   */
  readonly seed?: number | undefined;
  /**
   * Registers the tests.
   *
   * @defaultValue `describe` and `test` of `node:test`
   */
  readonly runner?: TestRunner | undefined;
}

/**
 * Registers the tests that every implementation of {@link Store} has to pass.
 *
 * @param name the store, for the titles of the tests
 */
export function storeConformance(name: string, options: StoreConformanceOptions): void {
  const { runner = { describe: nodeDescribe, test: nodeTest }, randomRuns = 20 } = options;
  const seed = options.seed ?? randomInt(systemRandom, 2 ** 31);
  const describe: TestRunner['describe'] = (title, body) => runner.describe(title, body);
  const test: TestRunner['test'] = (title, body) => runner.test(title, body);
  const use = async (run: (session: StoreSession) => Promise<void>): Promise<void> => {
    const fixture = await options.fixture();
    try {
      await using session = await StoreSession.open(fixture);
      await run(session);
    } finally {
      await fixture.dispose();
    }
  };
  const context: ConformanceContext = { name, use, describe, test };

  describe(`${name}: identity and order`, () => {
    test('an empty store has no batch and no id, and its epoch rises with each owner', () =>
      use(async (session) => {
        const { shard, lastSeq, highestId, epoch } = session.grant;
        assert.deepEqual({ shard, lastSeq, highestId }, { shard: 0, lastSeq: 0, highestId: 0n });
        assert.deepEqual(await session.loadAll(), []);
        await using next = await session.reopen();
        assert(next.grant.epoch > epoch);
      }));

    test('a batch is there after a restart, with its seq', () =>
      use(async (session) => {
        await session.commit(insertOf(1n));
        await session.commit(insertOf(2n), insertOf(3n));
        assert.equal(await session.read((store) => store.lastSeq(0)), 2);
        await using next = await session.reopen();
        assert.equal(next.grant.lastSeq, 2);
        assert.equal(next.grant.highestId, 3n);
        assert.deepEqual(
          (await next.loadAll()).map(({ record }) => record.id),
          [1n, 2n, 3n],
        );
      }));

    test('the last batch may be sent again: it changes nothing and is answered as before', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { prefix: 'a' }));
        const batch = session.batch([insertOf(2n, { prefix: 'a' }), insertOf(3n), page(3n, 0, [1])]);
        const first = await session.send(batch);
        session.seq++;
        assert.deepEqual(await session.send(batch), first);
        assert.deepEqual(
          first.map(({ kind }) => kind),
          ['exists', 'inserted'],
        );
        assert.equal(await session.read((store) => store.lastSeq(0)), 2);
        assert.equal((await session.loadAll()).length, 2);
      }));

    test('a seq that leaves one out, or is long past, is refused', () =>
      use(async (session) => {
        await session.commit(insertOf(1n));
        await session.commit(insertOf(2n));
        for (const seq of [1, 4, 100]) {
          const batch = { ...session.batch([insertOf(9n)]), seq };
          const result = await session.store.commit(batch).catch(() => ({ kind: 'unknown' }));
          assert.notEqual(result.kind, 'committed');
        }
        assert.equal(await session.read((store) => store.findById(9n)), null);
      }));

    test('whole values: the same mutations once more, as a batch of their own, change nothing', () =>
      use(async (session) => {
        await session.commit(insertOf(9n, { prefix: 'twice' }));
        const mutations: Mutation[] = [
          insertOf(1n, { chunksTotal: 5000 }),
          insertOf(2n),
          insertOf(
            3n,
            { prefix: null },
            { directInputs: [new Uint8Array([1]), null], idempotencyKey: 'key' },
          ),
          insertOf(4n, { prefix: 'twice' }),
          insertOf(5n, { chunksTotal: 0 }, { end: { state: 'completed', endedAtMs: 5 } }),
          page(1n, 0, [1, 2, 4095]),
          { kind: 'page', id: 2n, page: 0, content: 'full' },
          { kind: 'tries', id: 1n, chunkIndex: 3, tries: { retries: 2, disconnects: 1 } },
          { kind: 'direct_output', id: 3n, chunkIndex: 0, content: new Uint8Array([7]) },
          { kind: 'control', id: 1n, control: controlOf({ startAfterMs: 7 }) },
          { kind: 'scope_control', scope: 'images', control: NO_CONTROL },
          { kind: 'end', id: 2n, end: { state: 'completed', endedAtMs: 10 } },
        ];
        const snapshot = async () => ({
          loaded: (await session.loadAll()).map(plainLoaded),
          ended: await session.read((store) => store.ended({ queue: '', limit: 10 })),
          counts: await session.read((store) => store.countEnded('', 'completed')),
          outputs: await session.read((store) => store.directContents('output', [chunk(3n, 0)])),
          done: [...((await session.read((store) => store.chunksDone(2n))) ?? [])],
        });
        const results = await session.commit(...mutations);
        const before = await snapshot();
        assert.equal(before.loaded.length, 3);
        assert.deepEqual(await session.commit(...mutations), results);
        assert.deepEqual(await snapshot(), before);
      }));

    test('a store whose shard another one has taken writes nothing any more', async () => {
      const fixture = await options.fixture();
      try {
        await using session = await StoreSession.open(fixture);
        await session.commit(insertOf(1n));
        const stale = { ...session.batch([insertOf(2n)]), epoch: session.grant.epoch - 1 };
        assert.equal((await session.store.commit(stale)).kind, 'fenced');
        if (options.second === 'refused') {
          await assert.rejects(fixture.open(), { code: 'STORE_UNUSABLE' });
          await session.commit(insertOf(2n));
        } else {
          await using next = await StoreSession.open(fixture);
          await assert.rejects(session.commit(insertOf(2n)), { code: 'STORE_FENCED' });
          await next.commit(insertOf(3n));
        }
      } finally {
        await fixture.dispose();
      }
    });
  });

  describe(`${name}: inserts`, () => {
    test('every field comes back, extremes included', () =>
      use(async (session) => {
        const records = [
          submissionRecord({
            id: SUBMISSION_ID_MAX & ~(0x3ffn << 12n),
            queue: `0${'z._-'.repeat(15)}zz`,
            prefix: '0190a1b2-c3d4-7000-8000-000000000001',
            chunksTotal: 2 ** 32,
            chunkSizeOps: 2 ** 53 - 1,
            metadata: new Uint8Array([0, 255, 128]),
            strategicMetadata: new Map([
              ['10', (1n << 63n) - 1n],
              ['2', -(1n << 63n)],
              ['__proto__', 0n],
              ['schlüssel "🔑"\u0000', 2n ** 53n + 1n],
            ]),
            otelTraceCarrier: '{"traceparent":"00-ab-cd-01","baggage":"k=\\u00fc"}',
            retryDelayMs: 1500.5,
            retry: { triesMax: 3, delayMs: 0.5, factor: 1.5, delayMsMax: 7, jitter: 0.25 },
          }),
          submissionRecord({ id: 1n, prefix: null, metadata: new Uint8Array(0) }),
        ];
        for (const record of records) await session.commit({ kind: 'insert', record });
        await using next = await session.reopen();
        const loaded = await next.loadAll();
        assert.deepEqual(
          loaded.map(({ record }) => record),
          [...records].reverse(),
        );
        for (const record of records) {
          const found = await next.read((store) => store.findById(record.id));
          assert.deepEqual(found, { record, end: null, chunksDone: 0, control: NO_CONTROL });
          assert.deepEqual([...(found?.record.strategicMetadata ?? [])], [...record.strategicMetadata]);
        }
      }));

    test('what one submission of a batch has and the others lack stays with it', () =>
      use(async (session) => {
        const deadline = controlOf({ deadlineMs: 5 });
        const end: SubmissionEnd = { state: 'cancelled', endedAtMs: 4, chunksDone: 0, by: 'me', reason: 'r' };
        const full = insertOf(1n, { metadata: new Uint8Array([1]), otelTraceCarrier: '{"a":"b"}' });
        await session.commit(
          full,
          insertOf(2n),
          insertOf(3n, {}, { control: deadline }),
          insertOf(4n, {}, { end }),
          insertOf(5n),
          insertOf(6n),
        );
        await session.commit(completed(2n, 7), control(5n, { deadlineMs: 5 }), failed(6n, 8));
        await session.commit(control(1n, { deadlineMs: 5 }), completed(5n, 9));
        const found = await Promise.all(
          [1n, 2n, 3n, 4n, 5n, 6n].map((id) => session.read((store) => store.findById(id))),
        );
        assert.deepEqual(
          found.map((each) => [each?.end?.state ?? 'open', each?.control.deadlineMs]),
          [
            ['open', 5],
            ['completed', null],
            ['open', 5],
            ['cancelled', null],
            ['completed', 5],
            ['failed', null],
          ],
        );
        assert.deepEqual(found[0]?.record, full.record);
        assert.deepEqual(found[3]?.end, end);
      }));

    test('a prefix that exists is the result of that insert, not the failure of its batch', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { prefix: 'a' }), page(1n, 0, [0, 1]));
        const results = await session.commit(
          insertOf(2n, { prefix: 'b' }),
          insertOf(3n, { prefix: 'a', chunksTotal: 99 }),
          insertOf(4n, { prefix: 'b' }),
          insertOf(5n, { prefix: 'A' }),
        );
        assert.deepEqual(
          results.map((result) => (result.kind === 'exists' ? result.submission.record.id : result.kind)),
          ['inserted', 1n, 2n, 'inserted'],
        );
        assert(results[1]?.kind === 'exists');
        assert.equal(results[1].submission.chunksDone, 2);
        assert.equal(await session.read((store) => store.findById(3n)), null);
        assert.deepEqual(await session.read((store) => store.idsByPrefix(['a'])), [1n]);
        assert.deepEqual(await session.read((store) => store.idsByPrefix(['c'])), [null]);
      }));

    test('so is an idempotency key, in whatever state the first one is', () =>
      use(async (session) => {
        const end: SubmissionEnd = {
          state: 'cancelled',
          endedAtMs: 1,
          chunksDone: 0,
          by: null,
          reason: null,
        };
        await session.commit(insertOf(1n, { prefix: null }, { idempotencyKey: 'k' }), {
          kind: 'end',
          id: 1n,
          end,
        });
        const results = await session.commit(
          insertOf(2n, { prefix: null }, { idempotencyKey: 'k' }),
          insertOf(3n, { prefix: null }, { idempotencyKey: 'l' }),
          insertOf(4n, { prefix: null }),
        );
        assert.deepEqual(
          results.map((result) => (result.kind === 'exists' ? result.submission.end?.state : result.kind)),
          ['cancelled', 'inserted', 'inserted'],
        );
      }));

    test('ids are looked up by many prefixes at once, in the order asked for, in any state', () =>
      use(async (session) => {
        const count = 3000;
        const idOf = (number: number) => BigInt(number) + 10n;
        const numbers = Array.from({ length: count }, (_, i) => i);
        await session.commit(...numbers.map((number) => insertOf(idOf(number), { prefix: `p${number}` })));
        await session.commit(completed(idOf(1), 5), failed(idOf(2), 5), cancelled(idOf(3), 5));
        const asked = ['none', 'p3', 'p2', 'P2', 'p1', 'p0', 'p1', '', 'p2999'];
        assert.deepEqual(await session.read((store) => store.idsByPrefix(asked)), [
          null,
          idOf(3),
          idOf(2),
          null,
          idOf(1),
          idOf(0),
          idOf(1),
          null,
          idOf(2999),
        ]);
        assert.deepEqual(await session.read((store) => store.idsByPrefix([])), []);
        assert.deepEqual(
          await session.read((store) => store.idsByPrefix(numbers.map((number) => `p${number}`))),
          numbers.map(idOf),
        );
      }));

    test('a submission of zero chunks ends as it is inserted', () =>
      use(async (session) => {
        const end: SubmissionEnd = { state: 'completed', endedAtMs: 12.5 };
        await session.commit(insertOf(1n, { chunksTotal: 0 }, { end }));
        assert.deepEqual(await session.loadAll(), []);
        const found = await session.read((store) => store.findById(1n));
        assert.deepEqual(found, {
          record: submissionRecord({ id: 1n, chunksTotal: 0 }),
          end,
          chunksDone: 0,
          control: NO_CONTROL,
        });
        assert.equal(await session.read((store) => store.countEnded('', 'completed')), 1);
      }));

    test('inputs and outputs of direct submissions come back in the order asked for', () =>
      use(async (session) => {
        const big = new Uint8Array(100_000).fill(7);
        const directInputs = [new Uint8Array([1]), null, new Uint8Array(0), big];
        await session.commit(insertOf(1n, { prefix: null, chunksTotal: 4 }, { directInputs }), insertOf(2n));
        await session.commit(
          { kind: 'direct_output', id: 1n, chunkIndex: 3, content: big },
          { kind: 'direct_output', id: 1n, chunkIndex: 0, content: new Uint8Array(0) },
          { kind: 'direct_output', id: 1n, chunkIndex: 1, content: null },
        );
        await using next = await session.reopen();
        const ask = (part: 'input' | 'output', ...chunks: ReturnType<typeof chunk>[]) =>
          next.read((store) => store.directContents(part, chunks));
        assert.deepEqual(
          await ask(
            'input',
            chunk(1n, 3),
            chunk(1n, 0),
            chunk(1n, 1),
            chunk(1n, 2),
            chunk(2n, 0),
            chunk(8n, 0),
          ),
          [big, new Uint8Array([1]), null, new Uint8Array(0), null, null],
        );
        assert.deepEqual(
          await ask('output', chunk(1n, 0), chunk(1n, 1), chunk(1n, 2), chunk(1n, 3), chunk(1n, 3)),
          [new Uint8Array(0), null, null, big, big],
        );
      }));

    test('of many bodies only the first ones come back, up to what they may take together, but at least one', () =>
      use(async (session) => {
        const sizes = [10, 0, 30, 60, null, 1, 500];
        const directInputs = sizes.map((size) => (size === null ? null : new Uint8Array(size).fill(size)));
        await session.commit(insertOf(1n, { prefix: null, chunksTotal: sizes.length }, { directInputs }));
        await session.commit(...directInputs.map((input, i) => output(1n, i, ...(input ?? []))));
        const chunks = sizes.map((_, i) => chunk(1n, i));
        for (const part of ['input', 'output'] as const) {
          const asked = async (bytesMax?: number) =>
            (await session.read((store) => store.directContents(part, chunks, bytesMax))).length;
          for (const [bytesMax, count] of [
            [0, 1],
            [1, 1],
            [10, 1],
            [11, 3],
            [40, 3],
            [41, 4],
            [101, 6],
            [102, 7],
            [1_000, 7],
            [undefined, 7],
          ] as const) {
            assert.equal(await asked(bytesMax), count, `${part}s of ${bytesMax} bytes`);
          }
          assert.deepEqual(await session.read((store) => store.directContents(part, [], 5)), []);
        }
        await session.commit({
          kind: 'direct_output',
          id: 1n,
          chunkIndex: 2,
          content: new Uint8Array(ANSWER_BYTES_MAX),
        });
        const outputs = await session.read((store) => store.directContents('output', chunks));
        assert.equal(outputs.length, 3);
      }));

    test('what the caller does with its bytes afterwards changes nothing', () =>
      use(async (session) => {
        const content = new Uint8Array(512).fill(1);
        const output = new Uint8Array([1]);
        const input = new Uint8Array([2]);
        await session.commit(
          insertOf(1n, { prefix: null, chunksTotal: PAGE_CHUNKS }, { directInputs: [input] }),
          { kind: 'page', id: 1n, page: 0, content },
          { kind: 'direct_output', id: 1n, chunkIndex: 0, content: output },
        );
        content.fill(0);
        output.fill(9);
        input.fill(9);
        assert.deepEqual(await session.read((store) => store.directContents('input', [chunk(1n, 0)])), [
          new Uint8Array([2]),
        ]);
        assert.equal((await session.read((store) => store.chunksDone(1n)))?.count, 512);
        assert.deepEqual(await session.read((store) => store.directContents('output', [chunk(1n, 0)])), [
          new Uint8Array([1]),
        ]);
      }));

    test('close is idempotent, and a closed store refuses', () =>
      use(async ({ store, grant }) => {
        await Promise.all([store.close(), store.close()]);
        await store.close();
        await assert.rejects(store.findById(1n), { code: 'STORE_TRANSIENT' });
        const commit = store.commit({ shard: 0, epoch: grant.epoch, seq: 1, mutations: [] }).then(
          ({ kind }) => kind,
          () => 'rejected',
        );
        assert.notEqual(await commit, 'committed');
        assert.equal(store.lost.aborted, false);
      }));
  });

  storeControlConformance(context);
  storeProgressConformance(context, { seed, randomRuns });
  storeEndConformance(context);
  storeFailureConformance(context);
}
