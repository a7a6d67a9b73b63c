import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { encodeClientMessage } from '../../src/protocol/consumer/codec.ts';
import { InvariantError } from '../../src/scheduler/invariant.ts';
import { SharedBySessions } from '../../src/server/consumers/shared.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';

const HEART = 'f09f9293';

test('Init comes first, then a ping with a heart in it', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer(undefined, { heartbeatIntervalMs: 2_500, missableHeartbeatsMax: 7 });
  const [init, ping, ...rest] = consumer.connection.take();
  assert.ok(init?.kind === 'message' && init.message.kind === 'init');
  assert.deepEqual(
    { ...init.message },
    {
      kind: 'init',
      missableHeartbeatsMax: 7,
      heartbeatIntervalMs: 2_500,
      versionInfo: 'v0.0.0',
      connId: '01900000-0000-7000-8000-000000000000',
      features: [],
    },
  );
  assert.ok(!Buffer.from(init.bytes).includes('features'), 'an old client gets the recorded fields only');
  assert.deepEqual(ping, { kind: 'ping', payload: HEART });
  assert.deepEqual(rest, []);
});

test('a client that announces its features gets those of the server', async () => {
  const world = await QueueWorld.start();
  const [init] = world.consumer('bytes, dropped').connection.takeMessages();
  assert.ok(init?.kind === 'init');
  assert.deepEqual(init.features, [
    'release',
    'cancel_reserve',
    'fail_options',
    'bytes',
    'dropped',
    'extend',
    'strategies',
  ]);
  assert.equal(init.reservationExpirationMs, 600_000);
});

test('answers carry the nonce that was asked with, also one that is used twice', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 3);
  const { session, connection } = world.consumer();
  connection.take();
  for (const nonce of [5, 5, 2n ** 60n]) {
    session.message(encodeClientMessage({ kind: 'reserve', nonce, max: 1, strategy: Strategy.oldest() }));
  }
  assert.deepEqual(
    connection
      .takeMessages()
      .map((message) => message.kind === 'reserved' && [message.nonce, message.chunks[0]?.chunk.chunkIndex]),
    [
      [5, 0],
      [5, 1],
      [2n ** 60n, 2],
    ],
  );
});

test('max is clamped to a thousand chunks', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 5_000);
  const consumer = world.consumer();
  assert.equal(consumer.take(4_000).length, 1_000);
  assert.equal(consumer.take(Number.MAX_SAFE_INTEGER).length, 1_000);
});

test('max 0 is refused and the connection stays', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 1);
  const consumer = world.consumer();
  consumer.clear();
  const nonce = consumer.reserve(0);
  assert.deepEqual(consumer.connection.takeMessages(), [{ kind: 'reserve_refused', nonce, reason: null }]);
  assert.equal(consumer.take().length, 1);
  assert.equal(world.queue.stats.reservationsFailed, 1);
});

test('a strategy beyond the limits is refused, with the reason for a client that reads it, and the connection stays', async () => {
  const world = await QueueWorld.start();
  let deep = Strategy.oldest();
  for (let i = 0; i < 20; i++) deep = { kind: 'prefer_distinct', metaKey: `k${i}`, underlying: deep };
  for (const features of [undefined, 'refusal']) {
    const consumer = world.consumer(features);
    consumer.clear();
    consumer.reserve(1, deep);
    const [refused] = consumer.connection.takeMessages();
    assert.ok(refused?.kind === 'reserve_refused');
    if (features === undefined) assert.equal(refused.reason, null);
    else assert.match(refused.reason ?? '', /deeper than 16/);
    consumer.reserve();
    await world.settle();
    assert.ok(!consumer.connection.takeKinds().some((kind) => kind.startsWith('close')));
  }
  assert.ok(world.log.some(({ level, message }) => level === 'warn' && message.includes('refused')));
});

test("a strategy of an unknown name is refused with the reason, and the connection stays; an old client's is closed", async () => {
  const world = await QueueWorld.start();
  const name = Buffer.from('Oldest');
  for (const features of [undefined, 'refusal']) {
    const consumer = world.consumer(features);
    consumer.clear();
    const bytes = Buffer.from(
      encodeClientMessage({ kind: 'reserve', nonce: 3, max: 1, strategy: Strategy.oldest() }),
    );
    bytes.write('Coldly', bytes.indexOf(name));
    consumer.session.message(bytes);
    if (features === undefined) {
      const [closed] = consumer.connection.take();
      assert.ok(closed?.kind === 'close' && closed.code === 1007, JSON.stringify(closed));
      continue;
    }
    const [refused] = consumer.connection.takeMessages();
    assert.ok(refused?.kind === 'reserve_refused' && refused.nonce === 3);
    assert.match(refused.reason ?? '', /the strategy "Coldly" is not known/);
    consumer.reserve();
    assert.ok(!consumer.connection.takeKinds().some((kind) => kind.startsWith('close')));
  }
});

