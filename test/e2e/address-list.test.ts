import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { freePort } from '../support/network/free-port.ts';
import { TcpProxy } from '../support/network/tcp-proxy.ts';
import { TestServer } from '../support/queues/test-server.ts';

test('a job goes on by the second address when the first one dies, and by the first when the second dies', async () => {
  await using server = await TestServer.start();
  const pass = () => ({});
  const first = await TcpProxy.start(server.port, pass, await freePort());
  const second = await TcpProxy.start(server.port, pass);
  const url = `127.0.0.1:${first.port},127.0.0.1:${second.port}/q/nightly`;
  await using producer = new ProducerClient<number, number>(url, null, { logger: null });
  const consumer = new ConsumerClient(url, null, { logger: null });
  const running = consumer.runEachOp((n: number) => n + 1);
  const results: number[] = [];
  const ops = Array.from({ length: 600 }, (_, i) => i);
  let again: TcpProxy | null = null;
  for await (const result of producer.runSubmission(ops, { in: 'queue', chunkSize: 1 })) {
    results.push(result);
    if (results.length === 100) await first[Symbol.asyncDispose]();
    if (results.length !== 300) continue;
    again = await TcpProxy.start(server.port, pass, first.port);
    await second[Symbol.asyncDispose]();
  }
  assert.deepEqual(
    results,
    ops.map((n) => n + 1),
  );
  assert.ok(second.links > 0);
  await consumer.stop();
  await running;
  await again?.[Symbol.asyncDispose]();
});
