import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHARDS } from '../../src/model/shard.ts';
import { VERSION } from '../../src/model/version.ts';
import type { NodesAnswer } from '../../src/protocol/api/nodes.ts';
import type { ServerOptions } from '../../src/server/index.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { withParts } from '../../src/system/parts.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { balanced, deafStore, nodeOf, ownerOf, queueAt } from '../support/queues/cluster.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { eventually } from '../support/time/eventually.ts';
import { PausingClock } from '../support/time/pausing-clock.ts';

const LEASE_MS = 400;

function sharing(database: MemoryDatabase): ServerOptions {
  return { store: new MemoryStore({ database, clock: systemClock }), leaseMs: LEASE_MS };
}

/** Until it has all shards. */
async function hasAll(server: TestServer): Promise<void> {
  await eventually(async () => (await nodeOf(server)).shards.length === SHARDS);
}

async function activeStatus(server: TestServer, queue = ''): Promise<string> {
  const { status, body } = await server.get(`${queue === '' ? '' : `/q/${queue}`}/node/active`);
  return `${status} ${body}`;
}

async function metricsOf(server: TestServer): Promise<Map<string, number>> {
  const text = (await server.get('/metrics')).body.toString();
  return new Map(
    [...text.matchAll(/^(\S+) (\S+)$/gm)].map(([, name, value]) => [name!, Number(value)] as const),
  );
}

test('each node says what it is, and which shards it has; a server that shares nothing has the only one', async () => {
  await using alone = await TestServer.start();
  const ofAlone = await nodeOf(alone);
  assert.deepEqual([ofAlone.role, ofAlone.shards, await activeStatus(alone)], ['active', [0], '200 active']);
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  await hasAll(a);
  await using b = await TestServer.start(sharing(database));
  await balanced(a, b);
  const [ofA, ofB] = [await nodeOf(a), await nodeOf(b)];
  assert.deepEqual([ofA.role, ofB.role], ['active', 'active']);
  assert.deepEqual(
    [...ofA.shards, ...ofB.shards].sort((x, y) => x - y),
    Array.from({ length: SHARDS }, (_, shard) => shard),
  );
  for (const [node, info, other] of [
    [a, ofA, b],
    [b, ofB, a],
  ] as const) {
    const queue = await queueAt(node);
    for (const asked of [node, other]) {
      const { holder } = await nodeOf(asked, queue);
      assert.deepEqual(holder, { node: info.node, address: `127.0.0.1:${node.port}` });
    }
    assert.deepEqual(
      [await activeStatus(node, queue), await activeStatus(other, queue)],
      ['200 active', '503 standby'],
    );
  }
  assert.equal((await b.get('/node/alive')).status, 200);
  const figures = [await metricsOf(alone), await metricsOf(a), await metricsOf(b)];
  assert.deepEqual(
    figures.map((each) => [
      each.get('node_active'),
      each.get('node_shards'),
      each.get('node_takeovers_total'),
    ]),
    [
      [1, 1, 1],
      [1, 32, 1],
      [1, 32, 1],
    ],
  );
  assert.ok(figures[1]!.get('node_lease_age_seconds')! < 1 && figures[1]!.has('submissions_total_count'));
  assert.ok(figures[1]!.get('node_epoch')! >= 1);
});