test('garbage closes the connection with a reason', async () => {
  const world = await QueueWorld.start();
  const samples = ['ff', '', '01', 'a1656e6f6e636500', 'a2656e6f6e63650068636f6e74656e7473644e6f7065'];
  for (const hex of samples) {
    const consumer = world.consumer();
    consumer.clear();
    consumer.session.message(Buffer.from(hex, 'hex'));
    const [closed, ...rest] = consumer.connection.take();
    assert.ok(
      closed?.kind === 'close' && closed.code === 1007 && closed.reason.length > 0,
      `${hex}: ${JSON.stringify(closed)}`,
    );
    assert.deepEqual(rest, []);
    consumer.reserve();
    assert.deepEqual(consumer.connection.take(), [], 'nothing is answered any more');
  }
  assert.equal(world.queue.counts.consumers, 0);
});

test('an unanswered message of an old client is followed by one empty pong at the end of the turn', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 3);
  const consumer = world.consumer();
  const chunks = consumer.take(3);
  await world.settle();
  consumer.clear();

  for (const { chunk } of chunks.slice(0, 2)) consumer.complete(chunk);
  assert.deepEqual(consumer.connection.take(), []);
  await world.settle();
  assert.deepEqual(consumer.connection.take(), [{ kind: 'pong', payload: '' }]);

  consumer.fail(chunks[2]!.chunk);
  await world.settle();
  assert.deepEqual(consumer.connection.takeKinds(), ['pong']);
});

test('a reservation that is held is followed by a pong, one that is answered is not', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer();
  await world.settle();
  consumer.clear();
  consumer.reserve();
  await world.settle();
  assert.deepEqual(consumer.connection.takeKinds(), ['pong']);
  await world.insert('a', 5);
  await world.settle();
  assert.deepEqual(consumer.connection.takeKinds(), ['reserved']);
  consumer.complete({ submissionId: 1n, chunkIndex: 0 });
  consumer.reserve();
  await world.settle();
  assert.deepEqual(consumer.connection.takeKinds(), ['reserved']);
});

test('a client of ours, which needs no pong, gets none', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer('bytes');
  await world.settle();
  consumer.clear();
  consumer.complete({ submissionId: 1n, chunkIndex: 0 });
  consumer.reserve();
  await world.settle();
  assert.deepEqual(consumer.connection.take(), []);
});

test('a client of ours that sends all the time and gets no answer hears a sign of life twice in a heartbeat', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer('bytes');
  await world.settle();
  consumer.clear();
  for (let i = 0; i < 20; i++) {
    await world.passes(1_000);
    consumer.complete({ submissionId: 1n, chunkIndex: 0 });
    await world.settle();
  }
  assert.deepEqual(consumer.connection.takeKinds(), ['pong', 'pong', 'pong', 'pong']);
});

test('a silent peer is pinged and then cut; what it held is free again', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 1);
  const consumer = world.consumer();
  consumer.take();
  consumer.clear();
  for (let i = 0; i < 3; i++) await world.passes(10_000);
  assert.deepEqual(
    consumer.connection.takeKinds().filter((kind) => kind !== 'pong'),
    ['ping', 'ping', 'ping'],
  );
  await world.passes(10_000);
  assert.deepEqual(consumer.connection.takeKinds(), ['terminate']);
  assert.equal(world.queue.counts.chunksReserved, 0);
  assert.equal(world.queue.counts.consumers, 0);
});

test('a peer that does not read what it is sent is cut', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 10);
  const consumer = world.consumer(undefined, { bufferedBytesMax: 1_000_000 });
  consumer.connection.bufferedBytes = 1_000_001;
  consumer.take();
  await world.settle();
  assert.ok(consumer.connection.takeKinds().includes('terminate'));
  assert.equal(world.queue.counts.chunksReserved, 0);
});

