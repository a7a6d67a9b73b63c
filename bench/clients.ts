/**
 * Operations per second end to end: producer, queue and consumers, each a process of its own, chunks in a `file:`
 * store; the operation is to upper-case a word.
 *
 *     npm run bench -- clients [--only CHUNK_SIZE | latency] [--rounds N] [--folder FOLDER] [--quick] [--json]
 *
 * With several rounds the cases take turns, and the best of each counts: other work on the machine comes and goes.
 *
 * The reference's figures are its Python clients' with its server (documented in docs/performance.md).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openObjectStore } from '../src/objects/open.ts';
import { ProducerClient } from '../src/producer/index.ts';
import { benchArguments } from './support/arguments.ts';
import { startConsumer } from './support/consumer-process.ts';
import { median, type Row, report } from './support/report.ts';
import { cpuSeconds, type MeasuredServer, runningServer, startOurs } from './support/server-process.ts';
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

/** Folders of chunks. Removed in the end: ext4 is slow to make files for minutes after many were removed. */
const folders: string[] = [];

interface Measured {
  readonly seconds: number;
  /** Processor time of all processes, in seconds. */
  readonly cpu: { readonly producer: number; readonly queue: number; readonly consumers: number };
}

async function measure(each: Case, server: MeasuredServer, inside: string): Promise<Measured> {
  const url = `${server.host}:${server.port}`;
  const folder = mkdtempSync(join(inside, 'opsqueue-bench-objects-'));
  folders.push(folder);
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
  const cpu = () => ({
    producer: cpuSeconds(process.pid),
    queue: server.cpuSeconds() ?? 0,
    consumers: consumers.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
  });
  const before = cpu();
  const seconds = await run(producer, each.ops, each.chunkSize);
  const after = cpu();
  await producer.close();
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  return {
    seconds,
    cpu: {
      producer: after.producer - before.producer,
      queue: after.queue - before.queue,
      consumers: after.consumers - before.consumers,
    },
  };
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

const { json, quick, only, urls, rounds, folder } = benchArguments();
const server = urls[0] === undefined ? await startOurs() : runningServer(urls[0]);
const cases = CASES.filter(({ name }) => only === null || name.replace(' ', '') === only).map((each) =>
  quick ? { ...each, ops: Math.ceil(each.ops / 5 / each.chunkSize) * each.chunkSize } : each,
);
const results = new Map<Case, Measured[]>();
const loadBefore = loadavg();
try {
  for (let round = 0; round < rounds; round++) {
    for (const each of cases) {
      const measured = await measure(each, server, folder);
      results.set(each, [...(results.get(each) ?? []), measured]);
    }
  }
} finally {
  await server.stop();
  for (const each of folders) rmSync(each, { recursive: true, force: true });
}
const rows: Row[] = cases.map((each) => {
  const { name, ops, chunkSize, consumers, reference = null, target = null } = each;
  const measured = results.get(each)!;
  const best = measured.reduce((a, b) => (a.seconds <= b.seconds ? a : b));
  const perChunk = (seconds: number) => (seconds / (ops / chunkSize)) * 1_000_000;
  return {
    'chunk size': name,
    operations: ops,
    consumers,
    seconds: best.seconds,
    'operations/s': ops / best.seconds,
    median: median(measured.map(({ seconds }) => ops / seconds)),
    'chunks/s': ops / chunkSize / best.seconds,
    'CPU µs/chunk: producer': perChunk(best.cpu.producer),
    queue: perChunk(best.cpu.queue),
    'consumers ': perChunk(best.cpu.consumers),
    reference,
    'to reach': target,
  };
});
const load = `load of the machine ${loadBefore[0]!.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} after`;
report(`End to end, chunks in a file: store (${load})`, rows, json);
