/** The transport alone, with a clock that the test moves and a link that it plays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkBodies } from '../../../src/consumer/content/bodies.ts';
import type { HeldChunk, Receipt, RunDemand, TransportEvent } from '../../../src/consumer/thread/protocol.ts';
import type { QueueLink } from '../../../src/consumer/transport/reservations.ts';
import { Transport } from '../../../src/consumer/transport/transport.ts';
import { Strategy } from '../../../src/model/strategy.ts';
import type { MessageToQueue } from '../../../src/net/websocket/link.ts';
import { BoundedStore } from '../../../src/objects/bounded-store.ts';
import type { ObjectStore } from '../../../src/objects/object-store.ts';
import type { ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { fakeChunk, fakeSubmission, initMessage } from '../../support/fakes/fake-queue.ts';
import { eventually } from '../../support/time/eventually.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

type Sent = MessageToQueue & { readonly nonce: number };

/** A store whose reads and writes wait until the test lets them through. */
class SlowStore {
  readonly reads = new Map<string, (bytes: Uint8Array) => void>();
  readonly writes = new Map<string, () => void>();
  readonly store: ObjectStore = {
    url: 'slow://',
    get: (key) => new Promise((resolve) => this.reads.set(key, resolve)),
    put: (key) => new Promise((resolve) => this.writes.set(key, resolve)),
    delete: () => Promise.resolve(),
    list: () => [] as never,
    listFolders: () => [] as never,
    close: () => Promise.resolve(),
  };
}

class Bench {
  readonly clock = new ManualClock();
  readonly sent: Sent[] = [];
  readonly events: TransportEvent[] = [];
  readonly slow = new SlowStore();
  readonly submission = fakeSubmission({ prefix: 'p' });
  readonly pulse = new Int32Array(1);
  readonly transport: Transport;
  #nonce = 0;
  isUp = true;

  constructor(features?: readonly string[]) {
    const init = initMessage(features === undefined ? {} : { features });
    const bench = this;
    const { clock } = this;
    const { store } = this.slow;
    const bounded = new BoundedStore({ store, options: {}, transferMsMax: 600_000, context: { clock } });
    const link: QueueLink = {
      get init() {
        return bench.isUp ? init : null;
      },
      send: (message) => {
        if (!this.isUp) return null;
        const nonce = this.#nonce++;
        this.sent.push({ ...message, nonce });
        return nonce;
      },
      reconnect: () => {},
    };
    this.transport = new Transport({
      link,
      bodies: new ChunkBodies(bounded, clock, 16),
      clock: this.clock,
      logger: silentLogger,
      emit: (event) => this.events.push(event),
      handleBase: 0,
      pulse: this.pulse,
    });
    this.transport.connected(init);
  }

  run(demand: Partial<RunDemand> = {}): void {
    this.transport.handle({
      kind: 'run',
      feed: 1,
      demand: {
        strategy: Strategy.oldest(),
        concurrency: 1,
        prefetch: 0,
        memoryBytesMax: 1_000_000,
        compression: null,
        callbackMsMax: Number.POSITIVE_INFINITY,
        ops: null,
        ...demand,
      },
    });
  }

  /** Answers the latest reservation. */
  answer(chunks: readonly ReservedChunkMessage[]): void {
    const reserve = this.reserves.at(-1);
    assert.ok(reserve);
    this.transport.message({ kind: 'reserved', nonce: reserve.nonce, chunks });
  }

  chunks(...indexes: number[]): ReservedChunkMessage[] {
    return indexes.map((index) => fakeChunk(this.submission, index));
  }

  get reserves(): Extract<Sent, { kind: 'reserve' }>[] {
    return this.sent.filter((message) => message.kind === 'reserve') as never;
  }

  get ready(): number[] {
    return this.#handedOver.map(({ chunk }) => chunk.chunkIndex);
  }