test('a peer that does not read is cut also when it says nothing itself', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer(undefined, { bufferedBytesMax: 1_000_000 });
  consumer.reserve();
  await world.settle();
  consumer.clear();
  consumer.connection.bufferedBytes = 1_000_001;
  await world.insert('a', 10);
  await world.settle();
  assert.deepEqual(consumer.connection.takeKinds(), ['reserved', 'terminate']);
});

test('more waiting reservations than allowed end the connection', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer(undefined, { reservationsWaitingMax: 3 });
  for (let i = 0; i < 4; i++) consumer.reserve();
  assert.ok(consumer.connection.takeKinds().includes('close 1008'));
  assert.equal(world.queue.counts.requestsWaiting, 0);
});

test('chunks that are given back are no try, and only their holder can give them back', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 2);
  const holder = world.consumer('release');
  const other = world.consumer('release');
  const chunks = holder.take(2).map(({ chunk }) => chunk);
  other.send({ kind: 'release', chunks });
  assert.equal(world.queue.counts.chunksReserved, 2);
  holder.send({ kind: 'release', chunks });
  assert.equal(world.queue.counts.chunksReserved, 0);
  assert.deepEqual(
    [...other.take(1), ...other.take(1)].map(({ retries }) => retries),
    [0, 0],
  );
});

test('a chunk whose consumer is still at it keeps its reservation, and one that takes far longer is named once a minute', async () => {
  const world = await QueueWorld.start({ reservationExpirationMs: 60_000 });
  await world.insert('a', 3);
  const consumer = world.consumer('bytes');
  const [quick, long] = consumer.take(3).map(({ chunk }) => chunk);
  assert.ok(quick && long);
  await world.passes(1_000);
  consumer.complete(quick);
  for (let minute = 0; minute < 4; minute += 0.5) {
    consumer.send({ kind: 'extend', chunks: [long, { ...long, chunkIndex: 99 }] });
    await world.passes(30_000);
  }
  consumer.send({ kind: 'extend', chunks: [long] });
  assert.equal(world.queue.counts.chunksReserved, 1, 'the third was not extended');
  const lines = world.log.filter(({ message }) => message === 'a chunk takes far longer than the others');
  assert.deepEqual(
    lines.map(({ fields }) => ({ ...fields })),
    [61_000, 121_000, 181_000, 241_000].map((tookMs) => ({
      submission: String(long.submissionId),
      chunk: long.chunkIndex,
      connId: '01900000-0000-7000-8000-000000000000',
      tookMs,
      usualMs: 1_000,
    })),
  );
  consumer.complete(long);
  assert.equal(world.queue.counts.chunksReserved, 0);
});

test('a waiting reservation can be taken back and is answered with nothing; an answered one cannot', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer('cancel_reserve');
  consumer.clear();
  const waiting = consumer.reserve();
  consumer.send({ kind: 'cancel_reserve', reserveNonce: waiting });
  assert.deepEqual(consumer.connection.takeMessages(), [{ kind: 'reserved', nonce: waiting, chunks: [] }]);
  await world.insert('a', 1);
  assert.deepEqual(consumer.takeChunks(), []);
  const answered = consumer.reserve();
  consumer.clear();
  consumer.send({ kind: 'cancel_reserve', reserveNonce: answered });
  assert.deepEqual(consumer.connection.takeMessages(), []);
});

test('a failure that must not be tried again fails the submission at once', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 2);
  const consumer = world.consumer();
  const [reserved] = consumer.take();
  consumer.send({ kind: 'fail', chunk: reserved!.chunk, failure: 'never', retryable: false });
  await world.settle();
  assert.equal(await world.stateOf(id), 'failed');
});

test('a client that wants to know hears that its chunk is not wanted any more; an old one hears nothing', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 3);
  const ours = world.consumer('dropped');
  const old = world.consumer();
  const [kept, taken] = ours.take(2);
  old.take();
  old.complete(taken!.chunk);
  assert.deepEqual(ours.connection.takeMessages(), [
    { kind: 'dropped', chunk: taken!.chunk, reason: 'completed_elsewhere' },
  ]);
  await world.queue.endings.cancel('', id);
  assert.deepEqual(ours.connection.takeMessages(), [
    { kind: 'dropped', chunk: kept!.chunk, reason: 'submission_ended' },
  ]);
  assert.deepEqual(old.connection.takeMessages(), []);
});

