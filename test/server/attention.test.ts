import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import type { ConsumerAnswer, ConsumerGroup, ConsumerRow } from '../../src/protocol/api/consumers.ts';
import type { List } from '../../src/protocol/api/lists.ts';
import type { Attention, AttentionCode, History, Overview } from '../../src/protocol/api/overview.ts';
import type { ServerOptions } from '../../src/server/index.ts';
import type { ServerParts } from '../../src/server/settings.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { withParts } from '../../src/system/parts.ts';
import { seededRandom } from '../../src/system/random.ts';
import type { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { faultyStore, type StoreFault } from '../support/store/faulty-store.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

// What the overview of a real queue says that a person should look at, with a clock of the test: and that it does not say so
// any more once nothing is the matter.

/** A clock whose time of day can be set. */
class SettableClock extends ManualClock {
  setByMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.setByMs;
  }
}

async function start(options: ServerOptions = {}, parts: Partial<ServerParts> = {}) {
  const clock = new SettableClock();
  // Nobody answers a heartbeat while time leaps.
  const always = {
    heartbeatIntervalMs: 3_600_000,
    reservationExpirationMs: 86_400_000,
    chunkRetriesMax: 100,
  };
  const server = await TestServer.start(
    withParts({ ...always, ...options }, { clock, cpuMs: () => 0, ...parts }),
  );
  return { clock, server };
}

async function found(
  server: TestServer,
  clock: ManualClock,
  code: AttentionCode,
): Promise<Attention | undefined> {
  // What was computed before is old, on a busy machine as well.
  clock.advance(2_000);
  const answer = await server.get('/api/v1/overview');
  assert.equal(answer.status, 200, answer.body.toString());
  const { attention } = JSON.parse(answer.body.toString()) as Overview;
  return attention.find((each) => each.code === code);
}

async function read<Answer>(server: TestServer, path: string): Promise<Answer> {
  return JSON.parse((await server.get(`/api/v1/${path}`)).body.toString()) as Answer;
}

async function work(
  consumer: ConsumerPeer,
  clock: ManualClock,
  chunks: number,
  eachMs: number,
): Promise<void> {
  for (let i = 0; i < chunks; i++) {
    const [held] = await consumer.reserved();
    clock.advance(eachMs);
    consumer.complete(held!.chunk);
  }
}

/** It holds another one then; whatever it sent before was taken in. */
async function settled(consumer: ConsumerPeer): Promise<void> {
  await consumer.reserved();
}

test('a store that takes nothing is said, with its error and since when, until it does', async () => {
  let fault: StoreFault = 'none';
  const store = faultyStore(new MemoryStore(), (call) => (call === 'commit' ? fault : 'none'));
  const { clock, server } = await start({ store });
  await using _server = server;
  await server.insert('a', 2);
  const consumer = await server.consumer();
  const [held] = await consumer.reserved();
  assert.equal(await found(server, clock, 'store_unhealthy'), undefined);
  fault = 'full';
  consumer.complete(held!.chunk);
  while ((await found(server, clock, 'store_unhealthy')) === undefined);
  for (let i = 0; i < 10; i++) await found(server, clock, 'store_unhealthy');
  const unhealthy = await found(server, clock, 'store_unhealthy');
  assert.equal(unhealthy?.severity, 'critical');
  assert.match(unhealthy.text, /^the store has taken nothing for 2\d\u2009s: injected: no space$/);
  assert.equal((await found(server, clock, 'hand_out_held'))?.severity, 'critical');
  fault = 'none';
  while ((await found(server, clock, 'store_unhealthy')) !== undefined);
  assert.equal(await found(server, clock, 'hand_out_held'), undefined);
});

test('five minutes in which chunks were held and none was done are a stall, other minutes are not', async () => {
  const { clock, server } = await start();
  await using _server = server;
  const consumer = await server.consumer();
  // The server is up for an hour before there is work.
  for (let i = 0; i < 3_600; i++) clock.advance(1_000);
  await server.insert('a', 10);
  const [held] = await consumer.reserved();
  assert.equal(await found(server, clock, 'stalled'), undefined);
  for (let i = 0; i < 290; i++) clock.advance(1_000);
  assert.equal(await found(server, clock, 'stalled'), undefined);
  for (let i = 0; i < 15; i++) clock.advance(1_000);
  assert.deepEqual(await found(server, clock, 'stalled'), {
    code: 'stalled',
    severity: 'warning',
    count: 1,
    text: 'nothing was done for five minutes, and 1 chunk is in the hands of 1 consumer',
    link: 'consumers?queue=-&sort=oldest_held',
    submissions: [],
    metadata: {},
    example: null,
  });
  consumer.complete(held!.chunk);
  await settled(consumer);
  assert.equal(await found(server, clock, 'stalled'), undefined);
});