test('any node lists all of them: those that are there, that do not answer, and that are gone', async () => {
  const rows = async (server: TestServer) =>
    new Map(
      (JSON.parse((await server.get('/api/v1/nodes')).body.toString()) as NodesAnswer).items.map((row) => [
        row.address,
        row,
      ]),
    );
  await using alone = await TestServer.start();
  const [only = assert.fail()] = [...(await rows(alone)).values()];
  assert.deepEqual(
    [only.state, only.shards, only.ready, only.version, only.asked, only.address],
    ['active', 1, true, VERSION, true, `127.0.0.1:${alone.port}`],
  );
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  const b = await TestServer.start(sharing(database));
  await balanced(a, b);
  const [ofA, ofB] = [`127.0.0.1:${a.port}`, `127.0.0.1:${b.port}`];
  for (const asked of [a, b]) {
    const both = await rows(asked);
    assert.deepEqual([...both.keys()], [ofA, ofB].sort());
    for (const [address, row] of both) {
      const { state, shards, ready, reason, version } = row;
      assert.deepEqual([state, shards, ready, reason, version], ['active', 32, true, null, VERSION]);
      assert.equal(row.asked, address === `127.0.0.1:${asked.port}`);
    }
  }
  await b[Symbol.asyncDispose]();
  await eventually(async () => (await rows(a)).get(ofB)?.state === 'stopped');
  assert.match((await rows(a)).get(ofB)!.reason!, /in good order/);
  // One that is written down as present, and answers nobody.
  const ghost = { holder: 'ghost', address: '127.0.0.1:1', leaseMs: LEASE_MS };
  await new MemoryStore({ database, clock: systemClock }).leases!.look(ghost);
  await eventually(async () => (await rows(a)).get('127.0.0.1:1')?.state === 'unreachable');
  await eventually(async () => (await rows(a)).get('127.0.0.1:1')?.state === 'silent');
  const gone = (await rows(a)).get('127.0.0.1:1')!;
  assert.deepEqual([gone.ready, gone.version, gone.shards], [false, null, 0]);
  assert.match(gone.reason!, /no sign of life/);
});

test('a node is known to others by what it advertises', async () => {
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  await using b = await TestServer.start({ ...sharing(database), advertise: 'b.test:1234' });
  const shared = async () => (await nodeOf(b)).shards.length === SHARDS / 2;
  await eventually(shared);
  const queue = await queueAt(b);
  await eventually(async () => (await nodeOf(a, queue)).holder?.address === 'b.test:1234');
});

test('an orderly stop hands over at once', async () => {
  const database = new MemoryDatabase();
  const a = await TestServer.start({ ...sharing(database), leaseMs: 60_000 });
  await using b = await TestServer.start({ ...sharing(database), leaseMs: 60_000 });
  const id = await a.insert('p', 1);
  await a[Symbol.asyncDispose]();
  await hasAll(b);
  assert.match((await b.get(`/producer/submissions/${id}`)).body.toString(), /InProgress/);
  const figures = await metricsOf(b);
  assert.equal(figures.get('node_takeovers_total'), 1);
  assert.ok(figures.get('node_last_takeover_timestamp_seconds')! > 0);
});

/** What it reads to take a shard comes after that. */
function preparesAfter(store: MemoryStore, gate: () => Promise<void>): void {
  const prepare = store.prepare.bind(store);
  store.prepare = (shard) => {
    const preparation = prepare(shard);
    return {
      async *read() {
        await gate();
        yield* preparation.read();
      },
      changed: () => preparation.changed(),
    };
  };
}

/** Reading for another node's shards waits to be let through, once that is asked for. */
function gatedPreparing(store: MemoryStore) {
  const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const preparing = { isGated: false, asked: asked.promise, open: () => gate.resolve() };
  preparesAfter(store, async () => {
    if (!preparing.isGated) return;
    asked.resolve();
    await gate.promise;
  });
  return preparing;
}

test('a node that is to stop acts until another one has read what it needs', async () => {
  const database = new MemoryDatabase();
  const a = await TestServer.start({ ...sharing(database), leaseMs: 60_000 });
  const options = { ...sharing(database), leaseMs: 60_000 };
  const preparing = gatedPreparing(options.store as MemoryStore);
  await using b = await TestServer.start(options);
  await balanced(a, b);
  preparing.isGated = true;
  const queue = await queueAt(a);
  const stopped = a[Symbol.asyncDispose]();
  await preparing.asked;
  assert.equal(await activeStatus(a, queue), '200 active');
  preparing.open();
  await stopped;
  await hasAll(b);
});

