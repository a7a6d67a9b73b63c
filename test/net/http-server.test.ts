import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CONTENT_TYPE_TEXT, type HttpExchange } from '../../src/net/http/exchange.ts';
import { HttpServer, type HttpServerOptions, ListenError } from '../../src/net/http/server.ts';
import { Semaphore } from '../../src/system/async/semaphore.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { HTTP_LIMITS } from '../support/network/http-limits.ts';
import { HttpSocket, type RawAnswer } from '../support/peers/http-socket.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const running: HttpServer[] = [];
const sockets: HttpSocket[] = [];
after(async () => {
  for (const socket of sockets) socket.close();
  for (const server of running) await server.stop(0);
});

/** Answers with what it got: method, path, query and body. */
function echo(bytesMax = 1000, room = new Semaphore(1_000_000)): (exchange: HttpExchange) => void {
  return (exchange) => {
    const { method, path, query } = exchange;
    const tell = (body: string) =>
      exchange.respond(200, JSON.stringify({ method, path, query, body }), CONTENT_TYPE_TEXT);
    if (method === 'POST')
      exchange.readBody({ bytesMax, room }, (body) => tell(Buffer.from(body).toString()));
    else tell('');
  };
}

async function serve(
  request: (exchange: HttpExchange) => void,
  options: Partial<HttpServerOptions> = {},
): Promise<{ readonly server: HttpServer; readonly port: number }> {
  const server = new HttpServer(
    { hosts: ['127.0.0.1'], port: 0, clock: systemClock, ...HTTP_LIMITS, ...options },
    {
      request,
      isUpgrade: (head) => head.header('upgrade') === 'websocket',
      upgrade: (_request, socket) => void socket.end('an upgrade'),
    },
  );
  await server.listen();
  running.push(server);
  return { server, port: server.addresses[0]!.port };
}

async function open(port: number, host?: string): Promise<HttpSocket> {
  const socket = await HttpSocket.open(port, host);
  sockets.push(socket);
  return socket;
}

const namesOf = (answer: RawAnswer) => answer.headers.map(([name]) => name);
const bodyOf = (answer: RawAnswer) => JSON.parse(answer.body.toString()) as Record<string, string>;

test('headers come in the order and case of the original, without server or keep-alive', async () => {
  const { port } = await serve(echo(), { clock: new ManualClock(Date.UTC(2026, 10, 23, 20, 32, 59, 700)) });
  const socket = await open(port);
  socket.send('GET /a?b=c');
  const answer = await socket.answer();
  assert.equal(answer.statusLine, 'HTTP/1.1 200 OK');
  assert.deepEqual(answer.headers, [
    ['content-type', 'text/plain; charset=utf-8'],
    ['content-length', String(answer.body.length)],
    ['date', 'Mon, 23 Nov 2026 20:32:59 GMT'],
  ]);
  assert.deepEqual(bodyOf(answer), { method: 'GET', path: '/a', query: 'b=c', body: '' });
});

test('an empty answer has no content type; further headers stand before the date', async () => {
  const { port } = await serve((exchange) =>
    exchange.path === '/405'
      ? exchange.respond(405, '', null, ['allow', 'POST'])
      : exchange.respond(404, '', null, ['opsqueue-x', 'y']),
  );
  const socket = await open(port);
  socket.send('GET /405');
  assert.deepEqual(namesOf(await socket.answer()), ['allow', 'content-length', 'date']);
  socket.send('GET /404');
  assert.deepEqual(namesOf(await socket.answer()), ['content-length', 'opsqueue-x', 'date']);
});

test('HEAD tells the length and sends no body', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.send('HEAD /a');
  const answer = await socket.answer(false);
  assert.ok(Number(answer.headers.find(([name]) => name === 'content-length')?.[1]) > 10);
  socket.send('GET /b');
  assert.equal(bodyOf(await socket.answer()).path, '/b');
});

