/** Several nodes on one PostgreSQL: real processes that are killed, stopped and restarted. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import type { Frame, List } from '../../src/protocol/api/lists.ts';
import type { Overview } from '../../src/protocol/api/overview.ts';
import type { QueueRow } from '../../src/protocol/api/queue.ts';
import type { SubmissionAnswer, SubmissionItem } from '../../src/protocol/api/submissions.ts';
import { freePort } from '../support/network/free-port.ts';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { startQueue, type TestProcess } from '../support/processes.ts';
import { balanced, ONCE, ownerOf, queueAt } from '../support/queues/cluster.ts';
import { PostgresServer, withoutPostgres } from '../support/store/postgres-server.ts';
import { eventually } from '../support/time/eventually.ts';

const LEASE_MS = 3_000;
/**
 * How long a queue may be away whose node was killed, or has another shard to take or to give: what waits for a second lease
 * takes longer. What others do on this machine takes its time from all of that, so it is not measured more exactly here.
 */
const AWAY_MS_MAX = 2 * LEASE_MS;
/** Where nodes are stopped in good order: nothing waits for its end, which would take two thirds of it at least. */
const LONG_LEASE_MS = 10_000;
/**
 * From one submission of a load to its next one, and from one that was refused to its next try: what nodes do when one is
 * gone is looked at, not how much they can do, and they share the machine with whoever asks them.
 */
const PACE_MS = 500;
const RETRY_MS = 50;

/** What an action answers, as far as it is looked at. */
interface ActionReport {
  readonly matched: number;
  readonly done: number;
  readonly nodes_missing?: readonly string[];
}

interface TestNode {
  readonly process: TestProcess;
  readonly port: number;
}

/** Inserts into a queue, one submission after the other, and does its chunks, over whichever node answers. */
class QueueLoad {
  readonly queue: string;
  /** The longest time without a chunk that was handed out. */
  gapMs = 0;
  readonly #ports: readonly number[];
  readonly #inserted: string[] = [];
  #chunkAtMs = performance.now();
  #completed = 0;
  #isOver = false;
  readonly #running: Promise<unknown>;
  #consumer: ConsumerPeer | null = null;

  constructor(queue: string, ports: readonly number[]) {
    this.queue = queue;
    this.#ports = ports;
    this.#running = Promise.all([this.#produce(), this.#consume()]);
  }

