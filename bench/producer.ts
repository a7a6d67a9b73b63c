/**
 * How many operations a producer uploads and how many results it downloads in a second, by chunk size.
 *
 *     npm run bench -- producer [--url HOST:PORT] [--json] [--quick]
 *
 * Through a `file:` store. In place of consumers, the inputs are linked as outputs and completed by hand, so that only
 * the producer is measured. Beside it the bound: the same chunks encoded and written (read and decoded) one after the
 * other by the plainest loop, the results given to a `for await` loop by an async iterator that does nothing else.
 */
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ProducerClient } from '../src/producer/index.ts';
import { cborChunkCodec } from '../src/protocol/chunk/codec.ts';
import { benchArguments } from './support/arguments.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { median, type Row, report } from './support/report.ts';
import { type MeasuredServer, runningServer, startOurs } from './support/server-process.ts';

const CASES: readonly (readonly [operations: number, chunkSize: number])[] = [
  [5_000, 1],
  [100_000, 100],
  [1_000_000, 1_000],
  [1_000_000, 10_000],
];

function* words(count: number): Generator<string> {
  for (let i = 0; i < count; i++) yield `word ${i}`;
}

const perSecond = (operations: number, startMs: number) =>
  operations / ((performance.now() - startMs) / 1000);

/** Reads results that are there already: what a `for await` loop costs by itself. */
function plainResults<T>(next: () => readonly T[] | null): AsyncIterable<T> {
  let batch: readonly T[] = [];
  let at = 0;
  const iterator = {
    next(): Promise<IteratorResult<T, undefined>> {
      if (at === batch.length) {
        const more = next();
        if (more === null) return Promise.resolve({ done: true, value: undefined });
        batch = more;
        at = 0;
      }
      return Promise.resolve({ done: false, value: batch[at++]! });
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

async function bound(folder: string, operations: number, chunkSize: number) {
  const codec = cborChunkCodec();
  const inside = join(folder, 'bound');
  mkdirSync(inside);
  let startMs = performance.now();
  let chunks = 0;
  let batch: string[] = [];
  for (const word of words(operations)) {
    if (batch.push(word) < chunkSize) continue;
    writeFileSync(join(inside, `${chunks++}`), codec.encode(batch));
    batch = [];
  }
  const upload = perSecond(operations, startMs);
  startMs = performance.now();
  let index = 0;
  const results = plainResults(() =>
    index < chunks ? codec.decode(readFileSync(join(inside, `${index++}`))) : null,
  );
  let bytes = 0;
  for await (const word of results) bytes += String(word).length;
  const download = perSecond(operations, startMs);
  rmSync(inside, { recursive: true });
  return { upload, download, bytes };
}

/** Completes whatever there is to do. */
async function completeAll(server: MeasuredServer, chunks: number): Promise<void> {
  const consumer = await RawConsumer.connect(server.host, server.port);
  const strategy = cborStrategy('Oldest');
  await new Promise<void>((resolve) => {
    let left = chunks;
    consumer.onChunks = (reserved) => {
      for (const chunk of reserved) consumer.complete(chunk);
      left -= reserved.length;
      if (left > 0) consumer.reserve(256, strategy);
      else resolve();
    };
    consumer.reserve(256, strategy);
  });
  consumer.flush();
  await new Promise((resolve) => setTimeout(resolve, 50));
  consumer.close();
}

async function measured(server: MeasuredServer, folder: string, operations: number, chunkSize: number) {
  await using producer = new ProducerClient<string, string>(
    `${server.host}:${server.port}`,
    pathToFileURL(folder).href,
  );
  const chunks = operations / chunkSize;
  let startMs = performance.now();
  const id = await producer.insertSubmission(words(operations), { chunkSize });
  const upload = perSecond(operations, startMs);
  const prefix = (await producer.submission(id).details())?.prefix ?? '';
  for (let index = 0; index < chunks; index++) {
    linkSync(join(folder, prefix, `${index}-in.bin`), join(folder, prefix, `${index}-out.bin`));
  }
  await completeAll(server, chunks);
  await producer.submission(id).done();
  startMs = performance.now();
  let bytes = 0;
  for await (const word of producer.submission(id).results()) bytes += word.length;
  const download = perSecond(operations, startMs);
  startMs = performance.now();
  for await (const batch of producer.submission(id).results().batches()) {
    for (const word of batch) bytes += word.length;
  }
  const batches = perSecond(operations, startMs);
  rmSync(join(folder, prefix), { recursive: true });
  return { upload, download, batches, bytes };
}

const { json, quick, urls } = benchArguments();
const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-objects-'));
const servers = urls.length > 0 ? urls.map(runningServer) : [await startOurs()];
const rows: Row[] = [];
for (const server of servers) {
  for (const [operations, chunkSize] of CASES) {
    const rounds = quick ? 1 : 5;
    const ours = [];
    const plain = [];
    for (let round = 0; round < rounds; round++) {
      ours.push(await measured(server, folder, operations, chunkSize));
      plain.push(await bound(folder, operations, chunkSize));
    }
    const upload = median(ours.map((each) => each.upload));
    const download = median(ours.map((each) => each.download));
    rows.push({
      server: server.name,
      operations,
      'chunk size': chunkSize,
      'uploaded/s': upload,
      'of the bound': upload / median(plain.map((each) => each.upload)),
      'downloaded/s': download,
      'of that bound': download / median(plain.map((each) => each.download)),
      'in batches/s': median(ours.map((each) => each.batches)),
    });
  }
}
for (const server of servers) await server.stop();
rmSync(folder, { recursive: true, force: true });
report('Operations of a producer in a second (words, CBOR, file: store)', rows, json);
