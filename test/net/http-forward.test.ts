import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { CONTENT_TYPE_TEXT, type HttpExchange, RETRY_SOON } from '../../src/net/http/exchange.ts';
import { ForwardLinks } from '../../src/net/http/forward.ts';
import { HttpServer, type HttpServerOptions } from '../../src/net/http/server.ts';
import { Semaphore } from '../../src/system/async/semaphore.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { freePort } from '../support/network/free-port.ts';
import { HTTP_LIMITS } from '../support/network/http-limits.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { eventually } from '../support/time/eventually.ts';

const links = new ForwardLinks();
const running: HttpServer[] = [];
const sockets: HttpSocket[] = [];
after(async () => {
  for (const socket of sockets) socket.close();
  links.close();
  for (const server of running) await server.stop(0);
});

async function serve(
  request: (exchange: HttpExchange) => void,
  options: Partial<HttpServerOptions> = {},
): Promise<{ readonly server: HttpServer; readonly port: number }> {
  const server = new HttpServer(
    { hosts: ['127.0.0.1'], port: 0, clock: systemClock, ...HTTP_LIMITS, ...options },
    { request, isUpgrade: () => false, upgrade: () => {} },
  );
  await server.listen();
  running.push(server);
  return { server, port: server.addresses[0]!.port };
}

/** A server that lets the one at that port answer. */
function before(port: number, options: Partial<HttpServerOptions> = {}) {
  return serve((exchange) => {
    const target = { host: '127.0.0.1', port, links, headers: ['opsqueue-forwarded', 'n1'] };
    exchange.forward(target, (reason) => exchange.respond(503, reason, CONTENT_TYPE_TEXT, RETRY_SOON));
  }, options);
}

async function open(port: number): Promise<HttpSocket> {
  const socket = await HttpSocket.open(port);
  sockets.push(socket);
  return socket;
}

/** Answers with what it got, and how large the body is. */
function echo(exchange: HttpExchange): void {
  const { method, path, query, rawHeaders } = exchange;
  const tell = (body: Uint8Array) => {
    const got = {
      method,
      path,
      query,
      rawHeaders,
      bytes: body.length,
      text: Buffer.from(body).toString('utf8', 0, 40),
    };
    exchange.respond(path === '/missing' ? 404 : 200, JSON.stringify(got), CONTENT_TYPE_TEXT, [
      'opsqueue-x',
      'y',
    ]);
  };
  const limits = { bytesMax: 50_000_000, room: new Semaphore(100_000_000) };
  if (method === 'POST') exchange.readBody(limits, tell);
  else tell(new Uint8Array(0));
}

interface Echoed {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly rawHeaders: readonly string[];
  readonly bytes: number;
  readonly text: string;
}

test('a request is sent on with its headers and its body, and its answer comes back as it was', async () => {
  const back = await serve(echo);
  const front = await before(back.port);
  const direct = await open(back.port);
  const socket = await open(front.port);
  for (const line of ['GET /a?b=c', 'GET /missing', 'HEAD /a']) {
    const headers = { accept: 'x', connection: 'keep-alive, x-hop', 'x-hop': '1', te: 'trailers' };
    const isHead = line.startsWith('HEAD');
    socket.send(line, headers);
    direct.send(line, headers);
    const [answer, wanted] = [await socket.answer(!isHead), await direct.answer(!isHead)];
    assert.equal(answer.statusLine, wanted.statusLine);
    assert.deepEqual(
      answer.headers.map(([name]) => name),
      ['content-type', 'content-length', 'opsqueue-x', 'date'],
    );
    if (isHead) continue;
    const got = JSON.parse(answer.body.toString()) as Echoed;
    assert.equal(`${got.method} ${got.path}${got.query === '' ? '' : `?${got.query}`}`, line);
    const names = got.rawHeaders.filter((_each, i) => i % 2 === 0).map((name) => name.toLowerCase());
    assert.deepEqual(names.toSorted(), ['accept', 'connection', 'host', 'opsqueue-forwarded']);
    assert.equal(got.rawHeaders[got.rawHeaders.indexOf('opsqueue-forwarded') + 1], 'n1');
  }
  socket.send('POST /a', { 'content-type': 'application/json' }, '{"a":1}');
  const posted = JSON.parse((await socket.answer()).body.toString()) as Echoed;
  assert.deepEqual([posted.method, posted.bytes, posted.text], ['POST', 7, '{"a":1}']);
  // In pieces, without a length, after the server has said that it wants the body.
  socket.write(
    'POST /b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n',
  );
  assert.equal((await socket.answer(false)).status, 100);
  socket.write('3\r\nabc\r\n');
  socket.write('2\r\nde\r\n0\r\n\r\n');
  const pieces = JSON.parse((await socket.answer()).body.toString()) as Echoed;
  assert.deepEqual([pieces.bytes, pieces.text], [5, 'abcde']);
  // Without a body, and without a word about one.
  socket.write('POST /c HTTP/1.1\r\nhost: localhost\r\n\r\n');
  assert.equal((JSON.parse((await socket.answer()).body.toString()) as Echoed).bytes, 0);
});