test('a chunk that is held far longer than others take is a straggler, until it is done', async () => {
  const { clock, server } = await start();
  await using _server = server;
  const id = await server.insert('a', 40);
  const [slow, quick] = [await server.consumer(), await server.consumer()];
  const [held] = await slow.reserved();
  await work(quick, clock, 30, 1_000);
  await settled(quick);
  const straggler = await found(server, clock, 'stragglers');
  assert.deepEqual([straggler?.severity, straggler?.count], ['warning', 1]);
  assert.equal(
    straggler?.text,
    `1 consumer holds a chunk far longer than others take, the longest for 32\u2009s, of submission ${id} (a)`,
  );
  slow.complete(held!.chunk);
  await settled(slow);
  assert.equal(await found(server, clock, 'stragglers'), undefined);
});

test('a consumer that is far slower than the others is named, until it is gone', async () => {
  const { clock, server } = await start();
  await using _server = server;
  await server.insert('a', 100);
  const consumers = [await server.consumer(), await server.consumer(), await server.consumer()];
  for (const [i, consumer] of consumers.entries()) {
    await work(consumer, clock, 6, i === 0 ? 10_000 : 1_000);
    await settled(consumer);
  }
  const slow = await found(server, clock, 'slow_consumers');
  assert.deepEqual([slow?.severity, slow?.count], ['warning', 1]);
  const { connId } = (consumers[0] as Awaited<ReturnType<TestServer['consumer']>>).init;
  assert.match(
    slow!.text,
    new RegExp(
      `^1 consumer is far slower than the others: a chunk takes 127\\.0\\.0\\.1 \\(${connId}\\) 10\u2009s, the others 1\\.0\u2009s$`,
    ),
  );
  // The list of consumers marks it, and their group counts it.
  const rows = await read<List<ConsumerRow>>(server, 'consumers');
  assert.deepEqual(
    rows.items.filter(({ slow }) => slow !== null).map(({ conn_id: id, slow }) => [id, slow]),
    [[connId, 10]],
  );
  assert.equal((await read<ConsumerAnswer>(server, `consumers/${connId}`)).slow, 10);
  const groups = await read<List<ConsumerGroup>>(server, 'consumers?group=strategy');
  assert.deepEqual(
    groups.items.map(({ consumers: count, slow }) => [count, slow]),
    [[3, 1]],
  );
  await consumers[0]!.close();
  assert.equal(await found(server, clock, 'slow_consumers'), undefined);
});

test('a submission that waits for nothing but what a slow consumer holds is named', async () => {
  const { clock, server } = await start();
  await using _server = server;
  const id = await server.insert('a', 30, { strategic_metadata: { customer: 42 } });
  const consumers = [await server.consumer(), await server.consumer(), await server.consumer()];
  for (const [i, consumer] of consumers.entries()) await work(consumer, clock, 6, i === 0 ? 10_000 : 1_000);
  const slow = async () => {
    const { text, submissions } = (await found(server, clock, 'slow_consumers'))!;
    return [text.split('; ')[1], submissions.map((each) => each.id)];
  };
  await settled(consumers[0]!);
  assert.deepEqual(await slow(), [undefined, []]);
  await work(consumers[1]!, clock, 11, 1_000);
  await consumers[1]!.control('pong');
  assert.deepEqual(await slow(), [
    `submission ${id} (customer 42, a) waits for its last chunks`,
    [String(id)],
  ]);
});

test('a consumer that becomes slow is found soon, however long it was not, and one that recovers is not named', async () => {
  const { clock, server } = await start();
  await using _server = server;
  await server.insert('a', 1_000);
  const consumers = [await server.consumer(), await server.consumer(), await server.consumer()];
  const works = async (chunks: number, eachMs: number) => {
    await work(consumers[0]!, clock, chunks, eachMs);
    await settled(consumers[0]!);
    return (await found(server, clock, 'slow_consumers')) !== undefined;
  };
  for (const consumer of consumers) await work(consumer, clock, 200, 100);
  assert.equal(await works(30, 1_000), true);
  assert.equal(await works(60, 100), false);
});

test('consumers whose chunks take now one second, now thirty, are not slow', async () => {
  const { clock, server } = await start();
  await using _server = server;
  await server.insert('a', 1_000);
  const random = seededRandom(3);
  for (let i = 0; i < 8; i++) {
    const consumer = await server.consumer();
    for (let done = 0; done < 50; done++)
      await work(consumer, clock, 1, random.next() < 0.6 ? 1_000 : 30_000);
    // Once, one takes very long.
    if (i === 0) await work(consumer, clock, 1, 5_000_000);
    await settled(consumer);
  }
  assert.equal(await found(server, clock, 'slow_consumers'), undefined);
});

