import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import type { FrameConnection, FrameListener } from '../../src/net/connection.ts';
import { HttpServer } from '../../src/net/http/server.ts';
import { CLOSE_WITHOUT_CODE, upgradeProblem, WebSocketServer } from '../../src/net/websocket/server.ts';
import { EndOfTurn } from '../../src/system/event-loop/end-of-turn.ts';
import { type Clock, systemClock } from '../../src/system/time/clock.ts';
import { HTTP_LIMITS } from '../support/network/http-limits.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

/** The server's end of a connection, and what it heard. */
interface ServerEnd {
  readonly connection: FrameConnection;
  readonly heard: string[];
}

const running: HttpServer[] = [];
after(async () => {
  for (const server of running) await server.stop(0);
});

async function serve(
  frameBytesMax = 1_000_000,
  clock: Clock = systemClock,
  mayWrite?: () => boolean,
): Promise<{ readonly port: number; readonly ends: ServerEnd[] }> {
  const ends: ServerEnd[] = [];
  const turn = new EndOfTurn(systemClock);
  const webSockets = new WebSocketServer({
    turn,
    frameBytesMax,
    clock,
    date: () => 'Mon, 23 Nov 2026 20:35:04 GMT',
  });
  const listenerOf = (connection: FrameConnection): FrameListener => {
    const heard: string[] = [];
    ends.push({ connection, heard });
    return {
      alive: () => heard.push('alive'),
      message: (bytes) => heard.push(`message of ${bytes.length}`),
      closed: (orderly) => heard.push(orderly ? 'closed' : 'broken'),
      drained: () => heard.push('drained'),
    };
  };
  const server = new HttpServer(
    { hosts: ['127.0.0.1'], port: 0, clock: systemClock, ...HTTP_LIMITS },
    {
      request() {},
      isUpgrade: () => true,
      upgrade: (request, socket, head) => webSockets.accept(request, socket, head, listenerOf, mayWrite),
    },
  );
  await server.listen();
  running.push(server);
  return { port: server.addresses[0]!.port, ends };
}

