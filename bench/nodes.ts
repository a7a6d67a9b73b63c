/**
 * Several active nodes against one: processor time per chunk, and how long a queue stands still when it changes nodes.
 *
 *     npm run bench -- nodes [--json] [--quick] [--rounds N]
 *
 * On PostgreSQL, twelve queues with four consumers each, all reservations of 64 chunks. The first rows drain them on one
 * node, a third of them on one node, all on three nodes with every consumer at the node of its queue, and on three nodes with
 * every consumer at the first one, which passes most of them on; in turns, medians of the rounds (default 3). Once as fast as
 * it goes, and once with consumers that work for a tenth of a second on each reservation, so that nodes have time left: what a
 * chunk takes depends on how much a node does in one turn of its event loop, so each of three compares with one that does as
 * much as it. The last row starts a third node beside two under load: the longest time in which a queue handed out nothing, of
 * all queues that moved.
 */
import { randomUUID } from 'node:crypto';
import { benchArguments } from './support/arguments.ts';
import { drain } from './support/drain.ts';
import { startPostgres } from './support/postgres.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { RawProducer } from './support/raw-producer.ts';
import { median, type Row, report } from './support/report.ts';
import { type MeasuredServer, startOurs } from './support/server-process.ts';

const QUEUES = Array.from({ length: 12 }, (_, i) => `queue-${i}`);
const CONSUMERS = 4;
const STRATEGY = cborStrategy('Oldest');
const { json, quick, rounds: wanted } = benchArguments();
const rounds = wanted > 1 ? wanted : quick ? 1 : 3;
const CHUNKS = quick ? 20_000 : 100_000;
/** For how long a consumer works on a reservation: not at all, or so long that the nodes have most of their time left. */
const WORK_MS = [0, 100];
/** How long the load goes on while a node joins, in milliseconds. */
const JOIN_MS = quick ? 5_000 : 10_000;

interface NodeAnswer {
  readonly node: string;
  readonly shards: readonly number[];
  readonly holder: { readonly node: string; readonly address: string } | null;
}

async function nodeOf({ port }: Pick<MeasuredServer, 'port'>, queue = ''): Promise<NodeAnswer> {
  const path = queue === '' ? '/node' : `/q/${queue}/node`;
  return (await (
    await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } })
  ).json()) as NodeAnswer;
}

