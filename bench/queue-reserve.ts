/**
 * Latency of one reservation while much is waiting.
 *
 *     npm run bench -- queue-reserve [--original COMMAND | --url HOST:PORT] [--json] [--quick]
 *
 * What is reserved is completed as well; the backlog never falls below what its row says.
 */
import { randomUUID } from 'node:crypto';
import { benchArguments } from './support/arguments.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { inParallel, RawProducer } from './support/raw-producer.ts';
import { percentile, type Row, report } from './support/report.ts';
import {
  type MeasuredServer,
  runningServer,
  startBare,
  startOriginal,
  startOurs,
} from './support/server-process.ts';

const { json, quick, urls, original } = benchArguments();
const times = quick ? 500 : 3_000;
/** For all reservations of a row: no server that answers takes longer. */
const ANSWERS_WITHIN_MS = 120_000;
/** More take the original minutes to insert. */
const CHUNKS_MAX_ELSEWHERE = 10_000;
const STRATEGIES = ['Oldest', 'Newest', 'Random', 'customer/Oldest', 'customer/Random'];
const BACKLOGS: readonly (readonly [chunks: number, submissions: number])[] = [
  [10_000, 1],
  [10_000, 10_000],
  [1_000_000, 1],
  [1_000_000, 10_000],
  [1_000_000, 200_000],
  [10_000_000, 1],
  [10_000_000, 10_000],
  [10_000_000, 200_000],
];

/** The bench takes chunks away: there are so many more of them at the beginning. */
async function fill(server: MeasuredServer, chunks: number, submissions: number): Promise<void> {
  const each = Math.ceil((chunks + STRATEGIES.length * times) / submissions);
  const producers = await Promise.all(
    Array.from({ length: 16 }, () => RawProducer.connect(server.host, server.port)),
  );
  await inParallel(producers, submissions, (producer, index) =>
    producer.insert(randomUUID(), each, { customer: index % 10_000 }),
  );
  for (const producer of producers) producer.close();
}

/** Milliseconds from asking to the answer, sorted. */
async function latencies(server: MeasuredServer, strategySpec: string, times: number): Promise<number[]> {
  const strategy = cborStrategy(strategySpec);
  const consumer = await RawConsumer.connect(server.host, server.port);
  const taken: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const late = () => reject(new Error(`${server.name}: a reservation (${strategySpec}) is not answered`));
    const timer = setTimeout(late, ANSWERS_WITHIN_MS);
    let began = 0;
    const ask = () => {
      consumer.reserve(1, strategy);
      consumer.flush();
      began = performance.now();
    };
    consumer.onChunks = ([chunk]) => {
      taken.push(performance.now() - began);
      if (taken.length === times) {
        clearTimeout(timer);
        resolve();
        return;
      }
      consumer.complete(chunk!);
      consumer.flush();
      // The completion is dealt with before the clock runs for the next one.
      setImmediate(ask);
    };
    ask();
  });
  consumer.close();
  return taken.slice(Math.min(100, times >> 2)).sort((a, b) => a - b);
}

const rows: Row[] = [];
const bound = await startBare();
const bare = await latencies(bound, 'Oldest', times);
rows.push({
  chunks: '-',
  submissions: null,
  server: 'bare ws',
  strategy: '-',
  'p50 ms': percentile(bare, 0.5),
  'p99 ms': percentile(bare, 0.99),
});
await bound.stop();

async function measure(server: MeasuredServer, chunks: number, submissions: number): Promise<void> {
  for (const strategy of STRATEGIES) {
    const sorted = await latencies(server, strategy, times);
    rows.push({
      chunks: chunks.toLocaleString('en-US').replaceAll(',', ' '),
      submissions,
      server: server.name,
      strategy,
      'p50 ms': percentile(sorted, 0.5),
      'p99 ms': percentile(sorted, 0.99),
    });
  }
}

for (const url of urls) {
  const server = runningServer(url);
  await fill(server, 10_000, 1_000);
  await measure(server, 10_000, 1_000);
}
if (urls.length === 0) {
  for (const [chunks, submissions] of quick ? BACKLOGS.slice(0, 4) : BACKLOGS) {
    const server = await startOurs();
    await fill(server, chunks, submissions);
    await measure(server, chunks, submissions);
    await server.stop();
    if (original === null || chunks > CHUNKS_MAX_ELSEWHERE) continue;
    const other = await startOriginal(original);
    await fill(other, chunks, submissions);
    await measure(other, chunks, submissions);
    await other.stop();
  }
}
report('One reservation, by backlog and strategy', rows, json);
