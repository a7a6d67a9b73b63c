import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { describe, test } from 'node:test';
import { QueueRefusedError, QueueUnreachableError } from '../../src/model/errors.ts';
import { parseQueueAddresses } from '../../src/net/address/queue-addresses.ts';
import { HttpClient } from '../../src/net/http/client.ts';
import { WsClient } from '../../src/net/websocket/client.ts';
import { seededRandom } from '../../src/system/random.ts';
import { type Clock, systemClock } from '../../src/system/time/clock.ts';
import { FakeQueue } from '../support/fakes/fake-queue.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

/** Nobody listens there. */
const dead = '127.0.0.1:1';
const ping = { method: 'GET', path: '/ping', timeoutMs: 60_000 } as const;

function producer(url: string, options: { retryForMs?: number; clock?: Clock } = {}) {
  const logger = recordingLogger();
  const client = new HttpClient({
    queue: parseQueueAddresses(url),
    retryForMs: 60_000,
    clock: systemClock,
    random: seededRandom(1),
    logger,
    ...options,
  });
  return Object.assign(client, { logger, [Symbol.dispose]: () => client.close() });
}

function consumer(url: string, clock: Clock = systemClock) {
  const logger = recordingLogger();
  const ws = new WsClient(
    { queue: parseQueueAddresses(url), clock, random: seededRandom(1), logger, concurrency: () => 1 },
    { connected() {}, message() {}, disconnected() {} },
  );
  return Object.assign(ws, { logger, [Symbol.asyncDispose]: () => ws.stop() });
}