/** Until each has its share. */
async function balanced(nodes: readonly MeasuredServer[]): Promise<void> {
  for (;;) {
    const counts = await Promise.all(nodes.map(async (node) => (await nodeOf(node)).shards.length));
    if (counts.reduce((a, b) => a + b) === 64 && Math.max(...counts) <= Math.ceil(64 / nodes.length)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function fill(node: MeasuredServer, chunks: number, queues: readonly string[] = QUEUES): Promise<void> {
  for (const queue of queues) {
    const producer = await RawProducer.connect(node.host, node.port);
    await producer.insert(randomUUID(), chunks, {}, `/q/${queue}`);
    producer.close();
  }
}

/** Where the queue is, or anywhere. */
async function portFor(node: MeasuredServer, queue: string, isDirect: boolean): Promise<number> {
  if (!isDirect) return node.port;
  return Number((await nodeOf(node, queue)).holder!.address.split(':').at(-1));
}

/** Drains all queues; chunks per second. */
async function drainAll(node: MeasuredServer, { queues, isDirect }: Case, workMs: number): Promise<number> {
  const consumers: RawConsumer[] = [];
  for (const queue of queues) {
    const port = await portFor(node, queue, isDirect);
    for (let i = 0; i < CONSUMERS; i++) {
      consumers.push(await RawConsumer.connect(node.host, port, { queuePath: `/q/${queue}` }));
    }
  }
  const rate = await drain(consumers, { strategy: STRATEGY, chunks: queues.length * CHUNKS, workMs });
  for (const consumer of consumers) consumer.close();
  return rate;
}

interface Case {
  readonly name: string;
  readonly nodes: number;
  readonly queues: readonly string[];
  /** Every consumer is at the node of its queue; or all of them are at one node. */
  readonly isDirect: boolean;
}

const ONE: Case = { name: 'one node', nodes: 1, queues: QUEUES, isDirect: true };
const CASES: readonly Case[] = [
  ONE,
  { ...ONE, name: 'one node, a third of the queues', queues: QUEUES.slice(0, QUEUES.length / 3) },
  { ...ONE, name: 'three nodes, each consumer at the node of its queue', nodes: 3 },
  { ...ONE, name: 'three nodes, all consumers at one of them', nodes: 3, isDirect: false },
];

interface Figures {
  readonly rate: number[];
  /** Of all nodes together, in microseconds for each chunk. */
  readonly cpuUs: number[];
}

async function measure(store: string, each: Case, figures: ReadonlyMap<number, Figures>): Promise<void> {
  const nodes: MeasuredServer[] = [];
  for (let i = 0; i < each.nodes; i++) nodes.push(await startOurs({ store }));
  await balanced(nodes);
  // Each process compiles for itself: what that costs is no part of a chunk.
  await fill(nodes[0]!, CHUNKS, each.queues);
  await drainAll(nodes[0]!, each, 0);
  const cpu = () => nodes.reduce((sum, node) => sum + node.cpuSeconds()!, 0);
  for (const [workMs, { rate, cpuUs }] of figures) {
    await fill(nodes[0]!, CHUNKS, each.queues);
    const before = cpu();
    rate.push(await drainAll(nodes[0]!, each, workMs));
    cpuUs.push(((cpu() - before) * 1e6) / (each.queues.length * CHUNKS));
  }
  await Promise.all(nodes.map((node) => node.stop()));
}

/** The longest pause of each queue, in milliseconds, while a third node takes its share; and how many changed nodes. */
async function join(store: string): Promise<{ readonly gapsMs: number[]; readonly moved: number }> {
  const nodes = [await startOurs({ store }), await startOurs({ store })];
  await balanced(nodes);
  await fill(nodes[0]!, 10_000_000);
  const lastMs = new Map<string, number>();
  const gapsMs = new Map<string, number>();
  let isOver = false;
  const heard = (queue: string) => {
    const nowMs = performance.now();
    gapsMs.set(queue, Math.max(gapsMs.get(queue) ?? 0, nowMs - (lastMs.get(queue) ?? nowMs)));
    lastMs.set(queue, nowMs);
  };
  /** Connects again, to the next node, whenever it is cut. */
  const consume = async (queue: string): Promise<void> => {
    for (let tries = 0; !isOver; tries++) {
      const { host, port } = nodes[tries % 2]!;
      const consumer = await RawConsumer.connect(host, port, { queuePath: `/q/${queue}` }).catch(() => null);
      if (consumer === null) continue;
      await new Promise<void>((resolve) => {
        consumer.onClosed = resolve;
        consumer.onChunks = (chunks) => {
          heard(queue);
          for (const chunk of chunks) consumer.complete(chunk);
          // One at a time, and a moment apart: what is measured is the pause.
          setTimeout(() => (isOver ? consumer.close() : consumer.reserve(1, STRATEGY)), 1);
        };
        consumer.reserve(1, STRATEGY);
      });
    }
  };
  const load = QUEUES.map(consume);
  const holders = () =>
    Promise.all(QUEUES.map(async (queue) => (await nodeOf(nodes[0]!, queue)).holder?.node));
  const before = await holders();
  const third = await startOurs({ store });
  await balanced([...nodes, third]);
  await new Promise((resolve) => setTimeout(resolve, JOIN_MS));
  for (const queue of QUEUES) heard(queue);
  const after = await holders();
  isOver = true;
  await Promise.all([...nodes, third].map((node) => node.stop()));
  await Promise.all(load);
  const moved = QUEUES.filter((_, i) => before[i] !== after[i]);
  return { gapsMs: moved.map((queue) => gapsMs.get(queue) ?? 0), moved: moved.length };
}

await using database = await startPostgres();
const figures = CASES.map(
  () => new Map(WORK_MS.map((workMs): [number, Figures] => [workMs, { rate: [], cpuUs: [] }])),
);
for (let round = 0; round < rounds; round++) {
  for (const [i, each] of CASES.entries()) await measure(database.storeUrl(), each, figures[i]!);
}
const rows: Row[] = WORK_MS.flatMap((workMs) =>
  CASES.map(({ name }, i) => {
    const { rate, cpuUs } = figures[i]!.get(workMs)!;
    return {
      case: name,
      'work ms': workMs,
      'chunks/s': median(rate),
      'CPU us/chunk': median(cpuUs),
      'of one node': median(cpuUs) / median(figures[0]!.get(workMs)!.cpuUs),
      'least and most': `${Math.min(...cpuUs).toFixed(1)} ${Math.max(...cpuUs).toFixed(1)}`,
    };
  }),
);
const { gapsMs, moved } = await join(database.storeUrl());
rows.push({
  case: 'a third node joins two',
  'queues that moved': moved,
  'longest pause ms': gapsMs.length === 0 ? null : Math.max(...gapsMs),
  'median pause ms': gapsMs.length === 0 ? null : median(gapsMs),
});
report('Several active nodes on PostgreSQL', rows, json);
