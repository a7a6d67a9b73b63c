import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { CONTENT_TYPE_TEXT, type HttpExchange } from '../../src/net/http/exchange.ts';
import { HttpServer } from '../../src/net/http/server.ts';
import { HTTP_LIMITS } from '../support/network/http-limits.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

/** More than the kernel keeps for a connection. */
const LARGE = 'x'.repeat(16 * 1024 * 1024);
const VERSIONS = ['1.1', '1.0'] as const;

/** Counts the timers that are armed: each time that something is awaited from the peer. */
class CountingClock extends ManualClock {
  armed = 0;

  override after(delayMs: number, run: () => void) {
    this.armed++;
    return super.after(delayMs, run);
  }
}

const running: HttpServer[] = [];
after(async () => {
  for (const server of running) await server.stop(0);
});

async function serve(request: (exchange: HttpExchange) => void) {
  const clock = new CountingClock();
  const server = new HttpServer(
    { hosts: ['127.0.0.1'], port: 0, clock, ...HTTP_LIMITS },
    { request, isUpgrade: () => false, upgrade() {} },
  );
  await server.listen();
  running.push(server);
  return { clock, server, port: server.addresses[0]!.port };
}

const respondLarge = (exchange: HttpExchange) => exchange.respond(200, LARGE, CONTENT_TYPE_TEXT);

/** A peer that does not read. */
async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket.pause();
}

async function asked(port: number, version: string): Promise<Socket> {
  const socket = await connected(port);
  socket.write(`GET /large HTTP/${version}\r\nhost: localhost\r\n\r\n`);
  return socket;
}

for (const version of VERSIONS) {
  test(`an answer in HTTP/${version} of which the peer takes nothing for a minute is given up`, async () => {
    const { clock, server, port } = await serve(respondLarge);
    const socket = await asked(port, version);
    await eventually(() => clock.timersPending === 1);
    clock.advance(60_000);
    await eventually(() => server.active.size === 0);
    assert.equal(clock.timersPending, 0);
    socket.destroy();
  });

  test(`a peer that takes its time gets all of an answer in HTTP/${version}`, async () => {
    const { clock, server, port } = await serve(respondLarge);
    const socket = await asked(port, version);
    let received = 0;
    socket.on('data', (piece: Buffer) => {
      received += piece.length;
    });
    const isComplete = () => received > LARGE.length;
    while (!isComplete()) {
      const { armed } = clock;
      socket.resume();
      await eventually(() => clock.armed > armed || isComplete());
      socket.pause();
      clock.advance(59_000);
    }
    await eventually(() => server.active.size === 0 && clock.timersPending === 0);
    socket.destroy();
  });
}

test('an answer that stands behind another waits for its turn as long as that takes, and then for its peer', async () => {
  const held: HttpExchange[] = [];
  const { clock, server, port } = await serve((exchange) => {
    if (exchange.path === '/slow') held.push(exchange);
    else respondLarge(exchange);
  });
  const pipelined = 'GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET /large HTTP/1.1\r\nhost: a\r\n\r\n';
  const [reading, silent] = [await connected(port), await connected(port)];
  reading.write(pipelined);
  silent.write(pipelined);
  await eventually(() => server.active.size === 4);
  clock.advance(600_000);
  for (const exchange of held) exchange.respond(200, 'slow', CONTENT_TYPE_TEXT);
  let received = 0;
  reading.on('data', (piece: Buffer) => {
    received += piece.length;
  });
  reading.resume();
  await eventually(() => received > LARGE.length && server.active.size === 1);
  clock.advance(60_000);
  await eventually(() => server.active.size === 0);
  reading.destroy();
  silent.destroy();
});

test('a small answer arms no timer', async () => {
  const { clock, port } = await serve((exchange) => exchange.respond(200, 'small', CONTENT_TYPE_TEXT));
  const socket = await HttpSocket.open(port);
  socket.send('GET /small');
  assert.equal((await socket.answer()).body.toString(), 'small');
  assert.equal(clock.armed, 0);
  socket.close();
});

test('a connection in HTTP/1.0 ends with its answer, also where the peer does not close its side', async () => {
  const { clock, server, port } = await serve((exchange) =>
    exchange.respond(413, 'small', CONTENT_TYPE_TEXT),
  );
  for (const head of ['GET /a HTTP/1.0\r\n\r\n', 'POST /a HTTP/1.0\r\ncontent-length: 10\r\n\r\n']) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(head);
    let received = '';
    socket.on('data', (piece: Buffer) => {
      received += piece.toString();
    });
    await once(socket, 'end');
    assert.match(received, /\r\n\r\nsmall$/);
    if (head.startsWith('POST')) {
      assert.equal(server.active.size, 1, 'what it sends is read to its end');
      socket.write('0123456789');
    }
    await eventually(() => server.active.size === 0);
    socket.destroy();
  }
  assert.equal(clock.armed, 0);
});