test('a completion counts once, from any consumer, and not for an unknown chunk', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 2);
  const consumer = world.consumer();
  const chunk = { submissionId: id, chunkIndex: 0 };
  consumer.complete(chunk);
  consumer.complete(chunk);
  consumer.complete({ submissionId: 1n, chunkIndex: 0 });
  consumer.complete({ submissionId: id, chunkIndex: 99 });
  consumer.fail({ submissionId: id, chunkIndex: 1 });
  assert.equal(world.queue.stats.chunksCompleted, 1);
  await world.passes(5);
  const status = await world.queue.reads.status('', id);
  assert.equal(status?.state === 'in_progress' && status.chunksDone, 1);
});

test('an expired chunk comes back to an old client only after its answer, which is not a second try', async () => {
  const world = await QueueWorld.start({ reservationExpirationMs: 1_000 });
  await world.insert('a', 1);
  const consumer = world.consumer();
  const [held] = consumer.take();
  await world.passes(1_000);
  assert.deepEqual(consumer.take(), []);
  consumer.fail(held!.chunk, 'Reservation expired');
  assert.deepEqual(
    consumer.takeChunks().map(({ retries }) => retries),
    [1],
  );
});

test('what the server sends of bytes is what the client reads: arrays, or byte strings where announced', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 2, { metadata: Uint8Array.of(9, 8, 7) });
  for (const [features, expected] of [
    [undefined, '83090807'],
    ['bytes', '43090807'],
  ] as const) {
    const consumer = world.consumer(features);
    consumer.clear();
    consumer.reserve();
    const [sent] = consumer.connection.take();
    assert.ok(sent?.kind === 'message');
    assert.ok(Buffer.from(sent.bytes).toString('hex').includes(expected));
  }
});

test('a schedule that contradicts itself ends the queue instead of losing work', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer();
  Object.defineProperty(world.queue.consumersOf(''), 'reserve', {
    value: () => {
      throw new InvariantError('a broken invariant');
    },
  });
  consumer.reserve();
  assert.equal(world.queue.lost.aborted, true);
  assert.match(String(world.queue.lost.reason), /a broken invariant/);
});

/** Its answers cannot be encoded. */
class BrokenEncoder extends SharedBySessions {
  override item(): never {
    throw new TypeError('made to fail');
  }
}

test('a session whose encoder throws is lost, and nothing else', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 1);
  const [holder, next] = [world.consumer(), world.consumer()];
  const broken = world.consumer(undefined, { shared: new BrokenEncoder(world.clock) });
  const [held] = holder.take();
  broken.reserve();
  next.reserve();
  for (const { connection } of [holder, broken, next]) connection.take();
  // The chunk goes to the broken one first, while a message of another one is handled.
  holder.fail(held!.chunk);
  assert.deepEqual(broken.connection.takeKinds(), ['terminate']);
  const [again] = next.takeChunks();
  assert.deepEqual(again?.chunk, { submissionId: id, chunkIndex: 0 });
  assert.deepEqual(holder.connection.takeKinds(), []);
  assert.equal(world.queue.counts.consumers, 2);
  assert.ok(
    world.log.some(({ level, message }) => level === 'error' && /consumer session failed/.test(message)),
  );
  next.complete(again.chunk);
  await world.settle();
  assert.equal(await world.stateOf(id), 'completed');
  assert.equal(world.queue.lost.aborted, false);
  world.queue.checkInvariants();
});

class BreakableEncoder extends SharedBySessions {
  isBroken = false;

  override item(...chunk: Parameters<SharedBySessions['item']>): ReturnType<SharedBySessions['item']> {
    if (this.isBroken) throw new TypeError('made to fail');
    return super.item(...chunk);
  }
}

test('a session that is lost by the first half of a message does not act on the second', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 2);
  const shared = new BreakableEncoder(world.clock);
  const consumer = world.consumer('bytes', { shared });
  const chunks = consumer.take(2).map(({ chunk }) => chunk);
  consumer.reserve();
  shared.isBroken = true;
  // The first one comes back to it at once, and cannot be encoded.
  consumer.send({ kind: 'release', chunks });
  assert.deepEqual(consumer.connection.takeKinds(), ['terminate']);
  assert.equal(world.queue.lost.aborted, false);
  assert.equal(world.queue.counts.consumers, 0);
  assert.equal(world.queue.counts.chunksReserved, 0);
  world.queue.checkInvariants();
});