  /** Two submissions that are inserted from now on are completed. */
  async onward(): Promise<void> {
    const until = this.#inserted.length + 2;
    await eventually(() => this.#completed >= until, 20_000);
  }

  /** Whatever was acknowledged is completed. Idempotent. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#consumer?.cut();
    await this.#running;
    assert.equal(this.#completed, this.#inserted.length);
  }

  async #produce(): Promise<void> {
    while (!this.#isOver) {
      const body = JSON.stringify({
        chunk_contents: { SeeObjectStorage: { prefix: `${this.queue}-${this.#inserted.length}`, count: 5 } },
      });
      // Repeated with the same prefix, it is the same submission.
      const id = await this.#asked('/producer/submissions', { method: 'POST', body });
      this.#inserted.push(id);
      let status = '';
      while (!status.includes('Completed') && !this.#isOver)
        status = await this.#asked(`/producer/submissions/${id}?wait_ms=1000`);
      if (status.includes('Completed')) this.#completed++;
      else this.#inserted.pop();
      await wait(PACE_MS);
    }
  }

  async #asked(path: string, init: RequestInit = {}): Promise<string> {
    for (let tries = 0; !this.#isOver; tries++) {
      const url = `http://127.0.0.1:${this.#ports[tries % 3]}/q/${this.queue}${path}`;
      const headers = { ...ONCE, 'content-type': 'application/json' };
      const response = await fetch(url, { ...init, headers }).catch(() => null);
      const text = await response?.text().catch(() => null);
      if (response?.status === 200 && typeof text === 'string') return text;
      assert.ok(response === null || response.status === 503 || typeof text !== 'string', text ?? '');
      await wait(RETRY_MS);
    }
    return '';
  }

  async #consume(): Promise<void> {
    for (let tries = 0; !this.#isOver; tries++) {
      try {
        const port = this.#ports[tries % 3]!;
        this.#consumer = await ConsumerPeer.connect(port, {}, `/q/${this.queue}`);
        for (;;) {
          const [reserved] = await this.#consumer.reserved();
          const nowMs = performance.now();
          this.gapMs = Math.max(this.gapMs, nowMs - this.#chunkAtMs);
          this.#chunkAtMs = nowMs;
          if (reserved !== undefined) this.#consumer.complete(reserved.chunk);
        }
      } catch {
        // Refused, or cut: it comes again.
        await wait(RETRY_MS);
      }
    }
  }
}

describe('several nodes', { skip: withoutPostgres() }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  after(() => server[Symbol.asyncDispose]());

  async function start(schema: string, port: number, leaseMs = LEASE_MS): Promise<TestNode> {
    const env = { OPSQUEUE_STORE: server.url(`?schema=${schema}`), OPSQUEUE_LEASE: `${leaseMs}ms` };
    const { queue } = await startQueue(['--host', '127.0.0.1', '--port', String(port)], { env });
    return { process: queue, port };
  }

  /** Gives the id. */
  async function insert({ port }: TestNode, queue: string, prefix: string, count: number): Promise<string> {
    const request = { chunk_contents: { SeeObjectStorage: { prefix, count } }, chunk_size: 1 };
    const response = await fetch(`http://127.0.0.1:${port}/q/${queue}/producer/submissions`, {
      method: 'POST',
      headers: { ...ONCE, 'content-type': 'application/json' },
      body: JSON.stringify(request),
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return text;
  }

  async function view<T>({ port }: TestNode, path: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    const text = await response.text();
    assert.equal(response.status, 200, `${path}: ${text}`);
    return JSON.parse(text) as T;
  }

  /** Again, if nothing was changed because a shard was on its way from one node to another. */
  async function act({ port }: TestNode, verb: string, body: object): Promise<ActionReport> {
    let answer = { status: 0, text: '' };
    await eventually(async () => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/actions/${verb}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...body, by: 'ann' }),
      });
      answer = { status: response.status, text: await response.text() };
      return answer.status !== 503 || !answer.text.includes('nothing was changed');
    }, 20_000);
    assert.equal(answer.status, 200, answer.text);
    return JSON.parse(answer.text) as ActionReport;
  }

  /** Connects until a chunk is handed out. */
  async function handedOut({ port }: TestNode, queue: string): Promise<ConsumerPeer> {
    for (;;) {
      try {
        const consumer = await ConsumerPeer.connect(port, {}, `/q/${queue}`);
        await consumer.reserved();
        return consumer;
      } catch {
        // Refused, or cut: it comes again.
        await wait(RETRY_MS);
      }
    }
  }

  test('two that start at once on an empty database share the queues; when one is killed, or stopped and woken, the other goes on', async () => {
    await using stack = new AsyncDisposableStack();
    const ports = [await freePort(), await freePort()] as const;
    const [first, second] = await Promise.all([start('pair', ports[0]), start('pair', ports[1])]);
    for (const node of [first, second]) stack.use(node.process);
    await balanced(first, second);
    const queue = await queueAt(first);
    await insert(second, queue, 'p', 100);
    const before = await handedOut(second, queue);

    const killedMs = performance.now();
    await first.process.kill('SIGKILL');
    await handedOut(second, queue);
    const gapMs = performance.now() - killedMs;
    await before.ended();
    assert.ok(gapMs < AWAY_MS_MAX, `${gapMs} ms`);

    const third = await start('pair', first.port);
    stack.use(third.process);
    await balanced(second, third);
    const other = await queueAt(second, 'other');
    await insert(third, other, 'q', 100);
    const next = await handedOut(second, other);
    const idle = await HttpSocket.open(second.port);
    idle.send(`GET /q/${other}/ping`);
    await idle.answer();
    second.process.child.kill('SIGSTOP');
    const elsewhere = await handedOut(third, other);
    assert.equal(await ownerOf(third, other), third.port);
    // What the zombie finds when it wakes.
    next.reserve();
    idle.send(`POST /q/${other}/producer/submissions/cancel/1`);
    second.process.child.kill('SIGCONT');
    await assert.rejects(next.next('reserved'), /closed/);
    const late = await idle.answer().then(
      ({ status }) => status,
      () => 'cut',
    );
    assert.ok(late === 503 || late === 'cut', String(late));
    await second.process.line(/this node is not active any more|this node has lost shards/);
    await balanced(second, third);
    // A lost lease is a warning in one line, not an error with a stack.
    assert.doesNotMatch(second.process.output('stderr'), /"level":50|StoreError/);
    await insert(second, other, 'r', 1);
    await elsewhere.close();
    for (const { process } of [second, third]) {
      assert.deepEqual(await process.kill('SIGTERM'), { code: 0, signal: null });
    }
    // What its offices left behind when their leases were lost is no part of the end of a node.
    assert.doesNotMatch(second.process.output('stderr'), /stopped before all results/);
  });

  test('nodes that are restarted one after the other under load: our clients see no error, and every result is right', async () => {
    await using stack = new AsyncDisposableStack();
    const ports = [await freePort(), await freePort()] as const;
    const nodes: TestNode[] = [];
    for (const port of ports) nodes.push(await start('rolling', port, LONG_LEASE_MS));
    for (const node of nodes) stack.use(node.process);
    await balanced(...nodes);
    const url = ports.map((port) => `127.0.0.1:${port}`).join();
    await using producer = new ProducerClient<number, number>(url, null, { logger: null });
    const consumer = stack.use(new ConsumerClient(url, null, { logger: null }));
    const running = consumer.runEachOp((n: number) => n + 1);
    let isOver = false;
    stack.defer(() => {
      isOver = true;
    });
    let jobs = 0;
    let finished = Promise.withResolvers<void>();
    const job = async () => {
      while (!isOver) {
        const from = 1_000 * ++jobs;
        const ops = Array.from({ length: 20 }, (_, i) => from + i);
        const results: number[] = [];
        for await (const result of producer.runSubmission(ops, { in: 'queue', chunkSize: 2 })) {
          results.push(result);
        }
        assert.deepEqual(
          results,
          ops.map((n) => n + 1),
        );
        finished.resolve();
        finished = Promise.withResolvers();
        await wait(PACE_MS);
      }
    };
    const load = Promise.all([job(), job(), job()]);
    load.catch(() => {});
    for (const [i, port] of ports.entries()) {
      // Jobs are under way: one that begins now ends.
      for (const until = jobs + 3; jobs < until; ) await Promise.race([load, finished.promise]);
      const stoppedMs = performance.now();
      nodes[i]!.process.child.kill('SIGTERM');
      await eventually(async () => (await ownerOf(nodes[1 - i]!, '')) === ports[1 - i]);
      const gapMs = performance.now() - stoppedMs;
      assert.ok(gapMs < LONG_LEASE_MS / 2, `${gapMs} ms`);
      assert.deepEqual(await nodes[i]!.process.exit(), { code: 0, signal: null });
      nodes[i] = await start('rolling', port, LONG_LEASE_MS);
      stack.use(nodes[i]!.process);
      await balanced(...nodes);
    }
    isOver = true;
    await load;
    await consumer.stop();
    await running;
  });

  test('three nodes and twelve queues: each node is killed in turn under load, the queues of the others go on, nothing is lost', async () => {
    await using stack = new AsyncDisposableStack();
    const ports = [await freePort(), await freePort(), await freePort()];
    const nodes: TestNode[] = [];
    const begin = async (port: number): Promise<TestNode> => {
      const node = await start('many', port);
      stack.use(node.process);
      return node;
    };
    for (const port of ports) nodes.push(await begin(port));
    await balanced(...nodes);
    const loads = Array.from({ length: 9 }, (_, i) => new QueueLoad(`queue-${i}`, ports));
    stack.defer(async () => void (await Promise.all(loads.map((load) => load.end()))));

    for (const [i, port] of ports.entries()) {
      // Which shards a node has is drawn, and those of nine queues may all be on others.
      loads.push(new QueueLoad(await queueAt(nodes[i]!, `of-${i}`), ports));
      await Promise.all(loads.map((load) => load.onward()));
      const owners = await Promise.all(loads.map(({ queue }) => ownerOf(nodes[(i + 1) % 3]!, queue)));
      const [hit, spared] = [true, false].map((isHit) =>
        loads.filter((_, l) => (owners[l] === port) === isHit),
      ) as [QueueLoad[], QueueLoad[]];
      assert.ok(
        hit.length > 0 && spared.length > 0,
        `${hit.length} of ${loads.length} queues are on the node`,
      );
      for (const load of loads) load.gapMs = 0;
      await nodes[i]!.process.kill('SIGKILL');
      await Promise.all(loads.map((load) => load.onward()));
      for (const { queue, gapMs } of hit) assert.ok(gapMs < AWAY_MS_MAX, `${queue}: ${gapMs} ms`);

      // It comes back, and gets its share: one shard after the other, each away for a moment.
      for (const load of loads) load.gapMs = 0;
      nodes[i] = await begin(port);
      await balanced(...nodes);
      await Promise.all(loads.map((load) => load.onward()));
      for (const { queue, gapMs } of loads) assert.ok(gapMs < AWAY_MS_MAX, `${queue}: ${gapMs} ms`);
    }
    for (const load of loads) await load.end();
    for (const { process } of nodes) {
      assert.deepEqual(await process.kill('SIGTERM'), { code: 0, signal: null });
      assert.doesNotMatch(process.output('stderr'), /"level":50/);
    }
  });

  test('any of three nodes shows and changes the queues of all; one that is killed is named until others have its queues', async () => {
    await using stack = new AsyncDisposableStack();
    const ports = [await freePort(), await freePort(), await freePort()];
    const nodes = await Promise.all(ports.map((port) => start('across', port)));
    for (const { process } of nodes) stack.use(process);
    await balanced(...nodes);
    const queues: string[] = [];
    for (const [i, node] of nodes.entries()) {
      for (let k = 0; k < 4; k++) queues.push(await queueAt(node, `of-${i}-${k}`));
    }
    const ids: string[] = [];
    for (const [i, queue] of queues.entries()) ids.push(await insert(nodes[i % 3]!, queue, queue, 1));
    for (const node of nodes) {
      const { items } = await view<List<QueueRow>>(node, 'queues');
      const named = items.map(({ name }) => name).filter((name) => name !== '');
      assert.deepEqual(named, queues.toSorted());
      assert.equal((await view<Overview>(node, 'overview')).counts.submissions_open, 12);
      const listed = (await view<List<SubmissionItem>>(node, 'submissions')).items.map(({ id }) => id);
      assert.deepEqual(listed.toSorted(), ids.toSorted());
      for (const [i, id] of ids.entries()) {
        assert.equal((await view<SubmissionAnswer>(node, `submissions/${id}`)).queue, queues[i]);
      }
    }
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    for (const [verb, state] of [
      ['pause', 'paused'],
      ['resume', 'running'],
    ] as const) {
      assert.equal((await act(c, verb, { server: true })).done, 1);
      // Each node acts on it, and each tells of the queues of the others.
      await Promise.all(
        nodes.flatMap((node) =>
          [queues[0], queues[4], queues[8]].map((queue) =>
            eventually(async () => (await view<Overview>(node, `overview?queue=${queue}`)).state === state),
          ),
        ),
      );
    }
    // It is asked for what it has until its lease is over, and does not answer.
    await a.process.kill('SIGKILL');
    const address = `127.0.0.1:${a.port}`;
    await eventually(async () => (await view<Frame>(b, 'queues')).nodes_missing?.[0] === address);
    await eventually(async () => {
      const { nodes_missing: missing, counts } = await view<Overview>(b, 'overview');
      return missing === undefined && counts.submissions_open === 12;
    }, 20_000);
    // A node that is about to have another shard, or to give one away, refuses what is for all of its queues.
    await balanced(b, c);
    const dry = await act(c, 'cancel', { filter: {}, dry_run: true });
    assert.equal(dry.matched, 12);
    const cancelled = await act(c, 'cancel', { filter: {}, expected: 12 });
    assert.deepEqual([cancelled.done, cancelled.nodes_missing], [12, undefined]);
    await eventually(async () => (await view<Overview>(b, 'overview')).counts.submissions_open === 0);
  });
});