  get #handedOver(): HeldChunk[] {
    return this.events.flatMap((event) => (event.kind === 'ready' ? event.chunks : []));
  }

  held(index: number): HeldChunk {
    const held = this.#handedOver.find(({ chunk }) => chunk.chunkIndex === index);
    assert.ok(held);
    return held;
  }

  async downloaded(index: number, bytes = 10): Promise<void> {
    const key = `p/${index}-in.bin`;
    await eventually(() => this.slow.reads.has(key));
    this.slow.reads.get(key)?.(new Uint8Array(bytes));
    this.slow.reads.delete(key);
  }

  complete(index: number, computeMs: number | null, bytes = 10, receipt: Receipt | null = null): void {
    const { handle, chunk } = this.held(index);
    const body = new Uint8Array(bytes);
    const result = { handle, chunk, prefix: 'p', body, compression: null, computeMs, receipt };
    this.transport.handle({ kind: 'complete', result });
  }

  async uploaded(index: number): Promise<void> {
    const key = `p/${index}-out.bin`;
    await eventually(() => this.slow.writes.has(key));
    this.slow.writes.get(key)?.();
    this.slow.writes.delete(key);
  }
}

test('an empty answer is asked again after 500 ms', () => {
  const bench = new Bench();
  bench.run();
  bench.answer([]);
  assert.equal(bench.reserves.length, 1);
  bench.clock.advance(499);
  assert.equal(bench.reserves.length, 1);
  bench.clock.advance(1);
  assert.equal(bench.reserves.length, 2);

  bench.transport.handle({ kind: 'reserve', feed: 5, max: 3, strategy: Strategy.newest() });
  bench.answer([]);
  bench.clock.advance(500);
  assert.deepEqual(
    bench.reserves.map(({ max }) => max),
    [1, 1, 3, 3],
  );
});

test('while chunks are computed the next ones are reserved and downloaded, as many as `prefetch` says', async () => {
  const bench = new Bench();
  bench.run({ concurrency: 2, prefetch: 3 });
  assert.equal(bench.reserves[0]?.max, 5);
  bench.answer(bench.chunks(0, 1, 2, 3, 4));
  assert.equal(bench.reserves.length, 1, 'it has what it wants');
  for (const index of [0, 1, 2, 3, 4]) await bench.downloaded(index);
  await eventually(() => bench.ready.length === 5);
  bench.complete(0, 10);
  assert.equal(bench.reserves.length, 1, 'few large reservations rather than many small ones');
  bench.complete(1, 10);
  assert.equal(bench.reserves[1]?.max, 2, 'while the results are on their way');
});

test("`prefetch: 'auto'` follows the pace of the callback", async () => {
  const cases: [number, number][] = [
    [1, 64],
    [50, 2],
    [1_000, 1],
    [10_000, 0],
  ];
  for (const [computeMs, ahead] of cases) {
    const bench = new Bench();
    bench.run({ prefetch: 'auto' });
    assert.equal(bench.reserves[0]?.max, 1, 'nothing ahead before anything is known');
    bench.answer(bench.chunks(0));
    await bench.downloaded(0);
    await eventually(() => bench.ready.length === 1);
    bench.complete(0, computeMs);
    assert.equal(bench.reserves[1]?.max, 1 + ahead);
  }
});

test('chunks are handed over in the order of their reservation', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 2 });
  bench.answer(bench.chunks(0, 1, 2));
  await bench.downloaded(2);
  await bench.downloaded(1);
  await new Promise(setImmediate);
  assert.deepEqual(bench.ready, []);
  await bench.downloaded(0);
  await eventually(() => bench.ready.length === 3);
  assert.deepEqual(bench.ready, [0, 1, 2]);
});

