import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import {
  BILLS,
  IMAGES,
  pathOf,
  type ShardNode,
  shardNodes,
  stopNodes,
  UNNAMED,
} from '../support/queues/shard-nodes.ts';
import { eventually } from '../support/time/eventually.ts';

after(stopNodes);

test('each node passes on what is for a queue of another one, and answers for its own', async () => {
  const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = await shardNodes(
    [UNNAMED, IMAGES],
    [BILLS],
    [],
  );
  const ids = new Map<string, string>();
  for (const [queue, node] of [
    ['', b],
    ['images', c],
    ['bills', a],
  ] as const) {
    ids.set(queue, await node.insert(queue, `p${queue}`));
  }
  for (const [queue, id] of ids) {
    for (const node of [a, b, c]) {
      const { body } = await node.request(`GET ${pathOf(queue)}/producer/submissions/${id}`);
      assert.match(body.toString(), /InProgress/);
      assert.equal((await node.request(`GET ${pathOf(queue)}/ping`)).body.toString(), 'pong');
      const active = await node.request(`GET ${pathOf(queue)}/node/active`);
      assert.equal(active.status, node === (queue === 'bills' ? b : a) ? 200 : 503);
    }
  }
  // What is asked of no queue: whoever has one.
  for (const node of [a, b, c]) assert.equal((await node.request('GET /api/v1/overview')).status, 200);
  const consumer = await ConsumerPeer.connect(c.port, {}, '/q/bills');
  const [chunk] = await consumer.reserved();
  assert.equal(String(chunk!.chunk.submissionId), ids.get('bills'));
  consumer.complete(chunk!.chunk);
  await consumer.control('pong');
  const { body } = await a.request(`GET /q/bills/producer/submissions/${ids.get('bills')}`);
  assert.match(body.toString(), /Completed/);
  consumer.cut();
});

test('a node that has a queue tells its version while nobody has the unnamed one', async () => {
  const [node = assert.fail()] = await shardNodes([IMAGES]);
  for (const path of ['/version', '/producer/version']) {
    const { status, body } = await node.request(`GET ${path}`);
    assert.deepEqual([status, body.toString().startsWith('v')], [200, true]);
  }
});

test('while a shard is handed over, the connections of the others stay, and what comes for it waits', async () => {
  const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = await shardNodes(
    [UNNAMED, IMAGES, BILLS],
    [],
    [],
  );
  const consumers = await Promise.all(
    [
      [a, 'images'],
      [c, 'images'],
      [a, 'bills'],
      [c, 'bills'],
    ].map(([node, queue]) => ConsumerPeer.connect((node as ShardNode).port, {}, `/q/${queue as string}`)),
  );
  const id = await a.insert('images', 'p');
  const polls = await Promise.all([a, c].map(({ port }) => HttpSocket.open(port)));
  for (const poll of polls) poll.send(`GET /q/images/producer/submissions/${id}?wait_ms=60000`);
  const other = await HttpSocket.open(a.port);
  other.send(`GET /q/bills/producer/submissions/${await a.insert('bills', 'q')}?wait_ms=60000`);
  await eventually(async () => {
    const { body } = await a.request('GET /metrics');
    return /requests_pending\{.*\{submission_id\}"\} 3$/m.test(body.toString());
  });

  const given = a.give(IMAGES);
  c.passing.lookAt(IMAGES, null);
  const early = c.insert('images', 'early');
  for (const poll of polls) assert.match((await poll.answer()).body.toString(), /InProgress/);
  await given;
  await b.take(IMAGES);
  a.sees(IMAGES, b);
  c.sees(IMAGES, b);
  await early;
  await Promise.all([consumers[0]!.ended(), consumers[1]!.ended()]);
  assert.equal(await a.insert('images', 'p'), id, 'it is known to the new owner');
  // Those of the other shard have noticed nothing.
  for (const consumer of consumers.slice(2)) {
    const [chunk] = await consumer.reserved();
    consumer.complete(chunk!.chunk);
    await consumer.control('pong');
    await a.insert('bills', `more${consumers.indexOf(consumer)}`);
  }
  assert.match((await other.answer()).body.toString(), /Completed/);
  for (const consumer of consumers) consumer.cut();
});

test('a request on a connection that is there already goes to the node that has its shard by now', async () => {
  const [a = assert.fail(), b = assert.fail()] = await shardNodes([UNNAMED, IMAGES, BILLS], []);
  const socket = await HttpSocket.open(a.port);
  const ask = async (queue: string) => {
    socket.send(`GET ${pathOf(queue)}/producer/submissions/count`);
    return (await socket.answer()).status;
  };
  assert.deepEqual([await ask('images'), await ask('bills')], [200, 200]);
  await a.give(IMAGES);
  await b.take(IMAGES);
  assert.equal(await ask('bills'), 200);
  const moved = ask('images');
  a.sees(IMAGES, b);
  assert.deepEqual([await moved, await ask('images'), await ask('bills')], [200, 200, 200]);
  socket.close();
  const metrics = await a.request('GET /metrics');
  assert.match(metrics.body.toString(), /^submissions_total_count 0$/m);
});

test('a node that has all shards looks at no connection before it serves it', async () => {
  const [a = assert.fail()] = await shardNodes([UNNAMED, IMAGES, BILLS]);
  assert.equal(a.passing.connection, undefined);
  await a.give(IMAGES);
  assert.notEqual(a.passing.connection, undefined);
});