test('a node that is to stop goes on passing to where shards are while others get ready', async () => {
  const database = new MemoryDatabase();
  const a = await TestServer.start(sharing(database));
  const options = sharing(database);
  const preparing = gatedPreparing(options.store as MemoryStore);
  await using b = await TestServer.start(options);
  const c = await TestServer.start(sharing(database));
  await balanced(a, b, c);
  preparing.isGated = true;
  const queue = await queueAt(c);
  const stopped = a[Symbol.asyncDispose]();
  await preparing.asked;
  preparing.isGated = false;
  await c[Symbol.asyncDispose]();
  await eventually(async () => (await ownerOf(b, queue)) === b.port);
  await eventually(async () => (await ownerOf(a, queue)) === b.port);
  assert.equal((await a.get(`/q/${queue}/producer/submissions/count`)).status, 200);
  preparing.open();
  await stopped;
});

test('a node whose lease has run out answers 503 before it has noticed, and closes its consumers when it does', async () => {
  const database = new MemoryDatabase();
  const clock = new PausingClock(systemClock);
  const store = deafStore(database);
  await using a = await TestServer.start(withParts({ store, leaseMs: LEASE_MS }, { clock }));
  await hasAll(a);
  const id = await a.insert('p', 1);
  const consumer = await a.consumer();
  const idle = await a.socket();
  idle.send('GET /ping');
  await idle.answer();
  // Its timers stand still, as after SIGSTOP and SIGCONT, while its sockets are read; nor does it hear of others.
  clock.pause();
  store.isDeaf = true;
  await using b = await TestServer.start(sharing(database));
  await hasAll(b);
  const looked = await a.get(`/producer/submissions/${id}`);
  assert.equal(looked.status, 503);
  assert.deepEqual(
    looked.headers.find(([name]) => name === 'retry-after'),
    ['retry-after', '1'],
  );
  store.isDeaf = false;
  clock.wake();
  await consumer.ended();
  await balanced(a, b);
  // It passes on, or has it again.
  assert.equal((await a.get('/ping')).body.toString(), 'pong');
  assert.match((await a.get(`/producer/submissions/${id}`)).body.toString(), /InProgress/);
});

test('a zombie hands out nothing: a reservation that reaches it after its lease is not answered', async () => {
  const database = new MemoryDatabase();
  const clock = new PausingClock(systemClock);
  const store = deafStore(database);
  await using a = await TestServer.start(withParts({ store, leaseMs: LEASE_MS }, { clock }));
  await hasAll(a);
  const consumer = await a.consumer();
  await a.insert('p', 1);
  // What it would hear of the others would let it take part.
  clock.pause();
  store.isDeaf = true;
  await using b = await TestServer.start(sharing(database));
  await hasAll(b);
  const held = consumer.reserved();
  const outcome = held.then(
    () => 'handed out',
    () => 'nothing',
  );
  await consumer.ended();
  assert.equal(await outcome, 'nothing');
  store.isDeaf = false;
  clock.wake();
});

test('a pause of the whole server is in force on every node, whichever is asked for it', async () => {
  const database = new MemoryDatabase();
  await using a = await TestServer.start(sharing(database));
  await using b = await TestServer.start(sharing(database));
  await balanced(a, b);
  const queues = [await queueAt(a), await queueAt(b)];
  const owner = (await ownerOf(a, '')) === a.port ? a : b;
  const answer = await owner.post('/api/v1/actions/pause', '{"server": true, "by": "ann@host"}');
  assert.equal(answer.status, 200, answer.body.toString());
  for (const [i, node] of [a, b].entries()) {
    await eventually(async () => (await metricsOf(node)).get('queues_paused_count') === 1);
    const consumer = await node.consumer({}, `/q/${queues[i]}`);
    const body = '{"chunk_contents":{"SeeObjectStorage":{"prefix":"p%","count":1}}}'.replace('%', String(i));
    assert.equal((await node.post(`/q/${queues[i]}/producer/submissions`, body)).status, 200);
    consumer.reserve();
    await consumer.control('pong');
    assert.ok(!consumer.inbox.some((each) => typeof each !== 'string' && each.kind === 'reserved'));
  }
});