test('a download that takes longer than a second holds up no others', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 2 });
  bench.answer(bench.chunks(0, 1, 2));
  await bench.downloaded(1);
  await new Promise(setImmediate);
  bench.clock.advance(999);
  assert.deepEqual(bench.ready, []);
  bench.clock.advance(1);
  assert.deepEqual(bench.ready, [1]);
  await bench.downloaded(2);
  await eventually(() => bench.ready.length === 2);
  await bench.downloaded(0);
  await eventually(() => bench.ready.length === 3);
});

test('no more is downloaded than `memoryBytesMax` allows, and one chunk always may', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 9, memoryBytesMax: 1_000 });
  bench.answer(bench.chunks(0));
  await bench.downloaded(0, 400);
  await eventually(() => bench.ready.length === 1);
  bench.answer(bench.chunks(1, 2, 3));
  await bench.downloaded(1, 400);
  await eventually(() => bench.ready.length === 2);
  assert.equal(bench.slow.reads.size, 0, 'two of 400 are held, a third does not fit');
  bench.complete(0, 1, 0);
  await bench.uploaded(0);
  await bench.downloaded(2, 5_000);
  await eventually(() => bench.ready.length === 3);
  bench.complete(1, 1, 0);
  bench.complete(2, 1, 0);
  await bench.downloaded(3, 5_000);
  await eventually(() => bench.ready.length === 4);
});

test('results that pile up before their upload hold up further reservations', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 0 });
  for (let index = 0; index < 64; index++) {
    bench.answer(bench.chunks(index));
    await bench.downloaded(index);
    await eventually(() => bench.ready.length === index + 1);
    bench.complete(index, 1);
  }
  assert.equal(bench.reserves.length, 64);
  await bench.uploaded(0);
  await eventually(() => bench.reserves.length === 65);
});

test('a broken connection gives up transfers and forgets; nothing is left behind', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 2 });
  bench.answer(bench.chunks(0, 1, 2));
  await bench.downloaded(0);
  await eventually(() => bench.ready.length === 1);
  assert.deepEqual(bench.transport.counts, { held: 3, waiting: 0, timers: 2 });
  bench.isUp = false;
  bench.transport.disconnected('cut');
  assert.equal(bench.transport.counts.held, 1, 'the one that may be running');
  bench.complete(0, 1);
  await bench.uploaded(0);
  await eventually(() => bench.transport.counts.held === 0);
  bench.isUp = true;
  bench.transport.connected(initMessage());
  assert.deepEqual(
    bench.sent.slice(-2).map(({ kind }) => kind),
    ['complete', 'reserve'],
  );
  bench.transport.close();
  assert.deepEqual(bench.transport.counts, { held: 0, waiting: 0, timers: 0 });
});

test('a failure of a chunk whose connection broke is not told: only the holder may fail it', async () => {
  const bench = new Bench();
  bench.run();
  bench.answer(bench.chunks(0));
  await bench.downloaded(0);
  await eventually(() => bench.ready.length === 1);
  bench.transport.disconnected('cut');
  bench.transport.connected(initMessage());
  const { handle, chunk } = bench.held(0);
  const failure = { handle, chunk, failure: 'x', retryable: true, delayMs: 0, receipt: null };
  bench.transport.handle({ kind: 'fail', failure });
  assert.ok(!bench.sent.some(({ kind }) => kind === 'fail'));
});

test('what waits behind a callback that takes very long is given back, and nothing is reserved ahead until it returns', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 2 });
  bench.answer(bench.chunks(0, 1, 2));
  for (const index of [0, 1, 2]) await bench.downloaded(index);
  await eventually(() => bench.ready.length === 3);
  bench.clock.advance(29_999);
  assert.equal(bench.sent.filter(({ kind }) => kind === 'release').length, 0);
  bench.clock.advance(1);
  const release = bench.sent.find((message) => message.kind === 'release');
  assert.deepEqual(release?.kind === 'release' && release.chunks.map(({ chunkIndex }) => chunkIndex), [1, 2]);
  assert.equal(
    bench.events.filter((event) => event.kind === 'lost' && event.reason === 'given_back').length,
    2,
  );
  assert.equal(bench.reserves.length, 1);
  bench.complete(0, 40_000);
  assert.equal(bench.reserves[1]?.max, 3);
});

