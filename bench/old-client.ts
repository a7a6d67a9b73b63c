/**
 * What a client of the original gets: one that leaves Nagle's algorithm on and sends reserve, complete, reserve, ...
 * each in a packet of its own. Without the server's empty pong every cycle waits 40 ms for a TCP acknowledgement.
 *
 *     npm run bench -- old-client [--original COMMAND | --url HOST:PORT] [--json] [--quick]
 */
import { randomUUID } from 'node:crypto';
import { benchArguments } from './support/arguments.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { RawProducer } from './support/raw-producer.ts';
import { type Row, report } from './support/report.ts';
import { type MeasuredServer, runningServer, startOriginal, startOurs } from './support/server-process.ts';

const { json, quick, urls, original } = benchArguments();
const seconds = quick ? 1 : 5;

async function cyclesPerSecond(server: MeasuredServer, connections: number): Promise<number> {
  const producer = await RawProducer.connect(server.host, server.port);
  await producer.insert(randomUUID(), server.name === 'opsqueue' ? 1_000_000 : 20_000);
  producer.close();
  const strategy = cborStrategy('Oldest');
  const consumers = await Promise.all(
    Array.from({ length: connections }, () => RawConsumer.connect(server.host, server.port, { nagle: true })),
  );
  let cycles = 0;
  const began = performance.now();
  for (const consumer of consumers) {
    consumer.onChunks = ([chunk]) => {
      cycles++;
      if (chunk === undefined) throw new Error('an answer without a chunk');
      consumer.complete(chunk);
      consumer.flush();
      consumer.reserve(1, strategy);
      consumer.flush();
    };
    consumer.reserve(1, strategy);
    consumer.flush();
  }
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const taken = (performance.now() - began) / 1000;
  for (const consumer of consumers) consumer.close();
  return cycles / taken;
}

const rows: Row[] = [];
const servers = urls.length > 0 ? urls.map(runningServer) : [await startOurs()];
if (original !== null && urls.length === 0) servers.push(await startOriginal(original));
for (const server of servers) {
  for (const connections of [1, 64]) {
    const perSecond = await cyclesPerSecond(server, connections);
    rows.push({
      server: server.name,
      connections,
      'cycles/s': perSecond,
      'per connection': perSecond / connections,
    });
  }
  await server.stop();
}
report("Reserve and complete, one at a time, Nagle's algorithm on", rows, json);