test('pipelined requests are answered in order, also when the first one takes longer', async () => {
  const held: HttpExchange[] = [];
  const { port } = await serve((exchange) => {
    if (exchange.path === '/slow') held.push(exchange);
    else {
      exchange.respond(200, exchange.path, CONTENT_TYPE_TEXT);
      for (const slow of held) slow.respond(200, slow.path, CONTENT_TYPE_TEXT);
    }
  });
  const socket = await open(port);
  socket.write('GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET /quick HTTP/1.1\r\nhost: a\r\n\r\n');
  assert.equal((await socket.answer()).body.toString(), '/slow');
  assert.equal((await socket.answer()).body.toString(), '/quick');
});

test('a connection that asks and reads nothing has two answers made, is read no further, and is served in order later', async () => {
  const held: HttpExchange[] = [];
  const { server, port } = await serve((exchange) => void held.push(exchange));
  const socket = await open(port);
  for (let i = 0; i < 500; i++) socket.write(`GET /${i} HTTP/1.1\r\n\r\n`);
  await eventually(() => held.length === 2);
  const other = await open(port);
  other.send('GET /other');
  await eventually(() => held.length === 3);
  assert.equal(server.active.size, 3);
  held.pop()?.respond(200, 'other', CONTENT_TYPE_TEXT);
  await other.answer();
  for (let i = 0; i < 500; i++) {
    await eventually(() => held.length > 0);
    held.shift()?.respond(200, String(i), CONTENT_TYPE_TEXT);
    assert.equal((await socket.answer()).body.toString(), String(i));
    assert.ok(held.length <= 2);
  }
});

test('a body that comes behind answers that wait is read when it is its turn', async () => {
  const held: HttpExchange[] = [];
  const { port } = await serve((exchange) => {
    if (exchange.method === 'GET') held.push(exchange);
    else
      exchange.readBody({ bytesMax: 1_000_000, room: new Semaphore(1_000_000) }, (body) =>
        exchange.respond(200, body, CONTENT_TYPE_TEXT),
      );
  });
  const socket = await open(port);
  socket.write(
    'GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nPOST /c HTTP/1.1\r\ncontent-length: 200000\r\n\r\n',
  );
  socket.write('x'.repeat(200_000));
  await eventually(() => held.length === 2);
  for (const exchange of held) exchange.respond(200, exchange.path, CONTENT_TYPE_TEXT);
  for (const body of ['/a', '/b', 'x'.repeat(200_000)]) {
    assert.equal((await socket.answer()).body.toString(), body);
  }
});

test('a connection with more than 1000 requests ahead of their answers is closed', async () => {
  const { port } = await serve(() => {});
  const socket = await open(port);
  socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(2000));
  await socket.ended();
});

test('connections leave descriptors for the rest; one that is closed for it is logged once, and counted', async () => {
  const logger = recordingLogger();
  const { server, port } = await serve(echo(), { descriptorsMax: 12, logger });
  const open3 = [await open(port), await open(port), await open(port)];
  for (let i = 0; i < 5; i++) await (await open(port)).ended();
  assert.equal(server.connectionsRejected.descriptors, 5);
  assert.equal(
    logger.lines.filter(({ message }) => /almost out of file descriptors/.test(message)).length,
    1,
  );
  open3[0]!.close();
  await eventually(() => server.connectionsOpen === 2);
  const socket = await open(port);
  socket.send('GET /again');
  assert.equal((await socket.answer()).status, 200);
});

test('HTTP/1.0 is answered as HTTP/1.0, and the connection is closed', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.write('GET /old HTTP/1.0\r\n\r\n');
  const answer = await socket.answer();
  assert.equal(answer.statusLine, 'HTTP/1.0 200 OK');
  assert.deepEqual(namesOf(answer), ['content-type', 'content-length', 'date']);
  assert.equal(bodyOf(answer).path, '/old');
  await socket.ended();
});

test('a request with `connection: close` is answered with it, and the connection is closed', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.send('GET /a', { connection: 'close' });
  assert.deepEqual((await socket.answer()).headers.at(-2), ['connection', 'close']);
  await socket.ended();
});

test('a request without a host header is taken', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.write('GET /a HTTP/1.1\r\n\r\n');
  assert.equal((await socket.answer()).status, 200);
});

test('bytes that are no request are answered with 400 and the connection is closed', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.write('garbage\r\n\r\n');
  const answer = await socket.answer();
  assert.equal(answer.status, 400);
  assert.deepEqual(namesOf(answer), ['connection', 'content-length', 'date']);
  await socket.ended();
});