test('a chunk behind quick callbacks is not given back, however long the run lasts', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 1 });
  bench.answer(bench.chunks(0, 1));
  await bench.downloaded(0);
  await bench.downloaded(1);
  for (let index = 0; index < 10; index++) {
    await eventually(() => bench.ready.includes(index));
    bench.clock.advance(10_000);
    bench.complete(index, 10_000);
    bench.answer(bench.chunks(index + 2));
    await bench.uploaded(index);
    await bench.downloaded(index + 2);
  }
  assert.equal(bench.sent.filter(({ kind }) => kind === 'release').length, 0);
});

test('chunks still in progress are extended well before they expire, until they are done or the time limit is over', async () => {
  const bench = new Bench();
  bench.transport.connected({ ...initMessage(), reservationExpirationMs: 30_000 });
  bench.run({ concurrency: 2, callbackMsMax: 45_000 });
  const extended = () =>
    bench.sent
      .splice(0)
      .flatMap((message) => (message.kind === 'extend' ? [message.chunks] : []))
      .flat();
  bench.answer(bench.chunks(0, 1));
  for (const index of [0, 1]) await bench.downloaded(index);
  await eventually(() => bench.ready.length === 2);
  bench.clock.advance(10_000);
  assert.deepEqual(
    extended().map(({ chunkIndex }) => chunkIndex),
    [0, 1],
  );
  bench.complete(0, 10_000);
  await bench.uploaded(0);
  await eventually(() => bench.sent.some(({ kind }) => kind === 'complete'));
  bench.clock.advance(30_000);
  assert.deepEqual(
    extended().map(({ chunkIndex }) => chunkIndex),
    [1, 1, 1],
  );
  bench.clock.advance(60_000);
  assert.equal(extended().length, 1, 'beyond its limit it is left to expire');
});

test('a chunk that comes back after a broken connection, while it is worked on, is extended again', async () => {
  const bench = new Bench();
  const init = { ...initMessage(), reservationExpirationMs: 30_000 };
  bench.transport.connected(init);
  bench.run();
  bench.answer(bench.chunks(0));
  await bench.downloaded(0);
  await eventually(() => bench.ready.length === 1);
  bench.transport.disconnected('cut');
  bench.clock.advance(10_000);
  bench.transport.connected(init);
  bench.transport.handle({ kind: 'reserve', feed: 5, max: 1, strategy: Strategy.oldest() });
  bench.answer(bench.chunks(0));
  bench.clock.advance(10_000);
  assert.ok(bench.sent.some(({ kind }) => kind === 'extend'));
});

test('a chunk stays extended beyond the limit of one call while the calling thread is not stuck in one', async () => {
  const bench = new Bench();
  bench.transport.connected({ ...initMessage(), reservationExpirationMs: 30_000 });
  bench.run({ callbackMsMax: 45_000 });
  bench.answer(bench.chunks(0));
  await bench.downloaded(0);
  await eventually(() => bench.ready.length === 1);
  for (let round = 0; round < 20; round++) {
    bench.clock.advance(10_000);
    const isAsked = bench.events.splice(0).some(({ kind }) => kind === 'pulse');
    if (isAsked) bench.pulse[0]!++;
  }
  assert.equal(bench.sent.filter(({ kind }) => kind === 'extend').length, 20);
});

test('where operations are counted, as many chunks are reserved as these need, and the overlap', () => {
  const bench = new Bench();
  bench.transport.connected(initMessage());
  bench.run({ concurrency: 101, ops: { atOnce: 100, overlap: 1 } });
  assert.deepEqual(
    bench.reserves.map(({ max }) => max),
    [2],
    'nothing is known of the size of chunks',
  );
  const small = fakeSubmission({ prefix: 'small', chunkSizeOps: 10 });
  bench.answer([fakeChunk(small, 0)]);
  assert.equal(bench.reserves.at(-1)?.max, 10);
  const large = fakeSubmission({ prefix: 'large', chunkSizeOps: 1_000 });
  bench.answer([fakeChunk(large, 0)]);
  assert.equal(bench.reserves.length, 2, 'two chunks keep it busy');
});

