/**
 * Chunks reserved and completed per second, over the wire.
 *
 *     npm run bench -- queue-drain [--original COMMAND | --url HOST:PORT] [--store postgres] [--json] [--quick] [--full]
 *         [--only TEXT]
 *
 * Without --url: our server, as the bound a bare `ws` server that answers with fixed bytes and schedules nothing, and
 * the original's server where its command is given, and with --store postgres ours on PostgreSQL; interleaved, three
 * rounds, medians. --full: every combination of
 * connections, size of a reservation, strategy and submissions, one round each. With thousands of connections a thread
 * measures as well how long one more, a fresh one, waits for its /ping: the longest of each round, and the median.
 */
import { randomUUID } from 'node:crypto';
import { benchArguments } from './support/arguments.ts';
import { startPinger } from './support/pinger.ts';
import { startPostgres } from './support/postgres.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { inParallel, RawProducer } from './support/raw-producer.ts';
import { median, type Row, report } from './support/report.ts';
import {
  type MeasuredServer,
  mainThreadCpuSeconds,
  runningServer,
  startBare,
  startOriginal,
  startOurs,
} from './support/server-process.ts';

interface Case {
  readonly name: string;
  readonly connections: number;
  readonly max: number;
  /** Reservations outstanding on each connection. */
  readonly outstanding: number;
  readonly strategy: string;
  readonly submissions: number;
  readonly customers: number;
  /** Measures what a fresh connection waits for its /ping meanwhile. */
  readonly pings?: boolean;
}

const plain = { max: 1, outstanding: 1, strategy: 'Oldest', submissions: 1, customers: 0 };
const wide = { connections: 8, max: 64, outstanding: 4 };
const CASES: Case[] = [
  { ...plain, name: 'max 1, 1 connection', connections: 1 },
  { ...plain, name: 'max 1, 8 connections', connections: 8 },
  { ...plain, name: 'max 1, 64 connections', connections: 64 },
  { ...plain, name: 'max 1, 512 connections', connections: 512 },
  { ...plain, name: 'max 1, 2 000 connections', connections: 2_000, pings: true },
  { ...plain, name: 'max 1, 8, Random', connections: 8, strategy: 'Random' },
  { ...plain, name: 'max 1, 8, Newest', connections: 8, strategy: 'Newest' },
  { ...plain, ...wide, name: '4 x max 64, 8, Oldest' },
  { ...plain, ...wide, name: '4 x max 64, 8, Newest', strategy: 'Newest' },
  { ...plain, ...wide, name: '4 x max 64, 8, Random', strategy: 'Random' },
  { ...plain, ...wide, name: '10 000 submissions, Oldest', submissions: 10_000 },
  { ...plain, ...wide, name: '10 000 submissions, Random', strategy: 'Random', submissions: 10_000 },
  {
    ...plain,
    ...wide,
    name: '10 000 submissions, 1 000 customers, PreferDistinct',
    strategy: 'customer/Oldest',
    submissions: 10_000,
    customers: 1_000,
  },
];

const STRATEGIES = ['Oldest', 'Newest', 'Random', 'customer/Oldest'];
const MATRIX: Case[] = [1, 10_000].flatMap((submissions) =>
  STRATEGIES.flatMap((strategy) =>
    [1, 64].flatMap((max) =>
      [1, 8, 64, 512].map((connections) => ({
        name: `${submissions === 1 ? 'one submission' : '10 000 submissions'}, ${strategy}, max ${max}, ${connections}`,
        connections,
        max,
        outstanding: 1,
        strategy,
        submissions,
        customers: 1_000,
      })),
    ),
  ),
);

async function fill(server: MeasuredServer, test: Case, chunks: number): Promise<void> {
  const producers = await Promise.all(
    Array.from({ length: Math.min(16, test.submissions) }, () =>
      RawProducer.connect(server.host, server.port),
    ),
  );
  const each = Math.ceil(chunks / test.submissions);
  await inParallel(producers, test.submissions, (producer, index) =>
    producer.insert(randomUUID(), each, test.customers > 0 ? { customer: index % test.customers } : {}),
  );
  for (const producer of producers) producer.close();
}

interface Drained {
  /** Chunks per second. */
  readonly rate: number;
  /** Processor time of the server's main thread for a chunk, in microseconds: where other programs run, it says more than the rate. */
  readonly us: number;
}

/** Medians. */
const rates = (drained: readonly Drained[]) => median(drained.map(({ rate }) => rate));
const microseconds = (drained: readonly Drained[]) => median(drained.map(({ us }) => us));