test('consumers with other strategies may do other work: they are not compared', async () => {
  const { clock, server } = await start();
  await using _server = server;
  await server.insert('small', 50, { strategic_metadata: { kind: 1 } });
  await server.insert('large', 50, { strategic_metadata: { kind: 2 } });
  for (const kind of [1, 1, 1, 2, 2, 2]) {
    const consumer = await server.consumer();
    for (let i = 0; i < 6; i++) {
      const [held] = await consumer.reserved(1, Strategy.selectOnly('kind', [kind]));
      clock.advance(kind === 1 ? 100 : 10_000);
      consumer.complete(held!.chunk);
    }
    await settled(consumer);
  }
  assert.equal(await found(server, clock, 'slow_consumers'), undefined);
});

test('consumers of several versions are told, while they are connected', async () => {
  const { clock, server } = await start();
  await using _server = server;
  await server.consumer({ 'opsqueue-client': '1.2.3' });
  assert.equal(await found(server, clock, 'versions_mixed'), undefined);
  const other = await server.consumer({ 'opsqueue-client': '1.3.0' });
  const mixed = await found(server, clock, 'versions_mixed');
  assert.deepEqual([mixed?.severity, mixed?.count], ['info', 2]);
  assert.equal(mixed?.text, 'consumers of 2 versions are connected: opsqueue 1.2.3, opsqueue 1.3.0');
  await other.close();
  assert.equal(await found(server, clock, 'versions_mixed'), undefined);
});

test('a disk that fills up is said, the first who asks after hours included, until it is emptied', async () => {
  let freeBytes = 500;
  await using folder = await temporaryFolder();
  const { clock, server } = await start(
    { databaseFilename: join(folder.path, 'queue.db') },
    { diskSpace: async () => ({ freeBytes, totalBytes: 1_000 }) },
  );
  await using _server = server;
  assert.equal(await found(server, clock, 'disk_low'), undefined);
  clock.advance(3_600_000);
  freeBytes = 95;
  const low = await found(server, clock, 'disk_low');
  assert.deepEqual([low?.severity, low?.text], ['warning', '9.5\u2009% of the disk of the database is free']);
  clock.advance(10_000);
  freeBytes = 19;
  assert.equal((await found(server, clock, 'disk_low'))?.severity, 'critical');
  clock.advance(10_000);
  freeBytes = 500;
  assert.equal(await found(server, clock, 'disk_low'), undefined);
});

test('a clock that is set is told for an hour, with the direction', async () => {
  const { clock, server } = await start();
  await using _server = server;
  clock.setByMs = 400;
  assert.equal(await found(server, clock, 'clock_stepped'), undefined);
  clock.setByMs = -89_600;
  clock.advance(300_000);
  const stepped = await found(server, clock, 'clock_stepped');
  assert.equal(
    stepped?.text,
    'the clock of the machine was set back by 1\u2009min 30\u2009s, 5\u2009min 01\u2009s ago',
  );
  // What was sampled before is shown as the clock has it now.
  const history = JSON.parse((await server.get('/api/v1/history')).body.toString()) as History;
  assert.ok(Math.abs(history.at_ms.at(-1)! - clock.nowMs()) < 1_000);
  for (let i = 0; i < 3_300; i++) clock.advance(1_000);
  assert.equal(await found(server, clock, 'clock_stepped'), undefined);
  clock.setByMs = 0;
  assert.match(
    (await found(server, clock, 'clock_stepped'))?.text ?? '',
    /^the clock of the machine was set forward by 1\u2009min 29\u2009s, /,
  );
});

test('views that cost much are said to be throttled, until nobody looks at them any more', async () => {
  let [cpuMs, lookMs] = [0, 0];
  const { clock, server } = await start({}, { cpuMs: () => (cpuMs += lookMs) });
  await using _server = server;
  assert.equal(await found(server, clock, 'views_throttled'), undefined);
  lookMs = 60;
  for (let i = 0; i < 2; i++) {
    await server.get('/api/v1/submissions');
    clock.advance(6_000);
  }
  lookMs = 0;
  const throttled = await found(server, clock, 'views_throttled');
  assert.equal(throttled?.severity, 'info');
  assert.match(throttled.text, /^what is shown is computed every \d+(?:\.\d)?\u2009s only: /);
  for (let i = 0; i < 20; i++) await found(server, clock, 'views_throttled');
  assert.equal(await found(server, clock, 'views_throttled'), undefined);
});