test('a queue that did not announce it is not told that chunks are still worked on', async () => {
  const bench = new Bench();
  bench.transport.connected({ ...initMessage({ features: ['release'] }), reservationExpirationMs: 30_000 });
  bench.run();
  bench.answer(bench.chunks(0));
  await bench.downloaded(0);
  bench.clock.advance(60_000);
  assert.ok(!bench.sent.some(({ kind }) => kind === 'extend'));
});

test('what was reserved for a quick callback is given back but for twice the concurrency, when the callback becomes slow', async () => {
  const bench = new Bench();
  bench.run({ prefetch: 'auto' });
  bench.answer(bench.chunks(0));
  await bench.downloaded(0);
  await eventually(() => bench.ready.includes(0));
  bench.complete(0, 1);
  await bench.uploaded(0);
  await eventually(() => bench.reserves.length === 2);
  assert.equal(bench.reserves[1]?.max, 65);
  bench.answer(bench.chunks(...Array.from({ length: 15 }, (_, i) => i + 1)));
  for (let index = 1; index <= 15; index++) await bench.downloaded(index);
  await eventually(() => bench.ready.length === 16);
  const given = () =>
    bench.sent.flatMap((message) =>
      (message.kind === 'release' ? message.chunks : []).map(({ chunkIndex }) => chunkIndex),
    );
  bench.clock.advance(999);
  assert.deepEqual(given(), []);
  bench.clock.advance(1);
  assert.deepEqual(
    given(),
    Array.from({ length: 13 }, (_, i) => i + 3),
  );
  const asked = bench.reserves.length;
  bench.complete(1, 1_000);
  assert.ok(
    bench.reserves.slice(asked).every(({ max }) => max <= 2),
    'no more than that is reserved again',
  );
});

test('a failure by hand waits for a connection with its verdict, and only that is answered', () => {
  const bench = new Bench();
  bench.isUp = false;
  bench.transport.disconnected('cut');
  const chunk = { submissionId: 42n, chunkIndex: 0 };
  const failure = { handle: null, chunk, failure: 'x', retryable: false, delayMs: 7 };
  bench.transport.handle({ kind: 'fail', failure: { ...failure, receipt: { id: 9, when: 'sent' } } });
  const settled = () => bench.events.filter(({ kind }) => kind === 'settled');
  assert.deepEqual(settled(), []);
  bench.isUp = true;
  bench.transport.connected(initMessage());
  assert.deepEqual(settled(), [{ kind: 'settled', receipt: 9, error: null, upload: null }]);
  const { failure: text, retryable, delayMs } = bench.sent.find(({ kind }) => kind === 'fail') as never;
  assert.deepEqual([text, retryable, delayMs], ['x', false, 7]);
});

test('a result is answered only where a receipt is asked for', async () => {
  const bench = new Bench();
  bench.run();
  for (const index of [0, 1]) {
    bench.answer(bench.chunks(index));
    await bench.downloaded(index);
    await eventually(() => bench.ready.includes(index));
    bench.complete(index, 1, 10, index === 0 ? null : { id: 5, when: 'uploaded' });
    await bench.uploaded(index);
    await eventually(() => bench.sent.filter(({ kind }) => kind === 'complete').length === index + 1);
  }
  const settled = bench.events.flatMap((event) => (event.kind === 'settled' ? [event] : []));
  assert.deepEqual(
    settled.map(({ receipt, error, upload }) => [receipt, error, upload !== null]),
    [[5, null, true]],
  );
});
