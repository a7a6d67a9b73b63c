/**
 * Two nodes on one PostgreSQL database, with many open submissions: how long nothing is handed out when the node of their queue ends.
 *
 *     npm run bench -- cluster [--only TEXT] [--rounds N] [--json] [--quick]
 *
 * `stop`: in good order, by SIGTERM; `kill`: by SIGKILL, with the default lease of 3 seconds; 10 rounds of each, if not told
 * otherwise. Eight consumers work all the time, some on each node. `hang`: our own clients, which know both addresses, while the node of the queue is stopped for 45 seconds (SIGSTOP).
 * `passed on`: chunks a second with 8 connections through the other node, and directly, in turns.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConsumerClient } from 'opsqueue/consumer';
import { ProducerClient } from 'opsqueue/producer';
import { openStore } from '../src/store/index.ts';
import { benchArguments } from './support/arguments.ts';
import { drain } from './support/drain.ts';

import { startPostgres } from './support/postgres.ts';
import { fillStore, openSubmissions } from './support/prepared-store.ts';
import { cborStrategy, RawConsumer } from './support/raw-consumer.ts';
import { RawProducer } from './support/raw-producer.ts';
import { median, type Row, report } from './support/report.ts';
import { type MeasuredServer, startOurs } from './support/server-process.ts';

const CONSUMERS = 8;
const LEASE = '3 seconds';
const HANG_MS = 45_000;
const OLDEST = cborStrategy('Oldest');

const { json, quick, only, rounds } = benchArguments();
const isWanted = (name: string) => only === null || name.includes(only);
const submissions = quick ? 10_000 : 100_000;

/** Consumers that always work, wherever a queue is to be reached. */
class Workers {
  ports: readonly number[];
  done = 0;
  #lastMs = performance.now();
  #longestMs = 0;
  #isOver = false;

  constructor(ports: readonly number[]) {
    this.ports = ports;
    for (let i = 0; i < CONSUMERS; i++) void this.#work(i);
  }

