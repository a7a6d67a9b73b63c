/** Where no connection came about, nothing was inserted: that is certain, and the error says why. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ProducerClient, QueueUnreachableError } from '../../src/producer/index.ts';
import { listening } from '../support/fakes/fake-server.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freePort } from '../support/network/free-port.ts';
import { TLS_CERTIFICATE, TLS_KEY } from '../support/network/tls-certificate.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

/** An insert fails with an error of that text; its chunk was uploaded and is removed again. */
async function nothingStays(
  url: string,
  text: RegExp,
  options: { readonly requestTimeoutMs?: number; readonly retryForMs?: number } = {},
) {
  const objects = watchedStore(freshStore());
  const logger = recordingLogger();
  await using producer = new ProducerClient(url, objects, { logger, ...options });
  const isClear = (error: unknown) => {
    assert.ok(error instanceof QueueUnreachableError);
    assert.match(error.message, text);
    assert.doesNotMatch(error.message, /not known/);
    return true;
  };
  await assert.rejects(producer.insertSubmission([1], { chunkSize: 1 }), isClear);
  assert.equal(objects.puts.length, 1);
  assert.deepEqual(await objects.keys(), []);
  assert.ok(!logger.lines.some(({ message }) => message.includes('its chunks stay')));
  await assert.rejects(producer.insertSubmission([1], { in: 'queue', chunkSize: 1 }), isClear);
}

test('an unknown authority, or another name in the certificate: at once, and no request reaches the server', async () => {
  let requests = 0;
  const server = https.createServer({ cert: TLS_CERTIFICATE, key: TLS_KEY }, () => requests++);
  const running = await listening(server);
  const { port } = new URL(running.origin);
  await nothingStays(
    `https://127.0.0.1:${port}`,
    /nothing was sent: self-signed certificate.*NODE_EXTRA_CA_CERTS/,
  );
  assert.equal(requests, 0);
  await running.stop();
});

test('https to a port without TLS', async () => {
  let requests = 0;
  const running = await listening(http.createServer(() => requests++));
  const { port } = new URL(running.origin);
  await nothingStays(`https://127.0.0.1:${port}`, /nothing was sent: .*wrong version number.*http:\/\//s);
  assert.equal(requests, 0);
  await running.stop();
});

test('nobody there, no such host, or cut while TLS is negotiated: after the time for retries', async () => {
  await nothingStays(`127.0.0.1:${await freePort()}`, /ECONNREFUSED/, { retryForMs: 0 });
  await nothingStays('nowhere.invalid', /ENOTFOUND|EAI_AGAIN/, { retryForMs: 0 });
  const rude = net.createServer((socket) => socket.once('data', () => socket.destroy()));
  rude.listen(0, '127.0.0.1');
  await once(rude, 'listening');
  const { port } = rude.address() as AddressInfo;
  await nothingStays(`https://127.0.0.1:${port}`, /before secure TLS connection/, { retryForMs: 0 });
  rude.close();
});

test('a peer that never answers the TLS handshake', async () => {
  const silent = net.createServer((socket) => socket.on('error', () => {}));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const hasty = { requestTimeoutMs: 50, retryForMs: 0 };
  await nothingStays(`https://127.0.0.1:${port}`, /no connection within 5\d ms/, hasty);
  silent.close();
});
