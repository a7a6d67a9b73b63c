import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { ClientClosedError, QueueRefusedError, QueueUnreachableError } from '../../src/model/errors.ts';
import { parseQueueAddresses } from '../../src/net/address/queue-addresses.ts';
import { HttpClient } from '../../src/net/http/client.ts';
import { seededRandom } from '../../src/system/random.ts';
import { type Clock, systemClock } from '../../src/system/time/clock.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const never = new AbortController().signal;
const ping = { method: 'GET', path: '/ping', timeoutMs: 5_000 } as const;

function clientOf(url: string, retryForMs = 5_000, clock: Clock = systemClock) {
  const logger = recordingLogger();
  const client = new HttpClient({
    queue: parseQueueAddresses(url),
    retryForMs,
    clock,
    random: seededRandom(1),
    logger,
  });
  return Object.assign(client, { logger, [Symbol.dispose]: () => client.close() });
}

test('answers with status, headers and body, on one kept connection', async () => {
  await using server = await scriptedHttp(() => ({ status: 404, body: '7', headers: { 'x-y': 'z' } }));
  using client = clientOf(server.url);
  for (let i = 0; i < 3; i++) {
    const answer = await client.send(ping);
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['x-y'], 'z');
    assert.equal(Buffer.from(answer.body).toString(), '7');
  }
  assert.equal(server.connections, 1);
});

test('leaves no listeners on a kept connection, however many requests it carries', async () => {
  const warnings: string[] = [];
  const onWarning = ({ message }: Error) => warnings.push(message);
  process.on('warning', onWarning);
  await using server = await scriptedHttp(() => ({ status: 200 }));
  using client = clientOf(server.url);
  for (let i = 0; i < 30; i++) await client.send(ping);
  assert.equal(server.connections, 1);
  process.off('warning', onWarning);
  assert.deepEqual(warnings, []);
});

test('sends a POST without a body with no header about one', async () => {
  let received = '';
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      received += data;
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  using client = clientOf(`127.0.0.1:${port}`);
  await client.send({ method: 'POST', path: '/cancel/1', timeoutMs: 5_000 });
  assert.equal(
    received,
    `POST /cancel/1 HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: keep-alive\r\n\r\n`,
  );
  await new Promise((resolve) => server.close(resolve));
});

test('repeats after 5xx, cut connections and truncated answers, and says once that it waits', async () => {
  await using server = await scriptedHttp((_request, number) => {
    if (number === 1) return { status: 503, body: '"disk full"' };
    if (number === 2) return 'cut';
    if (number === 3) return 'truncate';
    return { status: 200, body: 'pong' };
  });
  using client = clientOf(server.url);
  assert.equal((await client.send(ping)).status, 200);
  assert.equal(server.seen.length, 4);
  assert.deepEqual(
    client.logger.lines.map(({ level, message }) => [level, message]),
    [
      ['warn', `queue at ${server.url} unavailable (HTTP status 503), waiting`],
      ['info', 'the queue answers again'],
    ],
  );
});

test('waits for a queue that starts later', async () => {
  const server = await scriptedHttp(() => ({ status: 200 }));
  await server.stop();
  using client = clientOf(server.url, 60_000);
  const answer = client.send(ping);
  await eventually(() => client.logger.lines.length === 1);
  await server.listen();
  assert.equal((await answer).status, 200);
  await server.stop();
});

test('tells an attempt whether an earlier one may have arrived', async () => {
  const server = await scriptedHttp((_request, number) => (number === 1 ? 'cut' : { status: 200 }));
  await server.stop();
  using client = clientOf(server.url, 60_000);
  const states: boolean[] = [];
  await client.retry(async ({ number, ambiguous, signal }) => {
    states.push(ambiguous);
    if (number === 2 || number === 4) await server.listen();
    if (number === 3) await server.stop();
    return client.once(ping, signal);
  });
  // Refused, cut, refused again, answered.
  assert.deepEqual(states, [false, false, true, true]);
  await server.stop();
});

test('gives up after its time with an error that names the queue and the cause', async () => {
  const server = await scriptedHttp(() => 'hang');
  await server.stop();
  const clock = new ManualClock();
  using client = clientOf(server.url, 1_000, clock);
  const refused = client.retry(({ signal }) => {
    // All of the time passes in the wait for the second attempt.
    const attempt = client.once(ping, signal);
    return attempt.finally(() => clock.soon(() => clock.advance(1_000)));
  });
  await assert.rejects(refused, (error) => {
    assert.ok(error instanceof QueueUnreachableError);
    assert.match(error.message, new RegExp(`http://127.0.0.1:${server.port}.*ECONNREFUSED`));
    assert.equal(error.attempts, 2);
    return true;
  });
});

test('says what the queue said when it answers 5xx to the end', async () => {
  await using server = await scriptedHttp(() => ({ status: 503, body: '"disk full"' }));
  using client = clientOf(server.url, 0);
  await assert.rejects(client.send(ping), (error) => {
    assert.ok(error instanceof QueueRefusedError);
    assert.equal(error.status, 503);
    assert.match(error.message, /disk full/);
    return true;
  });
  assert.equal(server.seen.length, 1);
});

test('does not wait longer than its time-out for an answer', async () => {
  await using server = await scriptedHttp(() => 'hang');
  using client = clientOf(server.url, 0);
  await assert.rejects(client.send({ ...ping, timeoutMs: 20 }), /no answer within 20 ms/);
  await eventually(() => server.connections === 0);
});

test('repeats at once on a kept connection that the server had closed', async () => {
  await using server = await scriptedHttp((_request, number) => (number === 2 ? 'cut' : { status: 200 }));
  using client = clientOf(server.url);
  await client.send(ping);
  await client.send(ping);
  assert.equal(server.seen.length, 3);
  assert.deepEqual(client.logger.lines, []);
});

test('ends with the reason of the signal, in a request and in a wait between two', async () => {
  await using hanging = await scriptedHttp(() => 'hang');
  await using failing = await scriptedHttp(() => ({ status: 500 }));
  for (const server of [hanging, failing]) {
    using client = clientOf(server.url);
    const controller = new AbortController();
    const answer = client.send(ping, controller.signal);
    await eventually(() => server.seen.length > 0);
    controller.abort(new Error('enough'));
    await assert.rejects(answer, /enough/);
    await eventually(() => client.requestsOpen === 0);
  }
});

test('ends its requests and connections when it is closed', async () => {
  await using server = await scriptedHttp((_request, number) => (number === 1 ? { status: 200 } : 'hang'));
  using client = clientOf(server.url);
  await client.send(ping);
  const hanging = client.send({ ...ping, longPoll: true });
  await eventually(() => server.seen.length === 2);
  client.close();
  await assert.rejects(hanging, ClientClosedError);
  await assert.rejects(client.once(ping, never), ClientClosedError);
  await eventually(() => server.connections === 0);
});

test('lets ordinary calls pass many long polls', async () => {
  await using server = await scriptedHttp(({ path }) => (path === '/ping' ? { status: 200 } : 'hang'));
  using client = clientOf(server.url);
  const polls = Array.from({ length: 80 }, () =>
    client.send({ method: 'GET', path: '/poll', timeoutMs: 60_000, longPoll: true }),
  );
  await eventually(() => server.seen.length === 80);
  await client.send(ping);
  client.close();
  for (const each of await Promise.allSettled(polls)) assert.equal(each.status, 'rejected');
});