  /** The longest time without a chunk since the last call. */
  longestGapMs(): number {
    const gapMs = Math.max(this.#longestMs, performance.now() - this.#lastMs);
    this.#longestMs = 0;
    return gapMs;
  }

  async completes(chunks: number): Promise<void> {
    const until = this.done + chunks;
    while (this.done < until) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  stop(): void {
    this.#isOver = true;
  }

  async #work(start: number): Promise<void> {
    for (let i = start; !this.#isOver; i++) {
      const port = this.ports[i % this.ports.length]!;
      const consumer = await RawConsumer.connect('127.0.0.1', port).catch(() => null);
      if (consumer === null) await new Promise((resolve) => setTimeout(resolve, 10));
      else await this.#with(consumer);
    }
  }

  #with(consumer: RawConsumer): Promise<void> {
    return new Promise((resolve) => {
      consumer.onClosed = resolve;
      consumer.onChunks = (chunks) => {
        const nowMs = performance.now();
        this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
        this.#lastMs = nowMs;
        this.done += chunks.length;
        for (const chunk of chunks) consumer.complete(chunk);
        // As work that takes a while.
        setTimeout(() => (this.#isOver ? consumer.close() : consumer.reserve(1, OLDEST)), 5);
      };
      consumer.reserve(1, OLDEST);
    });
  }
}

type Pair = readonly [MeasuredServer, MeasuredServer];

/** The one that has the unnamed queue first; once both have their share of all. */
async function ownerFirst([a, b]: Pair): Promise<Pair> {
  const shardsOf = async ({ port }: MeasuredServer) => {
    const { shards } = (await (await fetch(`http://127.0.0.1:${port}/node`)).json()) as { shards: number[] };
    return shards;
  };
  for (;;) {
    const [ofA, ofB] = [await shardsOf(a), await shardsOf(b)];
    if (ofA.length === ofB.length) return ofA.includes(0) ? [a, b] : [b, a];
    await sleep(20);
  }
}

await using database = await startPostgres();

async function ends(name: string, signal: NodeJS.Signals, goal: string): Promise<Row> {
  const store = database.storeUrl();
  await fillStore(await openStore(store), openSubmissions(submissions, 100));
  const start = () => startOurs({ store, lease: LEASE });
  let [owner, other] = await ownerFirst([await start(), await start()]);
  const workers = new Workers([owner.port, other.port]);
  const gaps: number[] = [];
  for (let round = 0; round < (rounds === 1 ? 10 : rounds); round++) {
    await workers.completes(1_000);
    workers.longestGapMs();
    await owner.stop(signal);
    await workers.completes(1_000);
    gaps.push(workers.longestGapMs());
    console.error(`${name}, ${round + 1}: ${Math.round(gaps.at(-1)!)} ms`);
    [owner, other] = await ownerFirst([other, await start()]);
    workers.ports = [owner.port, other.port];
  }
  workers.stop();
  await other.stop();
  await owner.stop();
  const sorted = gaps.toSorted((a, b) => a - b);
  return {
    case: name,
    'open submissions': submissions,
    rounds: gaps.length,
    'median ms': median(sorted),
    'longest ms': sorted.at(-1)!,
    goal,
  };
}

/** Our own clients, which know both nodes, while the one of their queue stands still. */
async function hangs(heartbeats: readonly string[]): Promise<Row> {
  const store = database.storeUrl();
  const start = () => startOurs({ store, lease: LEASE, flags: [...heartbeats] });
  let [owner, other] = await ownerFirst([await start(), await start()]);
  const inserts = new Gaps();
  const operations = new Gaps();
  const address = [owner, other].map(({ port }) => `127.0.0.1:${port}`).join();
  const producer = new ProducerClient<number, number>(address, null, { logger: null });
  const consumers = Array.from(
    { length: 2 },
    () => new ConsumerClient<number, number>(address, null, { logger: null }),
  );
  let isOver = false;
  const produced = (async () => {
    while (!isOver) {
      await producer.insertSubmission([1, 2, 3], { chunkSize: 1, in: 'queue' });
      inserts.beat();
    }
  })();
  const consumed = consumers.map((consumer) =>
    consumer.runEachOp(async (op) => {
      await sleep(1);
      operations.beat();
      return op;
    }),
  );
  for (let round = 0; round < (rounds === 1 ? 3 : rounds); round++) {
    await sleep(3_000);
    [owner, other] = await ownerFirst([owner, other]);
    for (const gaps of [inserts, operations]) gaps.begin();
    process.kill(owner.pid!, 'SIGSTOP');
    await sleep(HANG_MS);
    process.kill(owner.pid!, 'SIGCONT');
    for (const gaps of [inserts, operations]) gaps.end();
    console.error(`hang, ${round + 1}: ${inserts.text}; ${operations.text}`);
  }
  isOver = true;
  await produced;
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  await Promise.all(consumed);
  await producer.close();
  await other.stop();
  await owner.stop();
  return {
    case: heartbeats.length === 0 ? 'hang' : `hang, ${heartbeats.join(' ')}`,
    rounds: inserts.longestMs.length,
    'no insert, median ms': median(inserts.longestMs),
    'longest ms': Math.max(...inserts.longestMs),
    'no operation, median ms': median(operations.longestMs),
    'the longest ms': Math.max(...operations.longestMs),
  };
}

/** The longest time between two beats, in each of several times. */
class Gaps {
  readonly longestMs: number[] = [];
  #lastMs = 0;
  #longestMs = 0;

  begin(): void {
    this.#lastMs = performance.now();
    this.#longestMs = 0;
  }

  beat(): void {
    const nowMs = performance.now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  end(): void {
    this.beat();
    this.longestMs.push(this.#longestMs);
  }

  get text(): string {
    return `${Math.round(this.longestMs.at(-1)!)} ms`;
  }
}

/** What each process takes for a chunk: this one, the queue, the node in between. */
class Processors {
  readonly #nodes: readonly MeasuredServer[];
  readonly #seconds = [0, 0, 0];
  #chunks = 0;

  constructor(...nodes: readonly MeasuredServer[]) {
    this.#nodes = nodes;
  }

  /** Returns what ends it, after that number of chunks. */
  start(): (chunks: number) => void {
    const before = this.#now();
    return (chunks) => {
      this.#chunks += chunks;
      for (const [i, seconds] of this.#now().entries()) this.#seconds[i]! += seconds - before[i]!;
    };
  }

  text(processes: number): string {
    const each = this.#seconds.slice(0, processes);
    return each.map((seconds) => ((seconds * 1e6) / this.#chunks).toFixed(2)).join(', ');
  }

  #now(): number[] {
    const { user, system } = process.cpuUsage();
    return [(user + system) / 1e6, ...this.#nodes.map((node) => node.cpuSeconds()!)];
  }
}

/** Chunks a second through the other node, and directly. */
async function passedOn(): Promise<Row[]> {
  const store = database.storeUrl();
  const nodes = await ownerFirst([await startOurs({ store }), await startOurs({ store })]);
  const [owner, other] = nodes;
  const rows: Row[] = [];
  for (const { name, ...load } of [
    { name: 'max 1', max: 1, reservations: 1, chunks: quick ? 30_000 : 90_000 },
    { name: '4 x max 64', max: 64, reservations: 4, chunks: quick ? 300_000 : 1_000_000 },
  ]) {
    const rates = new Map<MeasuredServer, number[]>(nodes.map((node) => [node, []]));
    const spent = new Map(nodes.map((node) => [node, new Processors(owner, other)]));
    for (let round = 0; round < (rounds === 1 ? 5 : rounds); round++) {
      for (const node of nodes) {
        const producer = await RawProducer.connect(owner.host, owner.port);
        await producer.insert(randomUUID(), load.chunks);
        producer.close();
        const connect = () => RawConsumer.connect(node.host, node.port);
        const consumers = await Promise.all(Array.from({ length: CONSUMERS }, connect));
        const stop = spent.get(node)!.start();
        rates.get(node)!.push(await drain(consumers, { strategy: OLDEST, ...load }));
        stop(load.chunks);
        for (const consumer of consumers) consumer.close();
      }
    }
    const [direct, passed] = [median(rates.get(owner)!), median(rates.get(other)!)];
    rows.push({
      case: `${name}, ${CONSUMERS} connections`,
      'directly, chunks/s': direct,
      'passed on': passed,
      'of the direct': passed / direct,
      goal: '0.85',
      'processor µs a chunk, directly: consumers, queue': spent.get(owner)!.text(2),
      'passed on: and node in between': spent.get(other)!.text(3),
    });
  }
  for (const node of nodes.toReversed()) await node.stop();
  return rows;
}

const rows: Row[] = [];
if (isWanted('stop')) rows.push(await ends('stop', 'SIGTERM', '1 000'));
if (isWanted('kill')) rows.push(await ends('kill', 'SIGKILL', '4 500'));
if (rows.length > 0) report('Nothing handed out when the node of the queue ends', rows, json);
if (isWanted('passed on')) report('Passed on by the other node', await passedOn(), json);
if (isWanted('hang')) {
  const quicker = ['--heartbeat-interval', '1s', '--max-missable-heartbeats', '2'];
  report('While the node of the queue stands still', [await hangs([]), await hangs(quicker)], json);
}