/** Takes connections and never says anything. */
async function silentServer() {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => void sockets.add(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A node that refuses consumers for now. */
async function refusingServer(headers: Record<string, string>) {
  const seen: number[] = [];
  const server = http.createServer();
  server.on('upgrade', (_request, socket) => {
    seen.push(performance.now());
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.on('error', () => {}).end(`HTTP/1.1 503 Service Unavailable\r\n${lines.join('')}\r\n`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('requests', () => {
  test('go to the next address at once where nobody listens, and stay with the one that worked', async () => {
    await using live = await scriptedHttp(() => ({ status: 200 }));
    // Time stands still: nothing waits.
    using client = producer(`${dead},${live.url}`, { clock: new ManualClock(), retryForMs: 0 });
    for (let i = 0; i < 3; i++) assert.equal((await client.send(ping)).status, 200);
    assert.equal(live.seen.length, 3);
    assert.deepEqual(
      client.logger.lines.map(({ level, message, fields }) => [level, message, fields]),
      [
        [
          'info',
          'an address of the queue failed, trying the next one',
          {
            url: `http://${dead}`,
            reason: `connect ECONNREFUSED ${dead}`,
            next: `http://${live.url}`,
          },
        ],
      ],
      'the dead one was asked once, and nobody was alarmed',
    );
  });

  test('that are under way at the same time find the way out together', async () => {
    await using live = await scriptedHttp(() => ({ status: 200 }));
    await using standby = await scriptedHttp(() => ({ status: 503, body: '"no lease"' }));
    using client = producer(`${standby.url},${live.url}`, { clock: new ManualClock(), retryForMs: 0 });
    await Promise.all(Array.from({ length: 16 }, () => client.send(ping)));
    assert.equal(live.seen.length, 16);
    const asked = standby.seen.length;
    await Promise.all(Array.from({ length: 16 }, () => client.send(ping)));
    assert.equal(standby.seen.length, asked, 'not again');
  });

  test('leave an address that swallows packets after seconds, not after their own time-out', async () => {
    await using silent = await silentServer();
    const clock = new ManualClock();
    // With TLS a connection that is taken is not yet one.
    using client = producer(`https://${silent.url},https://${silent.url.replace('127.0.0.1', 'localhost')}`, {
      clock,
      retryForMs: 0,
    });
    const answer = client.send(ping);
    void answer.catch(() => {});
    for (const count of [1, 2]) {
      await eventually(() => silent.sockets.size === count && clock.timersPending === 2);
      clock.advance(3_000);
    }
    await assert.rejects(answer, (error) => {
      assert.ok(error instanceof QueueUnreachableError);
      assert.equal(error.attempts, 2);
      assert.match(
        error.message,
        /: 127\.0\.0\.1:\d+: no connection within 3000 ms; no connection within 3000 ms$/,
      );
      return true;
    });
  });

  test('that may have arrived are repeated elsewhere only as one that may have arrived', async () => {
    await using hanging = await scriptedHttp(() => 'hang');
    await using live = await scriptedHttp(() => ({ status: 200 }));
    const clock = new ManualClock();
    using client = producer(`${hanging.url},${live.url}`, { clock });
    const states: boolean[] = [];
    const answer = client.retry(({ ambiguous, signal }) => {
      states.push(ambiguous);
      return client.once(ping, signal);
    });
    await eventually(() => hanging.seen.length === 1);
    clock.advance(60_000);
    assert.equal((await answer).status, 200);
    assert.deepEqual(states, [false, true]);
  });

  test('leave a node that hangs after seconds, and wait for one that only takes long', async () => {
    await using hanging = await scriptedHttp(() => 'hang');
    const slow = Promise.withResolvers<{ readonly status: number }>();
    await using live = await scriptedHttp(({ path }) =>
      path === '/node/alive' ? { status: 404 } : slow.promise,
    );
    const clock = new ManualClock();
    const after = clock.after.bind(clock);
    /** How often somebody has begun to wait for two seconds. */
    let waits = 0;
    clock.after = (delayMs, run) => {
      if (delayMs === 2_000) waits++;
      return after(delayMs, run);
    };
    using client = producer(`${hanging.url},${live.url}`, { clock });
    const answer = client.send({ ...ping, path: '/x' });
    await eventually(() => hanging.seen.length === 1);
    clock.advance(2_000);
    await eventually(() => hanging.seen.length === 2);
    assert.equal(hanging.seen[1]?.path, '/node/alive');
    clock.advance(3_000);
    await eventually(() => live.seen.length === 1);
    for (let asked = 1; asked <= 3; asked++) {
      await eventually(() => waits === 1 + asked);
      clock.advance(2_000);
      await eventually(() => live.seen.length === 1 + asked);
    }
    slow.resolve({ status: 200 });
    assert.equal((await answer).status, 200);
    assert.deepEqual(
      live.seen.map(({ path }) => path),
      ['/x', '/node/alive', '/node/alive', '/node/alive'],
    );
    await eventually(() => clock.timersPending === 0);
  });

  test('of a client with one address are not watched over: there is nowhere else to go', async () => {
    await using hanging = await scriptedHttp(() => 'hang');
    const clock = new ManualClock();
    using client = producer(hanging.url, { clock, retryForMs: 0 });
    const answer = client.send(ping);
    answer.catch(() => {});
    await eventually(() => hanging.seen.length === 1);
    assert.equal(clock.timersPending, 1);
    clock.advance(60_000);
    await assert.rejects(answer, QueueUnreachableError);
    assert.equal(hanging.seen.length, 1);
  });

  test('wait after a whole round, as long as a node without a lease asks', async () => {
    let isActive = false;
    const reply = () =>
      isActive ? { status: 200 } : { status: 503, body: '"no lease"', headers: { 'retry-after': '2' } };
    await using a = await scriptedHttp(reply);
    await using b = await scriptedHttp(reply);
    const clock = new ManualClock();
    using client = producer(`${a.url},${b.url}`, { clock });
    const answer = client.send(ping);
    await client.logger.line(/, waiting$/);
    assert.deepEqual([a.seen.length, b.seen.length], [1, 1]);
    assert.deepEqual(
      client.logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message),
      [
        `queue at ${a.url} unavailable (HTTP status 503); queue at ${b.url} unavailable (HTTP status 503), waiting`,
      ],
    );
    isActive = true;
    clock.advance(1_999);
    assert.equal(clock.timersPending, 1, 'still waiting');
    clock.advance(501);
    assert.equal((await answer).status, 200);
  });

  test('end with what each address said', async () => {
    await using standby = await scriptedHttp(() => ({ status: 503, body: '"no lease"' }));
    using first = producer(`${standby.url},${dead}`, { retryForMs: 0 });
    await assert.rejects(first.send(ping), (error) => {
      assert.ok(error instanceof QueueUnreachableError);
      assert.match(error.message, /no answer from the queue at http:\S+,http:\S+ \(2 attempts/);
      assert.match(error.message, /503.*no lease.*; connect ECONNREFUSED/);
      return true;
    });
    using second = producer(`${dead},${standby.url}`, { retryForMs: 0 });
    await assert.rejects(second.send(ping), QueueRefusedError);
  });

  test('come back to an address that lives again, when the one in use dies', async () => {
    const a = await scriptedHttp(() => ({ status: 200 }));
    const b = await scriptedHttp(() => ({ status: 200 }));
    using client = producer(`${a.url},${b.url}`);
    await a.stop();
    await client.send(ping);
    await a.listen();
    await client.send(ping);
    assert.equal(a.seen.length, 0, 'no reason to leave b');
    await b.stop();
    await client.send(ping);
    assert.deepEqual([a.seen.length, b.seen.length], [1, 2]);
    await a.stop();
  });

  test('do not stop at an address whose certificate is not trusted', async () => {
    await using plain = await scriptedHttp(() => ({ status: 200 }));
    // TLS to a port without it fails before anything is sent, and no repetition helps.
    using client = producer(`https://${plain.url},https://${dead}`, { retryForMs: 0 });
    await assert.rejects(client.send(ping), (error) => {
      assert.ok(error instanceof QueueUnreachableError);
      assert.equal(error.attempts, 2);
      return true;
    });
    using alone = producer(`https://${plain.url},https://${plain.url.replace('127.0.0.1', 'localhost')}`);
    await assert.rejects(alone.send(ping), /is there TLS at that port/);
  });
});

describe('consumers', () => {
  test('connect to the first address that is there, at once', async () => {
    await using queue = await FakeQueue.start();
    await using client = consumer(`${dead},${queue.url}`, new ManualClock());
    client.start();
    await queue.connection();
    await client.logger.line(/^connected to the queue$/);
    assert.deepEqual(
      client.logger.lines.filter(({ level }) => level === 'warn'),
      [],
    );
  });

  test('try all once more after a loss, the one that worked first', async () => {
    const a = await FakeQueue.start();
    await using b = await FakeQueue.start();
    await using client = consumer(`${a.url},${b.url}`);
    client.start();
    const first = await a.connection();
    await eventually(() => client.init !== null);
    first.cut();
    await eventually(() => client.init === null);
    // It was up for an instant only, so it is the next one's turn.
    (await b.connection()).cut();
    await eventually(() => client.init === null);
    await a.connection();
    await eventually(() => client.init !== null);
    await a.stop();
    await b.connection();
    await eventually(() => client.init !== null);
    assert.deepEqual([a.connectionsTotal, b.connectionsTotal], [2, 2]);
  });

  test('leave one that takes the connection and says nothing, or has fallen silent', async () => {
    await using silent = await silentServer();
    await using queue = await FakeQueue.start({ heartbeatIntervalMs: 1_000, missableHeartbeatsMax: 1 });
    const clock = new ManualClock();
    await using client = consumer(`${silent.url},${queue.url}`, clock);
    client.start();
    await eventually(() => silent.sockets.size === 1);
    clock.advance(3_000);
    await queue.connection();
    await eventually(() => client.init !== null);
    // No further than to the loss: nobody answers while time leaps, and the attempts that follow would fail as well.
    while (client.init !== null) clock.advance(500);
    await client.logger.line(/^connection to the queue lost/);
    clock.advance(100);
    await eventually(() => silent.sockets.size === 2);
    assert.equal(queue.connectionsTotal, 1);
  });

  test('leave a node that hangs within seconds, and stay with one that is only quiet', async () => {
    await using hanging = await FakeQueue.start({ heartbeatIntervalMs: 10_000 });
    await using live = await FakeQueue.start({ heartbeatIntervalMs: 10_000 });
    const clock = new ManualClock();
    await using client = consumer(`${hanging.url},${live.url}`, clock);
    client.start();
    const first = await hanging.connection();
    await eventually(() => client.init !== null);
    // What it answers to pings is its only sign of life.
    for (let pings = 2; pings <= 6; pings++) {
      clock.advance(1_500);
      await eventually(() => first.pings === pings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    first.hang();
    for (let i = 0; i < 3; i++) clock.advance(1_500);
    await client.logger.line(/^connection to the queue lost/);
    clock.advance(1_000);
    await live.connection();
    await eventually(() => client.init !== null);
    assert.equal(hanging.connectionsTotal, 1);
  });

  test('say after a round why there is no connection, and wait as long as they are asked to', async () => {
    await using standby = await refusingServer({ 'retry-after': '2' });
    const clock = new ManualClock();
    await using client = consumer(`${dead},${standby.url}`, clock);
    client.start();
    const { fields } = await client.logger.line(
      new RegExp(
        `^no queue at ${dead} \\(ECONNREFUSED\\); queue at ${standby.url} unavailable \\(HTTP status 503\\), waiting$`,
      ),
    );
    assert.ok('waitMs' in fields && typeof fields.waitMs === 'number');
    assert.ok(fields.waitMs >= 2_000 && fields.waitMs <= 2_500, String(fields.waitMs));
    clock.advance(2_500);
    await eventually(() => standby.seen.length === 2);
  });
});