test('request headers that are too large are refused', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.send('GET /a', { 'x-large': 'x'.repeat(100_000) });
  assert.equal((await socket.answer()).status, 431);
});

test('bodies come whole, in one piece or many, with or without their length', async () => {
  const { port } = await serve(echo(300_000));
  const socket = await open(port);
  const large = 'abc'.repeat(90_000);
  for (const body of ['', 'x', large]) {
    socket.send('POST /a', {}, body);
    assert.equal(bodyOf(await socket.answer()).body, body);
  }
  socket.write('POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nab');
  socket.write('cdef');
  assert.equal(bodyOf(await socket.answer()).body, 'abcdef');
  socket.write(
    'POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n',
  );
  assert.equal(bodyOf(await socket.answer()).body, 'abcdefg');
  const pieces = Array.from({ length: 20 }, () => `2710\r\n${'z'.repeat(10_000)}\r\n`);
  socket.write(
    `POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${pieces.join('')}0\r\n\r\n`,
  );
  assert.equal(bodyOf(await socket.answer()).body, 'z'.repeat(200_000));
});

test('a body above the limit is answered with 413, whether its length was announced or not; one of the limit is taken', async () => {
  const { port } = await serve(echo(10));
  const socket = await open(port);
  socket.send('POST /a', {}, 'x'.repeat(10));
  assert.equal((await socket.answer()).status, 200);
  socket.send('POST /a', {}, 'x'.repeat(11));
  const refused = await socket.answer();
  assert.equal(refused.status, 413);
  assert.match(refused.body.toString(), /larger than 10 bytes/);
  socket.write(
    'POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n',
  );
  assert.equal((await socket.answer()).status, 413);
  socket.send('GET /still-there');
  assert.equal((await socket.answer()).status, 200);
});

test('bodies for which there is no room are answered with 503, until those that have it are read or gone', async () => {
  const room = new Semaphore(100_000);
  const { port } = await serve(echo(90_000, room));
  const [first, second, third] = [await open(port), await open(port), await open(port)];
  first.send('POST /first', { 'content-length': '90000' });
  // What is announced and does not come takes nothing.
  second.send('POST /second', {}, 'x'.repeat(90_000));
  assert.equal((await second.answer()).status, 200);
  assert.equal(room.held, 0);
  first.write('x'.repeat(70_000));
  await eventually(() => room.held === 90_000);
  third.send('POST /third', { 'transfer-encoding': 'chunked' });
  third.write('4e20\r\n');
  third.write('x'.repeat(20_000));
  const refused = await third.answer();
  assert.equal(refused.status, 503);
  assert.match(JSON.parse(refused.body.toString()), /more than 100000 bytes/);
  assert.equal(room.held, 90_000);
  first.close();
  await eventually(() => room.held === 0);
  second.send('POST /again', {}, 'x'.repeat(90_000));
  assert.equal((await second.answer()).status, 200);
});

test('a client that waits for `100 Continue` gets it, but not for a body that is too large', async () => {
  const { port } = await serve(echo(10));
  const socket = await open(port);
  socket.write('POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n');
  assert.equal((await socket.answer()).status, 100);
  socket.write('abc');
  assert.equal(bodyOf(await socket.answer()).body, 'abc');
  socket.write('POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n');
  assert.equal((await socket.answer()).status, 413);
});

test('an incomplete request is answered with 408 when its time is over', async () => {
  const { port } = await serve(echo(), { headersTimeoutMs: 60, requestTimeoutMs: 60 });
  const headless = await open(port);
  headless.write('GET /a HTT');
  assert.equal((await headless.answer()).status, 408);
  await headless.ended();
  const bodyless = await open(port);
  bodyless.write('POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab');
  assert.equal((await bodyless.answer()).status, 408);
  await bodyless.ended();
});

