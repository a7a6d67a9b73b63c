import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { parseQueueAddresses } from '../../src/net/address/queue-addresses.ts';
import { WsClient } from '../../src/net/websocket/client.ts';
import type { MessageFromQueue } from '../../src/net/websocket/link.ts';
import { seededRandom } from '../../src/system/random.ts';
import { type Clock, systemClock } from '../../src/system/time/clock.ts';
import { FakeQueue, initMessage } from '../support/fakes/fake-queue.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

function client(url: string, clock: Clock = systemClock) {
  const log: string[] = [];
  const messages: MessageFromQueue[] = [];
  const logger = recordingLogger();
  const ws = new WsClient(
    {
      queue: parseQueueAddresses(url),
      clock,
      random: seededRandom(1),
      logger,
      concurrency: () => 3,
      backoff: { firstMs: 2, maxMs: 10 },
    },
    {
      connected: (init) => log.push(`connected ${init.versionInfo}`),
      message: (message) => messages.push(message),
      disconnected: (reason) => log.push(`disconnected: ${reason}`),
    },
  );
  return { ws, log, messages, logger };
}

const reserve = { kind: 'reserve', max: 1, strategy: { kind: 'oldest' } } as const;

test('nonces count up from 0 on every connection, over all messages', async () => {
  await using queue = await FakeQueue.start();
  const { ws } = client(queue.url);
  ws.start();
  const chunk = { submissionId: 1n, chunkIndex: 0 };
  for (let round = 0; round < 2; round++) {
    const connection = await queue.connection();
    await eventually(() => ws.init !== null);
    assert.equal(ws.send(reserve), 0);
    assert.equal(ws.send({ kind: 'complete', chunk, outputContent: null }), 1);
    assert.equal(ws.send(reserve), 2);
    await connection.next('reserve');
    assert.equal((await connection.next('complete')).nonce, 1);
    assert.equal((await connection.next('reserve')).nonce, 2);
    connection.cut();
    await eventually(() => ws.init === null);
  }
  await ws.stop();
});

test('without a connection nothing is sent, and the caller knows', async () => {
  await using queue = await FakeQueue.start({ saysInit: false });
  const { ws } = client(queue.url);
  assert.equal(ws.send(reserve), null);
  ws.start();
  const connection = await queue.connection();
  assert.equal(ws.send(reserve), null, 'not before Init');
  connection.send(initMessage());
  await eventually(() => ws.init !== null);
  assert.equal(ws.send(reserve), 0);
  await ws.stop();
  assert.equal(ws.send(reserve), null);
});

test('what is sent in one turn of the event loop leaves in one write', async () => {
  const writes: unknown[] = [];
  await using queue = await FakeQueue.start();
  // A wire tap in between.
  const tap = createServer((near) => {
    const far = connect(queue.port, '127.0.0.1');
    near.on('data', (data) => {
      writes.push(data);
      far.write(data);
    });
    far.pipe(near);
    near.on('close', () => far.destroy());
    for (const socket of [near, far]) socket.on('error', () => socket.destroy());
  });
  tap.listen(0, '127.0.0.1');
  await once(tap, 'listening');
  const address = tap.address();
  const { ws } = client(`127.0.0.1:${typeof address === 'object' ? address?.port : 0}`);
  ws.start();
  const connection = await queue.connection();
  await eventually(() => ws.init !== null);
  writes.length = 0;
  for (let i = 0; i < 50; i++) ws.send(reserve);
  for (let i = 0; i < 50; i++) await connection.next('reserve');
  assert.ok(writes.length <= 2, `${writes.length} writes`);
  await ws.stop();
  tap.close();
});

test('the upgrade tells what the client understands; byte strings go only to a queue that reads them', async () => {
  for (const features of [['bytes'], []]) {
    await using queue = await FakeQueue.start({ features });
    const { ws } = client(`ws://${queue.url}`);
    ws.start();
    const connection = await queue.connection();
    assert.equal(connection.headers['opsqueue-concurrency'], '3');
    assert.equal(connection.headers['opsqueue-features'], 'release,cancel_reserve,dropped,bytes,refusal');
    const sizes: number[] = [];
    connection.onBytes = (bytes) => sizes.push(bytes.length);
    await eventually(() => ws.init !== null);
    const chunk = { submissionId: 1n, chunkIndex: 0 };
    ws.send({ kind: 'complete', chunk, outputContent: new Uint8Array(1_000).fill(255) });
    const { outputContent } = await connection.next('complete');
    assert.equal(outputContent?.length, 1_000);
    assert.equal((sizes[0] ?? 0) > 1_500, features.length === 0);
    await ws.stop();
  }
});

