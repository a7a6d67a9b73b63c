import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { Relay } from '../../src/net/relay/relay.ts';
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