test('a body is framed as such whatever the method is, and whatever the connection is said to be about', async () => {
  const back = await serve((exchange) => {
    exchange.readBody({ bytesMax: 100, room: new Semaphore(100) }, (body) => {
      exchange.respond(200, Buffer.from(body).toString(), CONTENT_TYPE_TEXT);
    });
  });
  const front = await before(back.port);
  const socket = await open(front.port);
  const inPieces = 'transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
  for (const method of ['GET', 'DELETE', 'POST']) {
    socket.write(`${method} /a HTTP/1.1\r\nhost: localhost\r\n${inPieces}`);
    const answer = await socket.answer();
    assert.deepEqual([answer.status, answer.body.toString()], [200, 'abc'], method);
  }
  socket.send('POST /a', { connection: 'content-length, host' }, 'abc');
  assert.equal((await socket.answer()).body.toString(), 'abc');
});

test('a body that was read before goes on as it is', async () => {
  const back = await serve(echo);
  const front = await serve((exchange) => {
    exchange.readBody({ bytesMax: 100, room: new Semaphore(100) }, (body) => {
      const target = { host: '127.0.0.1', port: back.port, links, headers: [], body: Uint8Array.from(body) };
      exchange.forward(target, assert.fail);
    });
  });
  const socket = await open(front.port);
  socket.send('POST /a', {}, 'known');
  socket.write(
    'POST /b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
  );
  socket.write('POST /c HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\nabc');
  for (const text of ['known', 'ab', 'abc']) {
    // Said once, by whoever reads the body.
    if (text === 'abc') assert.equal((await socket.answer(false)).status, 100);
    const got = JSON.parse((await socket.answer()).body.toString()) as Echoed;
    assert.deepEqual([got.bytes, got.text], [text.length, text]);
  }
});

test('large bodies and answers go through whole', async () => {
  const large = Buffer.alloc(8_000_000, 'x');
  const back = await serve((exchange) => {
    if (exchange.method === 'POST') echo(exchange);
    else exchange.respond(200, large, CONTENT_TYPE_TEXT);
  });
  const front = await before(back.port);
  const socket = await open(front.port);
  socket.send('POST /a', {}, large);
  assert.equal((JSON.parse((await socket.answer()).body.toString()) as Echoed).bytes, large.length);
  socket.send('GET /a');
  assert.ok((await socket.answer()).body.equals(large));
});

test('what cannot be reached is told; a request without a body is sent again where a kept connection has ended', async () => {
  const back = await serve(echo, { port: await freePort() });
  const front = await before(back.port);
  const socket = await open(front.port);
  socket.send('GET /a');
  assert.equal((await socket.answer()).status, 200);
  // The link is closed at the other end, and the next request may find that out late.
  back.server.closeIdleConnections();
  socket.send('GET /b');
  assert.equal((await socket.answer()).status, 200);
  await back.server.stop(0);
  for (const line of ['GET /c', 'POST /c']) {
    socket.send(line, {}, line.startsWith('POST') ? 'body' : undefined);
    const refused = await socket.answer();
    assert.deepEqual(
      [refused.status, refused.body.toString()],
      [503, `connect ECONNREFUSED 127.0.0.1:${back.port}`],
    );
    assert.equal(new Map(refused.headers).get('retry-after'), '1');
  }
});

test('a connection that breaks off before the answer is an error only where the request may be sent again', async () => {
  const backs: HttpExchange[] = [];
  let server: HttpServer | null = null;
  const back = await serve((exchange) => {
    backs.push(exchange);
    exchange.readBody({ bytesMax: 100, room: new Semaphore(100) }, () => void server?.stop(0));
  });
  server = back.server;
  const front = await before(back.port);
  const socket = await open(front.port);
  socket.send('POST /a', {}, 'x');
  await socket.ended();
  assert.equal(backs.length, 1);
});

test('a peer that goes away ends the request at the other end', async () => {
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  const { promise: came, resolve: comes } = Promise.withResolvers<void>();
  const back = await serve((exchange) => {
    exchange.onPeerGone(resolve);
    comes();
  });
  const statuses: number[] = [];
  const front = await serve((exchange) => {
    exchange.onEnded = (status) => statuses.push(status);
    exchange.forward({ host: '127.0.0.1', port: back.port, links, headers: [] }, () =>
      assert.fail('it is there'),
    );
  });
  const socket = await open(front.port);
  socket.send('GET /a');
  await came;
  socket.close();
  await gone;
  assert.deepEqual(statuses, [499]);
});

test('a peer that takes nothing of an answer is cut, and so is the link to the other end', async () => {
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  let asked = false;
  const back = await serve((exchange) => {
    asked = true;
    exchange.respond(200, Buffer.alloc(64_000_000), CONTENT_TYPE_TEXT);
  });
  const front = await before(back.port, { answerStallMs: 100 });
  const socket = connect(front.port, '127.0.0.1');
  socket.once('close', resolve).on('error', () => {});
  socket.write('GET /a HTTP/1.1\r\nhost: localhost\r\n\r\n');
  socket.pause();
  await eventually(() => asked && back.server.connectionsOpen === 0);
  socket.resume();
  await gone;
});

test('a server that stops says so with the answer', async () => {
  let stop = () => {};
  const back = await serve((exchange) => {
    stop();
    setImmediate(() => exchange.respond(200, 'late', CONTENT_TYPE_TEXT));
  });
  const front = await before(back.port);
  stop = () => void front.server.stop(1_000);
  const socket = await open(front.port);
  socket.send('GET /a');
  const answer = await socket.answer();
  assert.deepEqual(
    answer.headers.map(([name]) => name),
    ['content-type', 'content-length', 'connection', 'date'],
  );
});
