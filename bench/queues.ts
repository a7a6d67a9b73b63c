/**
 * A thousand named queues against a single one: start, memory, and chunks drained per second.
 *
 *     npm run bench -- queues [--json] [--quick] [--rounds N]
 *
 * Both hold a thousand submissions and serve a thousand connections, each with a reservation of 64 chunks outstanding: in the
 * one case all in the unnamed queue, in the other one of each in a queue of its own. In turns, medians of the rounds (default 3); memory
 * after a start with all submissions open, and with all consumers connected.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchArguments } from './support/arguments.ts';
import { drain } from './support/drain.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { inParallel, RawProducer } from './support/raw-producer.ts';
import { MB, median, type Row, report } from './support/report.ts';
import { type MeasuredServer, startOurs } from './support/server-process.ts';

const QUEUES = 1_000;
const { json, quick, rounds } = benchArguments();
const CHUNKS = quick ? 100 : 1_000;

type PathOf = (index: number) => string;

const CASES: readonly (readonly [string, PathOf])[] = [
  ['one queue', () => ''],
  [`${QUEUES} queues`, (index) => `/q/queue-${index}`],
];

interface Figures {
  readonly startMs: number[];
  readonly loaded: number[];
  readonly connected: number[];
  readonly rate: number[];
}

async function fill({ host, port }: MeasuredServer, pathOf: PathOf): Promise<void> {
  const producers = await Promise.all(Array.from({ length: 16 }, () => RawProducer.connect(host, port)));
  await inParallel(producers, QUEUES, (producer, index) =>
    producer.insert(randomUUID(), CHUNKS, {}, pathOf(index)),
  );
  for (const producer of producers) producer.close();
}

async function measure(pathOf: PathOf, figures: Figures): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'opsqueue-bench-'));
  const filled = await startOurs({ folder });
  await fill(filled, pathOf);
  await filled.stop();
  const server = await startOurs({ folder });
  figures.startMs.push(server.startMs!);
  figures.loaded.push(server.residentBytes()! / MB);
  const { host, port } = server;
  const consumers: RawConsumer[] = [];
  for (let i = 0; i < QUEUES; i++) {
    consumers.push(await RawConsumer.connect(host, port, { queuePath: pathOf(i) }));
  }
  figures.connected.push(server.residentBytes()! / MB);
  figures.rate.push(await drain(consumers, { strategy: cborStrategy('Oldest'), chunks: QUEUES * CHUNKS }));
  for (const consumer of consumers) consumer.close();
  await server.stop();
  rmSync(folder, { recursive: true });
}

const all = CASES.map(() => ({ startMs: [], loaded: [], connected: [], rate: [] }) as Figures);
for (let round = 0; round < Math.max(rounds, quick ? 1 : 3); round++) {
  for (const [i, [, pathOf]] of CASES.entries()) await measure(pathOf, all[i]!);
}
const rows: Row[] = CASES.map(([name], i) => {
  const { startMs, loaded, connected, rate } = all[i]!;
  return {
    case: name,
    'start to pong, ms': median(startMs),
    'resident MB, loaded': median(loaded),
    'resident MB, all connected': median(connected),
    'chunks/s': median(rate),
  };
});
report('A thousand submissions, a thousand consumers', rows, json);
