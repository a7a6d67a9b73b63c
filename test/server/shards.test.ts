import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ShardId } from '../../src/model/ids.ts';
import { HttpServer } from '../../src/net/http/server.ts';
import { Admission } from '../../src/server/http/admission.ts';
import { respondElsewhere } from '../../src/server/http/unavailable.ts';
import { QueueOffice, type ShardOffice } from '../../src/server/office.ts';
import { Passing } from '../../src/server/passing.ts';
import { checkedSettings } from '../../src/server/settings.ts';
import { whoseIs } from '../../src/server/whose.ts';
import { unlimitedTenure } from '../../src/store/lease.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { HttpSocket, type RawAnswer } from '../support/peers/http-socket.ts';
import { eventually } from '../support/time/eventually.ts';

/** Of the unnamed queue: 0. */
const SHARDS: Readonly<Record<string, ShardId>> = { images: 1, bills: 2 };
const shardOf = (queue: string) => SHARDS[queue] ?? 0;
const HOLD_MS = 5_000;

/** What a process has that takes shards when a test says so. */
class Node {
  readonly passing = new Passing({
    clock: systemClock,
    logger: silentLogger,
    holdMs: HOLD_MS,
    shardsTotal: 3,
    whoseIs: (target) => whoseIs(target, '', shardOf),
  });
  readonly office: QueueOffice;
  readonly #name: string;
  readonly #store: MemoryStore;
  readonly #http: HttpServer;
  readonly #shards = new Map<ShardId, ShardOffice>();

  constructor(name: string, database: MemoryDatabase) {
    const settings = checkedSettings({ hosts: ['127.0.0.1'], port: 0, logger: silentLogger });
    this.#name = name;
    this.#store = new MemoryStore({ database });
    this.#http = new HttpServer(settings, { request() {}, isUpgrade: () => false, upgrade() {} });
    const { basePath, hostNames } = settings;
    this.office = new QueueOffice({
      settings,
      http: this.#http,
      store: this.#store,
      admission: new Admission({ loopbackOnly: true, hostNames, queues: null, basePath, hasPage: false }),
      queues: null,
      shardOf,
      node: this.#face(),
      passing: this.passing,
      elsewhere: (exchange, queue) => respondElsewhere(exchange, `${queue} is elsewhere`),
    });
    this.#http.handOver(this.office.handler);
  }

  static async start(name: string, database: MemoryDatabase, shards: readonly ShardId[]): Promise<Node> {
    const node = new Node(name, database);
    await node.#http.listen();
    for (const shard of shards) await node.take(shard);
    running.push(node);
    return node;
  }

  get port(): number {
    return this.#http.addresses[0]!.port;
  }

  async take(shard: ShardId): Promise<void> {
    const [grant = assert.fail()] = await this.#store.acquire([shard], this.#name);
    this.#shards.set(shard, await this.office.open(unlimitedTenure(grant)));
    this.passing.lookAt(shard, 'here');
  }

  async give(shard: ShardId): Promise<void> {
    const office = this.#shards.get(shard)!;
    this.#shards.delete(shard);
    this.passing.lookAt(shard, null);
    await office.stop();
  }

  /** This node knows that the other one has it. */
  sees(shard: ShardId, { name, port }: { readonly name: string; readonly port: number }): void {
    this.passing.lookAt(shard, { node: name, address: `127.0.0.1:${port}` });
  }

  get name(): string {
    return this.#name;
  }

  async request(line: string, body?: string): Promise<RawAnswer> {
    const socket = await HttpSocket.open(this.port);
    socket.send(line, body === undefined ? {} : { 'content-type': 'application/json' }, body);
    const answer = await socket.answer();
    socket.close();
    return answer;
  }

  async insert(queue: string, prefix: string): Promise<string> {
    const { status, body } = await this.request(`POST ${pathOf(queue)}/producer/submissions`, bodyOf(prefix));
    assert.equal(status, 200, body.toString());
    return body.toString();
  }

  async stop(): Promise<void> {
    const closed = this.#http.stop(600);
    this.passing.stop();
    for (const shard of [...this.#shards.keys()]) await this.give(shard);
    this.office.cut();
    await Promise.all([closed, this.office.stop()]);
  }

  #face() {
    const shards = this.#shards;
    const info = () => ({
      node: this.#name,
      role: 'active' as const,
      sinceMs: 0,
      shards: [...shards.keys()],
      epoch: null,
      holder: null,
      address: `127.0.0.1:${this.port}`,
      reason: null,
      version: '0.0.0',
    });
    return {
      infoFor: info,
      isOpen: (queue: string) => shards.has(shardOf(queue)),
      clock: systemClock,
      logStats: undefined,
      role: 'active' as const,
      epoch: null,
      shardsOpen: 0,
      takeovers: 0,
      lastTakeoverMs: null,
      leaseAgeMs: null,
      connectionsPassedOn: 0,
      connectionsRejected: {},
    };
  }
}

const running: Node[] = [];
after(() => Promise.all(running.map((node) => node.stop())));

async function nodes(...shards: (readonly ShardId[])[]): Promise<readonly Node[]> {
  const database = new MemoryDatabase();
  const all = await Promise.all(shards.map((each, i) => Node.start('abc'[i]!, database, each)));
  for (const node of all) {
    for (const [i, other] of all.entries()) {
      if (other !== node) for (const shard of shards[i]!) node.sees(shard, other);
    }
  }
  return all;
}

const pathOf = (queue: string) => (queue === '' ? '' : `/q/${queue}`);
const bodyOf = (prefix: string) =>
  JSON.stringify({ chunk_contents: { SeeObjectStorage: { prefix, count: 1 } } });

test('each node passes on what is for a queue of another one, and answers for its own', async () => {
  const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = await nodes([0, 1], [2], []);
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

test('while a shard is handed over, the connections of the others stay, and what comes for it waits', async () => {
  const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = await nodes([0, 1, 2], [], []);
  const consumers = await Promise.all(
    [
      [a, 'images'],
      [c, 'images'],
      [a, 'bills'],
      [c, 'bills'],
    ].map(([node, queue]) => ConsumerPeer.connect((node as Node).port, {}, `/q/${queue as string}`)),
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

  const given = a.give(1);
  c.passing.lookAt(1, null);
  const early = c.insert('images', 'early');
  for (const poll of polls) assert.match((await poll.answer()).body.toString(), /InProgress/);
  await given;
  await b.take(1);
  a.sees(1, b);
  c.sees(1, b);
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

test('a request on a connection that is there already is refused once its shard has moved; the others are answered', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([0, 1, 2], []);
  const socket = await HttpSocket.open(a.port);
  const ask = async (queue: string) => {
    socket.send(`GET ${pathOf(queue)}/producer/submissions/count`);
    return (await socket.answer()).status;
  };
  assert.deepEqual([await ask('images'), await ask('bills')], [200, 200]);
  await a.give(1);
  await b.take(1);
  assert.equal(await ask('bills'), 200);
  assert.equal(await ask('images'), 503);
  await socket.ended();
  const metrics = await a.request('GET /metrics');
  assert.match(metrics.body.toString(), /^submissions_total_count 0$/m);
});

test('a node that has all shards looks at no connection before it serves it', async () => {
  const [a = assert.fail()] = await nodes([0, 1, 2]);
  assert.equal(a.passing.connection, undefined);
  await a.give(1);
  assert.notEqual(a.passing.connection, undefined);
});
