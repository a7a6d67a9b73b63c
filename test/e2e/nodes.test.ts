/** Several nodes on one PostgreSQL: real processes that are killed, stopped and restarted. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { freePort } from '../support/network/free-port.ts';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { startQueue, type TestProcess } from '../support/processes.ts';
import { PostgresServer, withoutPostgres } from '../support/store/postgres-server.ts';

const LEASE_MS = 1_000;
/** How long after the end of a lease the next chunk may be handed out, on a machine with nothing else to do. */
const TAKEOVER_MS = 1_500;

interface TestNode {
  readonly process: TestProcess;
  readonly port: number;
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

  async function roleOf({ port }: TestNode): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${port}/node`);
    return ((await response.json()) as { readonly role: string }).role;
  }

  async function insert({ port }: TestNode, prefix: string, count: number): Promise<void> {
    const request = { chunk_contents: { SeeObjectStorage: { prefix, count } }, chunk_size: 1 };
    const response = await fetch(`http://127.0.0.1:${port}/producer/submissions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
    });
    assert.equal(response.status, 200, await response.text());
  }

  /** Connects until a chunk is handed out. */
  async function handedOut({ port }: TestNode): Promise<ConsumerPeer> {
    for (;;) {
      try {
        const consumer = await ConsumerPeer.connect(port);
        await consumer.reserved();
        return consumer;
      } catch {
        // Refused, or cut: it comes again.
      }
    }
  }

  test('two that start at once on an empty database share the work; when the active one is killed, or stopped and woken, the other goes on', async () => {
    await using stack = new AsyncDisposableStack();
    const ports = [await freePort(), await freePort()] as const;
    const nodes = await Promise.all(ports.map((port) => start('pair', port)));
    for (const node of nodes) stack.use(node.process);
    const roles = await Promise.all(nodes.map(roleOf));
    assert.deepEqual(roles.toSorted(), ['active', 'standby']);
    const [first, second] = roles[0] === 'active' ? [nodes[0]!, nodes[1]!] : [nodes[1]!, nodes[0]!];
    await insert(second, 'p', 100);
    const before = await handedOut(second);

    const killedMs = performance.now();
    await first.process.kill('SIGKILL');
    const next = await handedOut(second);
    const gapMs = performance.now() - killedMs;
    await before.ended();
    assert.ok(gapMs < LEASE_MS + TAKEOVER_MS, `${gapMs} ms`);
    assert.equal(await roleOf(second), 'active');

    const third = await start('pair', first.port);
    stack.use(third.process);
    assert.equal(await roleOf(third), 'standby');
    const idle = await HttpSocket.open(second.port);
    idle.send('GET /ping');
    await idle.answer();
    second.process.child.kill('SIGSTOP');
    const elsewhere = await handedOut(third);
    assert.equal(await roleOf(third), 'active');
    // What the zombie finds when it wakes.
    next.reserve();
    idle.send('POST /producer/submissions/cancel/1');
    second.process.child.kill('SIGCONT');
    await assert.rejects(next.next('reserved'), /closed/);
    const late = await idle.answer().then(
      ({ status }) => status,
      () => 'cut',
    );
    assert.ok(late === 503 || late === 'cut', String(late));
    await second.process.line(/this node is not active any more/);
    assert.equal(await roleOf(second), 'standby');
    // A lost lease is a warning in one line, not an error with a stack.
    assert.doesNotMatch(second.process.output('stderr'), /"level":50|StoreError/);
    await insert(second, 'q', 1);
    await elsewhere.close();
    for (const { process } of [second, third]) {
      assert.deepEqual(await process.kill('SIGTERM'), { code: 0, signal: null });
    }
    // What its office left behind when the lease was lost is no part of the end of a standby.
    assert.doesNotMatch(second.process.output('stderr'), /stopped before all results/);
  });

  test('nodes that are restarted one after the other under load: our clients see no error, and every result is right', async () => {
    await using stack = new AsyncDisposableStack();
    const ports = [await freePort(), await freePort()] as const;
    const nodes: TestNode[] = [];
    for (const port of ports) nodes.push(await start('rolling', port, 10_000));
    for (const node of nodes) stack.use(node.process);
    const url = ports.map((port) => `127.0.0.1:${port}`).join();
    await using producer = new ProducerClient<number, number>(url, null, { logger: null });
    const consumer = new ConsumerClient(url, null, { logger: null });
    const running = consumer.runEachOp((n: number) => n + 1);
    let isOver = false;
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
      }
    };
    const load = Promise.all([job(), job(), job()]);
    load.catch(() => {});
    for (const [i, port] of ports.entries()) {
      // Jobs are under way: one that begins now ends.
      for (const until = jobs + 3; jobs < until; ) await Promise.race([load, finished.promise]);
      const stoppedMs = performance.now();
      nodes[i]!.process.child.kill('SIGTERM');
      await nodes[1 - i]!.process.line(/this node has the lease and is active/);
      const gapMs = performance.now() - stoppedMs;
      assert.ok(gapMs < 1_000, `${gapMs} ms`);
      assert.deepEqual(await nodes[i]!.process.exit(), { code: 0, signal: null });
      nodes[i] = await start('rolling', port, 10_000);
      stack.use(nodes[i]!.process);
    }
    isOver = true;
    await load;
    await consumer.stop();
    await running;
  });
});