/** A client of `ws`, and what it heard. */
async function connect(port: number): Promise<{ readonly client: WebSocket; readonly heard: string[] }> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/consumer`);
  const heard: string[] = [];
  client.on('message', (data: Buffer, isBinary) =>
    heard.push(`${isBinary ? 'message' : 'text'} of ${data.length}`),
  );
  client.on('ping', (data) => heard.push(`ping of ${data.length}`));
  client.on('pong', (data) => heard.push(`pong of ${data.length}`));
  client.on('error', () => {});
  client.on('close', (code, reason) => heard.push(`close ${code} ${reason}`));
  await new Promise((resolve) => client.once('open', resolve));
  return { client, heard };
}

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

test('what a turn has left for a peer is dropped if it may not be written any more, and the connection cut', async () => {
  let mayWrite = true;
  const { port, ends } = await serve(1_000, systemClock, () => mayWrite);
  const { client, heard } = await connect(port);
  const [{ connection }] = ends as [ServerEnd];
  connection.send(new Uint8Array(5));
  await eventually(() => heard.length > 0);
  connection.send(new Uint8Array(7));
  mayWrite = false;
  await eventually(() => client.readyState === WebSocket.CLOSED);
  assert.deepEqual(heard, ['message of 5', 'close 1006 ']);
});

test('an upgrade is answered with the bytes of the recordings, whatever extensions are offered', async () => {
  const { port } = await serve();
  const socket = await HttpSocket.open(port);
  socket.send('GET /consumer', { ...UPGRADE, 'sec-websocket-extensions': 'permessage-deflate' });
  const answer = await socket.answer();
  assert.equal(answer.statusLine, 'HTTP/1.1 101 Switching Protocols');
  assert.deepEqual(answer.headers, [
    ['connection', 'upgrade'],
    ['upgrade', 'websocket'],
    ['sec-websocket-accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
    ['date', 'Mon, 23 Nov 2026 20:35:04 GMT'],
  ]);
  socket.close();
});

test('what makes a request no upgrade is said', () => {
  const problemOf = (headers: Record<string, string | undefined>) =>
    upgradeProblem((name) => ({ ...UPGRADE, ...headers })[name]);
  assert.equal(problemOf({}), null);
  assert.equal(problemOf({ connection: 'keep-alive, UPGRADE' }), null);
  assert.match(problemOf({ connection: 'keep-alive' }) ?? '', /^Connection header did not include 'upgrade'/);
  assert.match(problemOf({ connection: undefined }) ?? '', /^Connection header/);
  assert.match(problemOf({ upgrade: 'h2c' }) ?? '', /Upgrade/);
  assert.match(problemOf({ 'sec-websocket-version': '12' }) ?? '', /Sec-WebSocket-Version/);
  assert.match(problemOf({ 'sec-websocket-key': undefined }) ?? '', /`Sec-WebSocket-Key` header missing/);
  assert.match(problemOf({ 'sec-websocket-key': 'short' }) ?? '', /16 bytes/);
});

test('frames of every length arrive whole and in order, with pings and pongs between them', async () => {
  const { port, ends } = await serve();
  const { client, heard } = await connect(port);
  await eventually(() => ends.length === 1);
  const { connection } = ends[0]!;
  const lengths = [0, 1, 125, 126, 65_535, 65_536, 300_000];
  for (const length of lengths) connection.send(new Uint8Array(length));
  connection.ping(Uint8Array.of(1, 2, 3));
  connection.pong(new Uint8Array(0));
  assert.ok(connection.bufferedBytes > 300_000);
  await eventually(() => heard.length === lengths.length + 2);
  assert.deepEqual(heard, [...lengths.map((length) => `message of ${length}`), 'ping of 3', 'pong of 0']);
  assert.equal(connection.bufferedBytes, 0);
  client.terminate();
});

test('what goes to a peer in one turn is one write', async () => {
  const { port, ends } = await serve();
  const socket = await HttpSocket.open(port);
  socket.send('GET /consumer', UPGRADE);
  await socket.answer();
  await eventually(() => ends.length === 1);
  for (let i = 0; i < 3; i++) ends[0]?.connection.send(Uint8Array.of(i));
  ends[0]?.connection.terminate();
  assert.equal((await socket.ended()).length, 0, 'nothing was written before the turn ended');
});

test('whatever arrives is a sign of life, and comes before its message', async () => {
  const { port, ends } = await serve();
  const { client } = await connect(port);
  client.send(Uint8Array.of(1, 2, 3));
  client.ping();
  client.pong();
  await eventually(() => ends[0]?.heard.length === 4);
  assert.deepEqual(ends[0]?.heard, ['alive', 'message of 3', 'alive', 'alive']);
  client.terminate();
});

test('a text frame ends the connection and says why', async () => {
  const { port, ends } = await serve();
  const { client, heard } = await connect(port);
  client.send('hello');
  client.send(Uint8Array.of(1));
  await eventually(() => heard.length === 1 && ends[0]?.heard.includes('closed') === true);
  assert.match(heard[0] ?? '', /^close 1003 text frames are not understood/);
  assert.ok(!ends[0]?.heard.includes('message of 1'), 'nothing is heard after it');
});

test('a message above the limit, an unmasked frame and a reserved bit end the connection', async () => {
  const { port, ends } = await serve(100);
  const { client, heard } = await connect(port);
  client.send(new Uint8Array(101));
  await eventually(() => heard.length === 1);
  assert.match(heard[0] ?? '', /^close 1009/);
  for (const frame of ['8200', 'c28000000000']) {
    const socket = await HttpSocket.open(port);
    socket.send('GET /consumer', UPGRADE);
    await socket.answer();
    socket.write(Buffer.from(frame, 'hex'));
    const rest = await socket.ended();
    assert.equal(rest.subarray(0, 4).toString('hex'), '880203ea', 'a close frame with 1002');
  }
  await eventually(
    () => ends.length === 3 && ends.every((end) => /closed|broken/.test(end.heard.at(-1) ?? '')),
  );
});

/** A masked frame of a client; the mask is 0. `announced`: the length that it claims. */
function frame(firstByte: number, payload: Uint8Array, announced = payload.length): Buffer {
  return Buffer.concat([Uint8Array.of(firstByte, 0x80 | announced, 0, 0, 0, 0), payload]);
}

test('a message that is not complete after two minutes ends the connection, signs of life or not', async () => {
  const [FIRST, MIDDLE, LAST, PING] = [0x02, 0x00, 0x80, 0x89];
  const clock = new ManualClock();
  const { port, ends } = await serve(1_000_000, clock);
  const payload = Uint8Array.of(1, 2, 3);
  const socket = await HttpSocket.open(port);
  socket.send('GET /consumer', UPGRADE);
  await socket.answer();
  let alive = 0;
  /** Sends the frames and a ping, and waits until they are there. */
  const sent = async (...frames: readonly Buffer[]) => {
    socket.write(Buffer.concat([...frames, frame(PING, new Uint8Array(0))]));
    alive += 1;
    await eventually(() => ends[0]?.heard.filter((what) => what === 'alive').length === alive);
  };
  await sent(frame(FIRST, payload));
  clock.advance(119_000);
  alive += 1;
  await sent(frame(LAST, payload), frame(FIRST, payload));
  assert.ok(ends[0]?.heard.includes('message of 6'));
  clock.advance(119_000);
  await sent(frame(MIDDLE, payload));
  assert.ok(
    !ends[0]?.heard.some((what) => /closed|broken/.test(what)),
    'each message has its own two minutes',
  );
  clock.advance(1_000);
  const rest = await socket.ended();
  assert.ok(
    rest.includes(Buffer.from('\x03\xf0a message was not complete after 120 s', 'latin1')),
    'close 1008',
  );
  await eventually(() => ends[0]?.heard.at(-1) === 'broken');
  assert.equal(clock.timersPending, 0);
});

test('a frame that stops in its header or its payload ends the connection likewise', async () => {
  const clock = new ManualClock();
  const { port, ends } = await serve(1_000_000, clock);
  const whole = frame(0x82, Uint8Array.of(1, 2, 3), 100);
  const starts = [whole.subarray(0, 1), whole.subarray(0, 5), whole];
  const sockets = await Promise.all(starts.map(() => HttpSocket.open(port)));
  for (const [i, socket] of sockets.entries()) {
    socket.send('GET /consumer', UPGRADE);
    await socket.answer();
    socket.write(starts[i]!);
  }
  await eventually(() => clock.timersPending === starts.length);
  clock.advance(120_000);
  for (const socket of sockets) assert.equal((await socket.ended()).readUInt16BE(2), 1008);
  await eventually(() => ends.every(({ heard }) => heard.at(-1) === 'broken'));
});

test('a peer that closes in good order is told from one that breaks off', async () => {
  const { port, ends } = await serve();
  const orderly = await connect(port);
  const codeless = await connect(port);
  const broken = await connect(port);
  orderly.client.close(1000, 'bye');
  codeless.client.close();
  broken.client.terminate();
  await eventually(() => ends.length === 3 && ends.every((end) => end.heard.length === 1));
  assert.deepEqual(
    ends.map((end) => end.heard[0]),
    ['closed', 'closed', 'broken'],
  );
});

test('closing flushes what was sent, clips the reason to what a frame holds, and can be without a code', async () => {
  const { port, ends } = await serve();
  const one = await connect(port);
  const other = await connect(port);
  await eventually(() => ends.length === 2);
  ends[0]?.connection.send(Uint8Array.of(1));
  ends[0]?.connection.close(1007, 'é'.repeat(200));
  ends[0]?.connection.send(Uint8Array.of(2));
  ends[1]?.connection.close(CLOSE_WITHOUT_CODE, '');
  await eventually(() => one.heard.length === 2 && other.heard.length === 1);
  assert.deepEqual(one.heard, ['message of 1', `close 1007 ${'é'.repeat(61)}`]);
  assert.deepEqual(other.heard, ['close 1005 ']);
});
