import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { SHARDS } from '../../src/model/shard.ts';
import type { ServerOptions } from '../../src/server/index.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { withParts } from '../../src/system/parts.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { freePort } from '../support/network/free-port.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { balanced, deafStore, nodeOf, ownerOf, queueAt } from '../support/queues/cluster.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { flakyLeases } from '../support/store/flaky-leases.ts';
import { eventually } from '../support/time/eventually.ts';
import { PausingClock } from '../support/time/pausing-clock.ts';

function sharing(database: MemoryDatabase, leaseMs = 60_000): ServerOptions {
  return { store: new MemoryStore({ database, clock: systemClock }), leaseMs };
}

const INSERT = { 'content-type': 'application/json' };
const insertBody = (prefix: string) =>
  `{"chunk_contents":{"SeeObjectStorage":{"prefix":"${prefix}","count":1}}}`;

test('a node passes producers and consumers on to the one that has their queue, as they are', async () => {
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  await using b = await TestServer.start(sharing(database));
  await balanced(a, b);
  const path = `/q/${await queueAt(a)}`;
  // One connection, several requests, one of them in pieces.
  const socket = await b.socket();
  const body = insertBody('in-pieces');
  socket.write(`POST ${path}/produ`);
  socket.write(
    `cer/submissions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
  );
  socket.write(body.slice(0, 10));
  socket.write(body.slice(10));
  const inserted = await socket.answer();
  assert.equal(inserted.status, 200);
  const id = inserted.body.toString();
  socket.send(`GET ${path}/producer/submissions/${id}`);
  assert.match((await socket.answer()).body.toString(), /InProgress/);
  const consumer = await b.consumer({}, path);
  const figures = (await b.get('/metrics')).body.toString();
  assert.match(figures, /^node_connections_passed_on 2$/m);
  const [chunk] = await consumer.reserved();
  assert.equal(String(chunk!.chunk.submissionId), id);
  consumer.complete(chunk!.chunk);
  await consumer.control('pong');
  assert.match((await a.get(`${path}/producer/submissions/${id}`)).body.toString(), /Completed/);
  // What is not a request gets the other node's answer or its own, but an answer.
  const odd = await b.socket();
  odd.write(`\r\n\r\nGET ${path}/ping HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  assert.equal((await odd.answer()).body.toString(), 'pong');
  const garbage = await b.socket();
  garbage.write('\x16\x03\x01 not HTTP\r\n\r\n');
  assert.equal((await garbage.answer()).status, 400);
});

test('what was passed on ends with the lease, and what comes then waits for the next node that has it', async () => {
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  await using b = await TestServer.start(sharing(database));
  await using c = await TestServer.start(sharing(database));
  await balanced(a, b, c);
  const path = `/q/${await queueAt(a)}`;
  const consumers = [await b.consumer({}, path), await c.consumer({}, path)];
  const idle = await c.socket();
  idle.send(`GET ${path}/ping`);
  await idle.answer();
  await a.server.stop();
  await Promise.all([...consumers.map((consumer) => consumer.ended()), idle.ended()]);
  // Never refused: the first of these came while no node had it.
  for (const node of [b, c]) {
    const { status } = await node.request(`POST ${path}/producer/submissions`, INSERT, insertBody('both'));
    assert.equal(status, 200);
  }
});

test('connections to a node that hangs are cut when its lease has moved', async () => {
  const database = new MemoryDatabase();
  const clock = new PausingClock(systemClock);
  const store = deafStore(database);
  await using a = await TestServer.start(withParts({ store, leaseMs: 400 }, { clock }));
  await using b = await TestServer.start(sharing(database, 400));
  await balanced(a, b);
  const queue = await queueAt(a);
  const consumer = await b.consumer({}, `/q/${queue}`);
  const idle = await b.socket();
  idle.send(`GET /q/${queue}/ping`);
  await idle.answer();
  clock.pause();
  store.isDeaf = true;
  await Promise.all([consumer.ended(), idle.ended()]);
  await eventually(async () => (await b.get(`/q/${queue}/ping`)).status === 200);
  await eventually(async () => (await nodeOf(b)).shards.length === SHARDS);
  store.isDeaf = false;
  clock.wake();
});

test('while no node has a queue its requests are answered with 503, and when to come again', async () => {
  const database = new MemoryDatabase();
  // Nobody answers where the leases say that their holder is.
  const ghost = new MemoryStore({ database, clock: systemClock });
  const claim = { holder: 'ghost', address: `127.0.0.1:${await freePort()}`, leaseMs: 60_000 };
  const free = Array.from({ length: SHARDS }, (_, shard) => ({ shard, epoch: 0 }));
  assert.equal((await ghost.leases!.take(free, claim)).length, SHARDS);
  const logger = recordingLogger();
  await using b = await TestServer.start({ ...sharing(database, 300), logger });
  const socket = await b.socket();
  socket.send('POST /producer/submissions', INSERT, insertBody('p'));
  const refused = await socket.answer();
  assert.equal(refused.status, 503);
  const text = JSON.parse(refused.body.toString()) as string;
  assert.match(text, /^no node is active at the moment: the one at \S+ has its lease and does not answer; /);
  assert.ok(text.includes(claim.address));
  const headers = new Map(refused.headers);
  assert.deepEqual([headers.get('retry-after'), headers.get('connection')], ['1', 'close']);
  await socket.ended();
  const [line] = logger.lines.filter(({ message }) => message.startsWith('cannot pass connections on'));
  assert.equal((line!.fields as { address?: string }).address, claim.address);
});

test('an address that leads to another node, or back to the same one, is noticed: nothing goes round in circles', async () => {
  const database = new MemoryDatabase();
  const port = await freePort();
  await using a = await TestServer.start({ ...sharing(database), advertise: `127.0.0.1:${port}` });
  const logger = recordingLogger();
  await using b = await TestServer.start({ ...sharing(database, 300), port, logger });
  await eventually(async () => (await nodeOf(b)).shards.length > 0);
  const queue = await queueAt(a);
  await eventually(async () => (await ownerOf(b, queue)) === port);
  const { status } = await b.get(`/q/${queue}/ping`);
  assert.equal(status, 503);
  // On a busy machine it may have come to another reason before.
  await eventually(() =>
    logger.lines.some(
      ({ message, fields }) =>
        message.startsWith('cannot pass connections on') &&
        /another node.* answers there: it needs another --advertise/.test(
          String((fields as { reason?: string }).reason),
        ),
    ),
  );
});

test('a node that has lost its leases answers itself until another one says that it still has some', async (t) => {
  const database = new MemoryDatabase();
  // Another node, of which nothing is real but what it says of itself.
  let shards = [0];
  const asked: string[] = [];
  const other = createServer(({ url = '' }, response) => {
    asked.push(url);
    response.end(url === '/node' ? JSON.stringify({ node: 'other', shards }) : 'from the other one');
  }).listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  const leasesOfOther = new MemoryStore({ database, clock: systemClock }).leases!;
  const claim = { holder: 'other', address, leaseMs: 60_000 };
  assert.equal((await leasesOfOther.take([{ shard: 0, epoch: 0 }], claim)).length, 1);
  const store = new MemoryStore({ database, clock: systemClock });
  let isCut = false;
  const leases = flakyLeases(store.leases!, () => isCut);
  await using node = await TestServer.start({ store: Object.assign(store, { leases }), leaseMs: 400 });
  await eventually(async () => (await nodeOf(node)).shards.length === SHARDS - 1);
  const asset = async () => {
    const socket = await node.socket();
    socket.send('GET /assets/page.js');
    const { body } = await socket.answer();
    socket.close();
    return body.toString();
  };
  await eventually(() => asked.includes('/node'));
  // Both are cut off, and lose their leases. What each has seen last is that the other one has some.
  shards = [];
  isCut = true;
  await eventually(async () => (await nodeOf(node)).role === 'standby');
  assert.match(await asset(), /no node is active at the moment/);
  assert.deepEqual(
    asked.filter((url) => url !== '/node'),
    [],
  );
  shards = [0];
  await eventually(async () => (await asset()) === 'from the other one');
});

test('a node that stops ends the consumers that it passed on in good order: their node takes none for broken', async () => {
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  const clock = new PausingClock(systemClock);
  await using b = await TestServer.start(withParts(sharing(database), { clock }));
  await balanced(a, b);
  const path = `/q/${await queueAt(a)}`;
  const { status } = await a.request(`POST ${path}/producer/submissions`, INSERT, insertBody('held'));
  assert.equal(status, 200);
  const consumer = await b.consumer({}, path);
  const [held] = await consumer.reserved();
  const next = await a.consumer({}, path);
  next.reserve();
  // It cuts those that take too long: on a busy machine this one might.
  clock.pause();
  await b.server.stop();
  assert.deepEqual(await consumer.ended(), { code: 1005, reason: '' });
  // What it held is free at once, and no try of it is counted.
  const [again] = (await next.next('reserved')).chunks;
  assert.deepEqual(again!.chunk, held!.chunk);
  const events = (await a.get(`${path}/api/v1/events`)).body.toString();
  assert.match(events, /as it should/);
  assert.doesNotMatch(events, /its connection broke/);
  const figures = (await a.get('/metrics')).body.toString();
  assert.doesNotMatch(figures, /^chunks_setbacks_total\{.*\} [1-9]/m);
});

test('a node that stops cuts what it passed on, and takes no more', async () => {
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  const clock = new PausingClock(systemClock);
  const settings = { ...sharing(database), port: await freePort() };
  await using b = await TestServer.start(withParts(settings, { clock }));
  await balanced(a, b);
  const consumer = await b.consumer({}, `/q/${await queueAt(a)}`);
  // One that has not asked for anything yet.
  const silent = await b.socket();
  // Its time stands still from here on: whatever waited for some of it would wait for ever.
  clock.pause();
  const stopped = b.server.stop();
  await Promise.all([consumer.ended(), silent.ended(), stopped]);
  await assert.rejects(HttpSocket.open(b.port), /ECONNREFUSED/);
});
