import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { Relay } from '../../src/net/relay/relay.ts';
import { FrameProgress } from '../../src/net/websocket/frame-progress.ts';
import { systemClock } from '../../src/system/time/clock.ts';

test('what is cut while it is being connected stays cut, and what comes later does not', async (t) => {
  const server = createServer({ pauseOnConnect: true });
  const sockets: Socket[] = [];
  const other = createServer((socket) => void sockets.push(socket.on('error', () => {}).resume()));
  for (const each of [server, other]) await once(each.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    for (const each of sockets) each.destroy();
    for (const each of [server, other]) each.close();
  });
  const portOf = (each: typeof server) => (each.address() as AddressInfo).port;
  const at = { host: '127.0.0.1', port: portOf(other) };
  const relay = new Relay(systemClock);
  const come = async () => {
    const client = connect(portOf(server), '127.0.0.1').on('error', () => {});
    const [socket] = (await once(server, 'connection')) as [Socket];
    sockets.push(client, socket);
    return socket;
  };
  const first = await come();
  const passed = relay.pass(first, Buffer.from('x'), at, 'a');
  const closed = relay.closeAll(0);
  assert.equal(await passed, true);
  await closed;
  assert.deepEqual([relay.size, first.destroyed], [0, true]);
  const second = await come();
  assert.equal(await relay.pass(second, Buffer.from('x'), at, 'a'), true);
  assert.equal(relay.size, 1);
  await relay.closeAll(0);
  assert.equal(relay.size, 0);
});

test('a long frame that has begun reaches the client whole before the close frame, in few steps', async (t) => {
  const payload = Buffer.alloc(1_000_000, 7);
  const header = Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(payload.length, 6);
  const head = Buffer.from('HTTP/1.1 101 Switching Protocols\r\n\r\n');
  const server = createServer({ pauseOnConnect: true });
  const other = createServer();
  for (const each of [server, other]) await once(each.listen(0, '127.0.0.1'), 'listening');
  const portOf = (each: typeof server) => (each.address() as AddressInfo).port;
  const client = connect(portOf(server), '127.0.0.1').on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const accepted = once(other, 'connection') as Promise<[Socket]>;
  const relay = new Relay(systemClock);
  const at = { host: '127.0.0.1', port: portOf(other) };
  assert.equal(await relay.pass(socket, Buffer.from('x'), at, 'a'), true);
  const [far] = await accepted;
  t.after(() => {
    for (const each of [client, socket, far.resume()]) each.destroy();
    for (const each of [server, other]) each.close();
  });
  const got: Buffer[] = [];
  const receive = async (length: number) => {
    while (got.reduce((sum, bytes) => sum + bytes.length, 0) < length) {
      const [bytes] = (await once(client, 'data')) as [Buffer];
      got.push(bytes);
    }
  };
  far.write(Buffer.concat([head, header.subarray(0, 3)]));
  await receive(head.length + 3);
  const received = t.mock.method(FrameProgress.prototype, 'received');
  const closed = relay.closeAll(60_000);
  // What comes after the frame is not for the client any more.
  far.write(Buffer.concat([header.subarray(3), payload, Buffer.from([0x82, 1, 5])]));
  const whole = Buffer.concat([head, header, payload, Buffer.from([0x88, 0])]);
  await receive(whole.length);
  assert.ok(Buffer.concat(got).equals(whole));
  assert.ok(received.mock.callCount() < 1_000, `${received.mock.callCount()} steps`);
  client.destroy();
  await closed;
});
