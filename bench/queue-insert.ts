/**
 * How long an insert takes, by the number of chunks, and how many small ones fit in a second.
 *
 *     npm run bench -- queue-insert [--original COMMAND | --url HOST:PORT] [--store postgres] [--json] [--quick]
 *
 * Without --url: our server in a process of its own, beside a bare fsync of 4 kB on the same disk, and the original's
 * server where its command is given; with --store postgres ours on PostgreSQL too, beside a bare commit there, in turns.
 */
import { randomUUID } from 'node:crypto';
import { benchArguments } from './support/arguments.ts';
import { bareFsyncsMs } from './support/bare-fsync.ts';
import { startPostgres } from './support/postgres.ts';
import { inParallel, RawProducer } from './support/raw-producer.ts';
import { MB, median, percentile, type Row, report } from './support/report.ts';
import { type MeasuredServer, runningServer, startOriginal, startOurs } from './support/server-process.ts';

const SIZES = [1, 1_000, 100_000, 1_000_000, 10_000_000];
/** The original needs 80 s for the largest: not for servers that are only compared with. */
const SIZES_ELSEWHERE = SIZES.filter((size) => size <= 100_000);
const ROUNDS_ELSEWHERE = 5;

interface Sized {
  readonly server: MeasuredServer;
  readonly sizes: readonly number[];
}

/** Interleaved, so that what else the machine does hits all sizes, and all servers, alike. */
async function bySize(servers: readonly Sized[], rounds: number): Promise<Row[]> {
  const runs = await Promise.all(
    servers.map(async ({ server, sizes }) => ({
      server,
      sizes,
      producer: await RawProducer.connect(server.host, server.port),
      taken: new Map<number, number[]>(sizes.map((size) => [size, []])),
    })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { producer, sizes, taken } of runs) {
      for (const size of sizes) {
        const began = performance.now();
        await producer.insert(randomUUID(), size);
        taken.get(size)!.push(performance.now() - began);
      }
    }
  }
  return runs.flatMap(({ server, sizes, producer, taken }) => {
    producer.close();
    const first = median(taken.get(sizes[0]!)!);
    return sizes.map((size) => {
      const times = taken.get(size)!.sort((a, b) => a - b);
      return {
        server: server.name,
        chunks: size.toLocaleString('en-US').replaceAll(',', ' '),
        'p50 ms': median(times),
        'p99 ms': percentile(times, 0.99),
        'of the smallest': median(times) / first,
        'resident MB': residentMb(server),
      };
    });
  });
}

function residentMb(server: MeasuredServer): number | null {
  const bytes = server.residentBytes();
  return bytes === null ? null : bytes / MB;
}

async function manySmall(server: MeasuredServer, count: number): Promise<Row> {
  const producers = await Promise.all(
    Array.from({ length: 16 }, () => RawProducer.connect(server.host, server.port)),
  );
  const began = performance.now();
  await inParallel(producers, count, (producer) => producer.insert(randomUUID(), 10));
  const seconds = (performance.now() - began) / 1000;
  for (const producer of producers) producer.close();
  return {
    server: server.name,
    submissions: count,
    'in parallel': 16,
    seconds,
    'inserts/s': count / seconds,
  };
}

const { json, quick, urls, original, postgres } = benchArguments();
const fsyncs = () => median(bareFsyncsMs(quick ? 50 : 300));
const sizeRows: Row[] = [];
const smallRows: Row[] = [];
for (const url of urls) {
  const server = runningServer(url);
  sizeRows.push(...(await bySize([{ server, sizes: SIZES_ELSEWHERE }], ROUNDS_ELSEWHERE)));
  smallRows.push(await manySmall(server, 1_000));
}
if (urls.length === 0) {
  const ours = await startOurs();
  const database = postgres ? await startPostgres() : null;
  const onPostgres = database === null ? null : await startOurs({ store: database.storeUrl() });
  const all = [ours, ...(onPostgres === null ? [] : [onPostgres])];
  const bounds = async () => {
    sizeRows.push({ server: 'bare fsync, 4 kB', chunks: '-', 'p50 ms': fsyncs() });
    if (database === null) return;
    const commits = await database.bareCommitsMs(quick ? 50 : 300);
    sizeRows.push({ server: 'bare commit, PostgreSQL', chunks: '-', 'p50 ms': median(commits) });
  };
  const other = original === null ? null : await startOriginal(original);
  await bySize(
    all.map((server) => ({ server, sizes: SIZES.slice(0, 1) })),
    20,
  );
  await bounds();
  sizeRows.push(
    ...(await bySize(
      all.map((server) => ({ server, sizes: SIZES })),
      quick ? 20 : 200,
    )),
  );
  await bounds();
  if (other !== null) {
    const both = [ours, other].map((server) => ({ server, sizes: SIZES_ELSEWHERE }));
    sizeRows.push(...(await bySize(both, ROUNDS_ELSEWHERE)));
  }
  for (let round = 0; round < 3; round++) {
    for (const server of all) smallRows.push(await manySmall(server, quick ? 2_000 : 10_000));
    if (other !== null) smallRows.push(await manySmall(other, 1_000));
  }
  await other?.stop();
  await onPostgres?.stop();
  await database?.[Symbol.asyncDispose]();
  await ours.stop();
}
report('One insert, by the number of chunks', sizeRows, json);
report('Small submissions of 10 chunks, each acknowledged after its commit', smallRows, json);