test('a connection beyond the limit is closed, and the log says so; when one goes, another may come', async () => {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const { port } = await serve(echo(), { connectionsMax: 2, logger, clock });
  const isServed = async () => {
    const socket = await open(port);
    socket.send('GET /a');
    return socket.answer().then(
      () => socket,
      () => null,
    );
  };
  const first = await isServed();
  assert.ok(await isServed());
  for (let i = 0; i < 3; i++) assert.equal(await isServed(), null);
  clock.advance(60_000);
  assert.equal(await isServed(), null);
  assert.equal(logger.lines.length, 2, 'once a minute');
  first?.close();
  let next: HttpSocket | null = null;
  while (next === null) next = await isServed();
});

test('an idle connection is kept for the time given, then closed', async () => {
  const { port } = await serve(echo(), { idleConnectionMs: 50 });
  const socket = await open(port);
  socket.send('GET /a');
  await socket.answer();
  await socket.ended();
});

test('a peer that goes away before the answer is noticed', async () => {
  const gone = Promise.withResolvers<number>();
  let arrived: () => void = () => {};
  const { server, port } = await serve((exchange) => {
    exchange.onEnded = (status) => gone.resolve(status);
    exchange.onPeerGone(() => {});
    arrived();
  });
  const socket = await open(port);
  const request = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  socket.send('GET /a');
  await request;
  assert.equal(server.active.size, 1);
  socket.close();
  assert.equal(await gone.promise, 499);
});

test('other upgrades than the WebSocket are ordinary requests', async () => {
  const { port } = await serve(echo());
  const socket = await open(port);
  socket.send('GET /a', {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
  });
  assert.equal((await socket.answer()).status, 200);
  const webSocket = await open(port);
  webSocket.send('GET /a', { connection: 'Upgrade', upgrade: 'websocket' });
  assert.equal((await webSocket.ended()).toString(), 'an upgrade');
});

test('by default both loopbacks are listened on, on the same port', async (t) => {
  const { server, port } = await serve(echo(), { hosts: undefined });
  assert.deepEqual(server.addresses[0], { host: '127.0.0.1', port });
  if (server.addresses.length === 1) return t.diagnostic('this machine has no IPv6');
  assert.deepEqual(server.addresses[1], { host: '::1', port });
  for (const host of ['127.0.0.1', '::1']) {
    const socket = await open(port, host);
    socket.send('GET /a');
    assert.equal((await socket.answer()).status, 200);
  }
});

test('an address that cannot be listened on is an error that names it, and nothing is left open', async () => {
  const { port } = await serve(echo());
  const again = new HttpServer(
    { hosts: ['127.0.0.1'], port, clock: systemClock, ...HTTP_LIMITS },
    { request() {}, isUpgrade: () => false, upgrade() {} },
  );
  await assert.rejects(
    again.listen(),
    (error) =>
      error instanceof ListenError &&
      error.code === 'CANNOT_LISTEN' &&
      error.port === port &&
      /in use/.test(error.message),
  );
  assert.deepEqual(again.addresses, []);
  const foreign = new HttpServer(
    { hosts: ['127.0.0.1', '192.0.2.1'], port: 0, clock: systemClock, ...HTTP_LIMITS },
    { request() {}, isUpgrade: () => false, upgrade() {} },
  );
  await assert.rejects(foreign.listen(), /192\.0\.2\.1.*no such address/);
  assert.deepEqual(foreign.addresses, []);
});

test('stop waits for answers that are on their way, tells their clients, and takes no new connection', async () => {
  const held: HttpExchange[] = [];
  const { server, port } = await serve((exchange) => held.push(exchange));
  const idle = await open(port);
  idle.send('GET /idle');
  const busy = await open(port);
  while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
  held.shift()?.respond(200, '', null);
  await idle.answer();
  busy.send('GET /a');
  while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const stopped = server.stop(10_000);
  await idle.ended();
  await assert.rejects(HttpSocket.open(port), /ECONNREFUSED/);
  held[0]?.respond(200, 'done', CONTENT_TYPE_TEXT);
  const answer = await busy.answer();
  assert.equal(answer.body.toString(), 'done');
  assert.deepEqual(answer.headers.at(-2), ['connection', 'close']);
  await stopped;
});

test('stop cuts what is not answered in time', async () => {
  const { server, port } = await serve(() => {});
  const socket = await open(port);
  socket.send('GET /a');
  while (server.active.size === 0) await new Promise((resolve) => setImmediate(resolve));
  await server.stop(20);
  await socket.ended();
});
