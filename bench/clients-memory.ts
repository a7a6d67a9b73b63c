/**
 * Memory of producer, consumer and queue while a submission of 100 million operations goes through, chunk size 10 000.
 *
 *     npm run bench -- clients-memory [--folder FOLDER] [--quick] [--json]
 *
 * The operations come from a generator, the results are counted and dropped; chunks in a `file:` store (2.6 GB; with
 * `--quick` a tenth). To stay below 300 MB each, for producer and consumer.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ProducerClient } from '../src/producer/index.ts';
import { benchArguments } from './support/arguments.ts';
import { startConsumer } from './support/consumer-process.ts';
import { MB, type Row, report } from './support/report.ts';
import { cpuSeconds, residentBytes, startOurs } from './support/server-process.ts';

const CHUNK_SIZE = 10_000;
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

const { json, quick, folder: inside } = benchArguments();
const operations = quick ? 10_000_000 : 100_000_000;
const folder = mkdtempSync(join(inside, 'opsqueue-bench-objects-'));
const server = await startOurs();
const url = `${server.host}:${server.port}`;
const objects = pathToFileURL(folder).href;
const consumer = await startConsumer(url, objects, 0);
const rows: Row[] = [];
try {
  const producer = new ProducerClient(url, objects);
  const began = performance.now();
  let count = 0;
  for await (const _ of producer.runSubmission(words(operations), { chunkSize: CHUNK_SIZE })) count++;
  const seconds = (performance.now() - began) / 1000;
  if (count !== operations) throw new Error(`${count} results of ${operations}`);
  const pids = { producer: process.pid, consumer: consumer.pid };
  for (const [name, pid] of Object.entries(pids)) {
    rows.push({
      process: name,
      'MB at most': residentBytes(pid, 'VmHWM') / MB,
      'MB at the end': residentBytes(pid) / MB,
      'CPU s': cpuSeconds(pid),
      'operations/s': operations / seconds,
    });
  }
  rows.push({
    process: 'queue',
    'MB at most': server.peakResidentBytes()! / MB,
    'MB at the end': server.residentBytes()! / MB,
    'CPU s': server.cpuSeconds(),
    'operations/s': operations / seconds,
  });
  await producer.close();
} finally {
  await consumer.stop();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
report(
  `A submission of ${operations / 1_000_000} million operations (load ${loadavg()[0]!.toFixed(1)})`,
  rows,
  json,
);
