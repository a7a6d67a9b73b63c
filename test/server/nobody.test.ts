import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { withParts } from '../../src/system/parts.ts';
import { type Clock, systemClock } from '../../src/system/time/clock.ts';
import { runCommand } from '../support/command.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { balanced, nodeOf, queueAt } from '../support/queues/cluster.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { flakyLeases } from '../support/store/flaky-leases.ts';
import { eventually } from '../support/time/eventually.ts';

const LEASE_MS = 60_000;

/** The machine's, ahead of it by what has been jumped over. */
class JumpingClock implements Clock {
  #aheadMs = 0;

  jump(ms: number): void {
    this.#aheadMs += ms;
  }

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs;
  }

  after(...args: Parameters<Clock['after']>): ReturnType<Clock['after']> {
    return systemClock.after(...args);
  }

  soon(run: () => void): void {
    systemClock.soon(run);
  }
}

test('while no node is active, whoever asks is told at once why, since when and what to do', async () => {
  const database = new MemoryDatabase();
  const clock = new JumpingClock();
  let isCut = false;
  const node = () => {
    const store = new MemoryStore({ database, clock: systemClock });
    const flaky = Object.assign(store, { leases: flakyLeases(store.leases!, () => isCut) });
    return TestServer.start(withParts({ store: flaky, leaseMs: LEASE_MS }, { clock }));
  };
  await using a = await node();
  await using b = await node();
  await balanced(a, b);
  const queues = ['', await queueAt(a), await queueAt(b)];
  isCut = true;
  clock.jump(LEASE_MS + 10_000);
  // Whoever asks for one of its queues finds out that the lease is over.
  for (const [i, each] of [a, b].entries()) {
    await each.get(`/q/${queues[i + 1]}/producer/submissions/count`);
    await eventually(async () => (await nodeOf(each)).role === 'standby');
  }
  clock.jump(3_000);
  const startedMs = performance.now();
  for (const { port } of [a, b]) {
    for (const queue of queues) {
      const base = queue === '' ? '' : `/q/${queue}`;
      for (const path of [
        '/ping',
        '/api/v1/overview',
        '/api/v1/why',
        '/api/v1/queues',
        '/producer/version',
      ]) {
        const socket = await HttpSocket.open(port);
        socket.send(`GET ${base}${path}`);
        const { status, body } = await socket.answer();
        assert.equal(status, 503, path);
        if (path === '/ping') continue;
        assert.match(body.toString(), /^[^;]*the leases in the database|cannot look at the leases/);
        assert.match(body.toString(), /\(cut\), since \d{4}-.*Z; see to the database/);
        socket.close();
      }
    }
    const url = ['--url', `127.0.0.1:${port}`];
    for (const command of ['why', 'queues', 'ls']) {
      const { code, stderr } = await runCommand([command, ...url]);
      assert.equal(code, 1);
      assert.match(stderr, /^opsqueue: .*no node is active at the moment: .*\(cut\), since .*\n$/);
    }
    const nodes = await runCommand(['nodes', ...url]);
    assert.equal(nodes.code, 0);
    assert.match(nodes.stdout, / standby +0 +no .*\(cut\)$/m);
  }
  for (const path of ['/ping', '/api/v1/overview', '/producer/version']) {
    const foreign = await HttpSocket.open(a.port);
    foreign.send(`GET ${path}`, { host: 'rebound.evil.example' });
    const { status, body } = await foreign.answer();
    assert.equal(status, 403, path);
    assert.doesNotMatch(body.toString(), /leases/);
    foreign.close();
  }
  assert.ok(performance.now() - startedMs < 10_000);
  isCut = false;
  await balanced(a, b);
});