test('a message of an unknown kind ends the connection with a reason', async () => {
  await using queue = await FakeQueue.start();
  const { ws, log } = client(queue.url);
  ws.start();
  const connection = await queue.connection();
  connection.sendBytes(Uint8Array.of(0xa1, 0x61, 0x78, 0x01));
  assert.equal(await connection.closed, 1002);
  await eventually(() => log.some((line) => /^disconnected: the server sent garbage/.test(line)));
  await ws.stop();
});

test('reconnect ends the connection in good order and makes a new one', async () => {
  await using queue = await FakeQueue.start();
  const { ws, log } = client(queue.url);
  ws.start();
  const first = await queue.connection();
  await eventually(() => ws.init !== null);
  ws.reconnect('because');
  assert.equal(await first.closed, 1000);
  await queue.connection();
  await eventually(() => log.length === 3);
  assert.deepEqual(log, ['connected v9.9.9', 'disconnected: because', 'connected v9.9.9']);
  await ws.stop();
});

test('stop works at any time, in any state, and nothing comes after it', async () => {
  await using queue = await FakeQueue.start();
  const early = client(queue.url);
  await early.ws.stop();
  early.ws.start();
  assert.equal(queue.connectionsTotal, 0);

  const connecting = client(queue.url);
  connecting.ws.start();
  await Promise.all([connecting.ws.stop(), connecting.ws.stop()]);
  assert.deepEqual(connecting.log, []);

  const clock = new ManualClock();
  const waiting = client('127.0.0.1:1', clock);
  waiting.ws.start();
  await eventually(() => clock.timersPending === 1);
  await waiting.ws.stop();
  assert.equal(clock.timersPending, 0);
});

test('a peer that is not a queue is tried again, and the log says why', async () => {
  let tries = 0;
  const server = createHttpServer((_, response) => response.end());
  server.on('upgrade', (_, socket) => {
    tries++;
    socket.on('error', () => {}); // The client may break off before it has read the answer.
    socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const { ws, logger, log } = client(`127.0.0.1:${typeof address === 'object' ? address?.port : 0}`);
  ws.start();
  await eventually(() => tries >= 3);
  assert.match(JSON.stringify(logger.lines[0]?.fields), /404/);
  assert.deepEqual(log, [], 'it was never connected');
  assert.equal(
    logger.lines.filter(({ level }) => level === 'warn').length,
    1,
    'said once, not with every try',
  );
  await ws.stop();
  server.close();
});

test('a refused upgrade is logged with what the queue or the proxy says, at once and then at growing intervals', async () => {
  let status = 404;
  let asked = 0;
  const proxy = createHttpServer((_request, response) => {
    asked++;
    response.writeHead(status, { server: 'nginx/1.22.1', 'content-type': 'text/html' });
    response.end(
      `<html><style>b { color: red }</style><center><h1>${status} no such\n host</h1></center></html>`,
    );
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const { ws, logger } = client(`127.0.0.1:${(proxy.address() as { port: number }).port}`, clock);
  const warnings = () => logger.lines.filter(({ level }) => level === 'warn');
  ws.start();
  await logger.line(/ is not an opsqueue \(HTTP status 404\), waiting$/);
  assert.equal(
    (warnings()[0]!.fields as { reason: string }).reason,
    'the upgrade was refused with HTTP status 404 Not Found from nginx/1.22.1: 404 no such host',
  );
  for (const [afterMs, count] of [
    [10_000, 2],
    [10_000, 2],
    [10_000, 3],
    [39_000, 3],
    [1_000, 4],
  ] as const) {
    nowMs += afterMs;
    const before = asked;
    await eventually(() => asked > before + 3);
    assert.equal(warnings().length, count, String(nowMs));
  }
  status = 403;
  await eventually(() => warnings().length === 5);
  assert.match((warnings()[4]!.fields as { reason: string }).reason, /HTTP status 403 Forbidden/);
  await ws.stop();
  proxy.close();
  proxy.closeAllConnections();
});
