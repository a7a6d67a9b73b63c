import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServerOptions } from '../../src/server/index.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { withParts } from '../../src/system/parts.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { PausingClock } from '../support/time/pausing-clock.ts';

const LEASE_MS = 400;

function sharing(database: MemoryDatabase): ServerOptions {
  return { store: new MemoryStore({ database, clock: systemClock }), leaseMs: LEASE_MS };
}

async function nodeOf(server: TestServer): Promise<Record<string, unknown>> {
  const { status, body } = await server.get('/node');
  assert.equal(status, 200);
  return JSON.parse(body.toString()) as Record<string, unknown>;
}

/** Asks until it has that role, and knows of a holder if it is to. */
async function becomes(
  server: TestServer,
  role: string,
  hasHolder = false,
): Promise<Record<string, unknown>> {
  const endMs = performance.now() + 10_000;
  for (;;) {
    const node = await nodeOf(server);
    if (node.role === role && (!hasHolder || node.holder !== null)) return node;
    assert.ok(performance.now() < endMs, JSON.stringify(node));
  }
}

async function activeStatus(server: TestServer): Promise<string> {
  const { status, body } = await server.get('/node/active');
  return `${status} ${body}`;
}

async function metricsOf(server: TestServer): Promise<Map<string, number>> {
  const text = (await server.get('/metrics')).body.toString();
  return new Map(
    [...text.matchAll(/^(\S+) (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)] as const),
  );
}

test('each node says what it is, and who is active; a server that shares nothing is active', async () => {
  await using alone = await TestServer.start();
  assert.deepEqual([(await nodeOf(alone)).role, await activeStatus(alone)], ['active', '200 active']);
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  await using b = await TestServer.start({ ...sharing(database), advertise: 'b.test:1234' });
  const [ofA, ofB] = [await nodeOf(a), await nodeOf(b)];
  assert.deepEqual([ofA.role, ofB.role, ofA.epoch, ofB.epoch], ['active', 'standby', 1, 1]);
  assert.deepEqual(ofA.holder, { node: ofA.node, address: `127.0.0.1:${a.port}` });
  assert.deepEqual(ofB.holder, ofA.holder);
  assert.equal(ofB.address, 'b.test:1234');
  assert.deepEqual([await activeStatus(a), await activeStatus(b)], ['200 active', '503 standby']);
  assert.equal((await b.get('/node/alive')).status, 200);
  const [figuresA, figuresB] = [await metricsOf(a), await metricsOf(b)];
  assert.deepEqual([figuresA.get('node_active'), figuresB.get('node_active')], [1, 0]);
  assert.deepEqual([figuresA.get('node_shards'), figuresB.get('node_shards')], [1, 0]);
  assert.deepEqual([ofA.shards, ofB.shards], [[0], []]);
  assert.deepEqual([figuresA.get('node_takeovers_total'), figuresB.get('node_takeovers_total')], [1, 0]);
  assert.ok(figuresA.get('node_lease_age_seconds')! < 1 && figuresA.has('submissions_total_count'));
  assert.ok(!figuresB.has('submissions_total_count'));
});

test('an orderly stop hands over at once', async () => {
  const database = new MemoryDatabase();
  const a = await TestServer.start({ ...sharing(database), leaseMs: 60_000 });
  await using b = await TestServer.start({ ...sharing(database), leaseMs: 60_000 });
  const id = await a.insert('p', 1);
  await a[Symbol.asyncDispose]();
  await becomes(b, 'active');
  assert.match((await b.get(`/producer/submissions/${id}`)).body.toString(), /InProgress/);
  assert.equal((await metricsOf(b)).get('node_takeovers_total'), 1);
});

test('a node whose lease has run out answers 503 before it has noticed, and closes its consumers when it does', async () => {
  const database = new MemoryDatabase();
  const clock = new PausingClock(systemClock);
  const options = sharing(database);
  // Nor does it hear of others.
  Object.assign((options.store as MemoryStore).leases!, { onNews: () => () => {} });
  await using a = await TestServer.start(withParts(options, { clock }));
  const id = await a.insert('p', 1);
  const consumer = await a.consumer();
  const idle = await a.socket();
  idle.send('GET /ping');
  await idle.answer();
  // Its timers stand still, as after SIGSTOP and SIGCONT, while its sockets are read.
  clock.pause();
  await using b = await TestServer.start(sharing(database));
  await becomes(b, 'active');
  const looked = await a.get(`/producer/submissions/${id}`);
  assert.equal(looked.status, 503);
  assert.deepEqual(
    looked.headers.find(([name]) => name === 'retry-after'),
    ['retry-after', '1'],
  );
  // From then on it is a standby.
  assert.equal((await a.get('/ping')).body.toString(), 'pong');
  clock.wake();
  await consumer.ended();
  await idle.ended();
  assert.deepEqual((await becomes(a, 'standby', true)).holder, (await nodeOf(b)).holder);
});

test('a zombie hands out nothing: a reservation that reaches it after its lease is not answered', async () => {
  const database = new MemoryDatabase();
  const clock = new PausingClock(systemClock);
  await using a = await TestServer.start(withParts(sharing(database), { clock }));
  const consumer = await a.consumer();
  await a.insert('p', 1);
  clock.pause();
  await using b = await TestServer.start(sharing(database));
  await becomes(b, 'active');
  const held = consumer.reserved();
  const outcome = held.then(
    () => 'handed out',
    () => 'nothing',
  );
  await consumer.ended();
  assert.equal(await outcome, 'nothing');
  clock.wake();
});
