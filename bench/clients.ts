/**
 * Operations per second end to end: producer, queue and consumers, each a process of its own, chunks in a `file:`
 * store; the operation is to upper-case a word.
 *
 *     npm run bench -- clients [--only CHUNK_SIZE | latency] [--quick] [--json]
 *
 * The reference's figures are its Python clients' with its server (documented in docs/performance.md).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openObjectStore } from '../src/objects/open.ts';
import { ProducerClient } from '../src/producer/index.ts';
import { benchArguments } from './support/arguments.ts';
import { startConsumer } from './support/consumer-process.ts';
import { type Row, report } from './support/report.ts';
import { runningServer, startOurs } from './support/server-process.ts';
import { slowStore } from './support/slow-store.ts';

interface Case {
  readonly name: string;
  readonly ops: number;
  readonly chunkSize: number;
  readonly consumers: number;
  readonly latencyMs?: number;
  /** The reference's operations per second. */
  readonly reference?: number;
  /** Operations per second to reach. */
  readonly target?: number;
}

const CASES: readonly Case[] = [
  { name: '10 000', ops: 1_000_000, chunkSize: 10_000, consumers: 1, reference: 93_000, target: 700_000 },
  { name: '10 000', ops: 1_000_000, chunkSize: 10_000, consumers: 4 },
  { name: '1 000', ops: 1_000_000, chunkSize: 1_000, consumers: 1, reference: 19_500, target: 600_000 },
  { name: '1 000', ops: 1_000_000, chunkSize: 1_000, consumers: 4, reference: 63_000 },
  { name: '100', ops: 100_000, chunkSize: 100, consumers: 1, reference: 1_980, target: 200_000 },
  { name: '100', ops: 100_000, chunkSize: 100, consumers: 4, reference: 6_500 },
  { name: '1', ops: 5_000, chunkSize: 1, consumers: 1 },
  { name: '1', ops: 5_000, chunkSize: 1, consumers: 4, reference: 76, target: 5_000 },
  // Three phases of 200 transfers, 16 at once, 20 ms each: 750 ms; to reach: 1.5 times that.
  { name: 'latency', ops: 200_000, chunkSize: 1_000, consumers: 1, latencyMs: 20, target: 200_000 / 1.125 },
];

const WORDS = [
  'reservation',
  'submission',
  'chunk',
  'operation',
  'consumer',
  'producer',
  'strategy',
  'queue',
];

function* words(total: number): Generator<string> {
  for (let i = 0; i < total; i++) yield WORDS[i & 7]!;
}

async function measure(each: Case, url: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-objects-'));
  const objects = pathToFileURL(folder).href;
  const latencyMs = each.latencyMs ?? 0;
  const store = latencyMs === 0 ? objects : slowStore(await openObjectStore(objects), latencyMs);
  const consumers = await Promise.all(
    Array.from({ length: each.consumers }, () => startConsumer(url, objects, latencyMs)),
  );
  const producer = new ProducerClient(url, store);
  // Connections, compiled code: a smaller run first.
  const warmUp = Math.min(each.ops / 5, 1_000 * each.chunkSize);
  await run(producer, warmUp, each.chunkSize);
  const seconds = await run(producer, each.ops, each.chunkSize);
  await producer.close();
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  rmSync(folder, { recursive: true, force: true });
  return seconds;
}

async function run(producer: ProducerClient, ops: number, chunkSize: number): Promise<number> {
  const began = performance.now();
  let next = 0;
  for await (const result of producer.runSubmission(words(ops), { chunkSize })) {
    if (result !== WORDS[next & 7]!.toUpperCase()) throw new Error(`result ${next} is ${result}`);
    next++;
  }
  if (next !== ops) throw new Error(`${next} results of ${ops}`);
  return (performance.now() - began) / 1000;
}

const { json, quick, only, urls } = benchArguments();
const server = urls[0] === undefined ? await startOurs() : runningServer(urls[0]);
const rows: Row[] = [];
for (const each of CASES) {
  if (only !== null && each.name.replace(' ', '') !== only) continue;
  const ops = quick ? Math.ceil(each.ops / 5 / each.chunkSize) * each.chunkSize : each.ops;
  const seconds = await measure({ ...each, ops }, `${server.host}:${server.port}`);
  rows.push({
    'chunk size': each.name,
    operations: ops,
    consumers: each.consumers,
    seconds,
    'operations/s': ops / seconds,
    'chunks/s': ops / each.chunkSize / seconds,
    reference: each.reference ?? null,
    'to reach': each.target ?? null,
  });
}
await server.stop();
report('End to end, chunks in a file: store', rows, json);