/** Reserves and completes until `chunks` are done or `secondsMax` are over. Adds to `pings`. */
async function drain(
  server: MeasuredServer,
  test: Case,
  chunks: number,
  secondsMax: number,
  pings: number[] | null = null,
): Promise<Drained> {
  const strategy = cborStrategy(test.strategy);
  const consumers = await Promise.all(
    Array.from({ length: test.connections }, () => RawConsumer.connect(server.host, server.port)),
  );
  const pinger = test.pings === true && pings !== null ? startPinger(server) : null;
  const cpuSeconds = () => (server.pid === null ? Number.NaN : mainThreadCpuSeconds(server.pid));
  let done = 0;
  let began = 0;
  let cpuBegan = 0;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, secondsMax * 1000);
    for (const consumer of consumers) {
      consumer.onChunks = (reserved) => {
        for (const chunk of reserved) consumer.complete(chunk);
        done += reserved.length;
        if (done < chunks) consumer.reserve(test.max, strategy);
        else {
          clearTimeout(timer);
          resolve();
        }
      };
    }
    began = performance.now();
    cpuBegan = cpuSeconds();
    for (const consumer of consumers) {
      for (let i = 0; i < test.outstanding; i++) consumer.reserve(test.max, strategy);
    }
  });
  const seconds = (performance.now() - began) / 1000;
  const us = ((cpuSeconds() - cpuBegan) * 1e6) / done;
  for (const consumer of consumers) consumer.onChunks = () => {};
  if (pinger !== null) pings?.push(...(await pinger.stop()));
  for (const consumer of consumers) consumer.close();
  return { rate: done / seconds, us };
}

const { json, quick, urls, only, original, full, postgres } = benchArguments();
const database = postgres && urls.length === 0 ? await startPostgres() : null;
const seconds = quick || full ? 1 : 3;
const rounds = full ? 1 : 3;

/** What the original, or a server somewhere else, can hand out within the time, and some more. */
async function slowDrain(server: MeasuredServer, test: Case): Promise<Drained> {
  const chunks = (test.max > 1 ? 4_000 : 2_000) * seconds;
  await fill(server, test, Math.max(chunks + 64 * 4 * test.connections, test.submissions));
  return drain(server, test, chunks, seconds);
}

async function oursDrain(test: Case, pings: number[], store?: string): Promise<Drained> {
  const server = await startOurs({ store });
  const fast = test.max > 1;
  await fill(server, test, (fast ? 500_000 : 80_000) * seconds);
  const drained = await drain(server, test, (fast ? 400_000 : 60_000) * seconds, seconds, pings);
  await server.stop();
  return drained;
}

async function boundDrain(test: Case): Promise<Drained> {
  const server = await startBare();
  const drained = await drain(server, test, Number.POSITIVE_INFINITY, seconds);
  await server.stop();
  return drained;
}

async function originalDrain(test: Case, command: string): Promise<Drained> {
  const server = await startOriginal(command);
  const drained = await slowDrain(server, test);
  await server.stop();
  return drained;
}

const rows: Row[] = [];
for (const test of (full ? MATRIX : CASES).filter(({ name }) => only === null || name.includes(only))) {
  for (const url of urls) {
    const server = runningServer(url);
    rows.push({ case: test.name, server: server.name, 'chunks/s': (await slowDrain(server, test)).rate });
  }
  if (urls.length > 0) continue;
  const [ours, bare, others, onPostgres]: [Drained[], Drained[], Drained[], Drained[]] = [[], [], [], []];
  const pings: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(await oursDrain(test, pings));
    if (database !== null) onPostgres.push(await oursDrain(test, [], database.storeUrl()));
    bare.push(await boundDrain(test));
    if (original !== null) others.push(await originalDrain(test, original));
  }
  // It takes minutes.
  console.error(
    `${test.name}: ${[ours, bare, others, onPostgres].map((each) => each.map(({ rate }) => Math.round(rate)).join(' ')).join(' | ')}`,
  );
  rows.push({
    case: test.name,
    'chunks/s': rates(ours),
    'main thread, µs': microseconds(ours),
    'bare ws server': rates(bare),
    'share of the bound': rates(ours) / rates(bare),
    ...(database === null
      ? {}
      : {
          'on PostgreSQL': rates(onPostgres),
          'main thread there, µs': microseconds(onPostgres),
          'of SQLite': rates(onPostgres) / rates(ours),
        }),
    ...(pings.length === 0 ? {} : { 'ping ms': median(pings), 'longest ping ms': Math.max(...pings) }),
    ...(original === null
      ? {}
      : { 'the original': rates(others), 'times the original': rates(ours) / rates(others) }),
  });
}
await database?.[Symbol.asyncDispose]();
report('Chunks reserved and completed per second', rows, json);
