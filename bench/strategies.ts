/**
 * What strategies cost in the scheduler, in this process: 200 000 open submissions of 10 000 customers and three kinds, 2 000
 * consumers of whom half wait in vain; and what it costs to serve 10 000 who wait for 1 000 different values.
 * `node bench/strategies.ts`, or `--only WORD` for the lines whose name contains the word. Latencies are wall time, rates
 * per second of this thread's CPU time.
 */
import { parseArgs } from 'node:util';
import { Strategy } from '../src/model/strategy.ts';
import { Scheduler } from '../src/scheduler/scheduler.ts';
import type { ConsumerHandle, HandedOutChunk } from '../src/scheduler/types.ts';
import { randomInt, seededRandom } from '../src/system/random.ts';

const { values: flags } = parseArgs({ options: { only: { type: 'string' } } });
const SUBMISSIONS = 200_000;
const CUSTOMERS = 10_000;
const CONSUMERS = 2_000;
const CYCLES = 100_000;
const WAITING = 10_000;
const SELECTIONS = 1_000;

const oldest = Strategy.oldest();
const WORKING: Readonly<Record<string, Strategy>> = {
  Oldest: oldest,
  Newest: Strategy.newest(),
  Random: Strategy.random(),
  PreferDistinct: Strategy.preferDistinct('customer', oldest),
  Priority: Strategy.priority('urgency', oldest),
  'SelectOnly, one value': Strategy.selectOnly('customer', [77], oldest),
  'SelectOnly, 256 values': Strategy.selectOnly('customer', Array(256).keys().toArray(), oldest),
  'SelectExcept, 256 values': Strategy.selectExcept('customer', Array(256).keys().toArray(), oldest),
  MaxSimultaneous: Strategy.maxSimultaneous('customer', 2, oldest),
  OrElse: Strategy.orElse(Strategy.selectOnly('kind', [99], oldest), Strategy.random()),
  'nest of selection, limit and fairness': Strategy.selectOnly(
    'kind',
    [1, 2],
    Strategy.maxSimultaneous('customer', 8, Strategy.preferDistinct('customer', Strategy.random())),
  ),
  'nest of priority and fairness under an exception': Strategy.selectExcept(
    'kind',
    [0],
    Strategy.priority('urgency', Strategy.preferDistinct('customer', oldest)),
  ),
  'nest of own work first, then limited help': Strategy.orElse(
    Strategy.selectOnly('kind', [2], Strategy.preferDistinct('customer', oldest)),
    Strategy.maxSimultaneous('customer', 4, Strategy.random()),
  ),
};

class Fleet {
  readonly scheduler = new Scheduler<number>({
    random: seededRandom(1),
    reservationExpirationMs: 600_000,
    chunkRetriesMax: 10,
    chunkDisconnectsMax: 10,
  });
  nowMs = 0;
  #nextId = 1n;
  #nonce = 0;

  insert(chunksTotal: number, pairs: Readonly<Record<string, number>>): void {
    this.scheduler.insert(
      {
        id: this.#nextId++,
        queue: '',
        prefix: null,
        chunksTotal,
        chunkSizeOps: 1,
        metadata: null,
        strategicMetadata: new Map(Object.entries(pairs).map(([key, value]) => [key, BigInt(value)])),
        otelTraceCarrier: '{}',
        retryDelayMs: 0,
        retry: null,
        failureMode: 'fail',
      },
      this.nowMs,
    );
  }

  ask(consumer: ConsumerHandle<number>, strategy: Strategy): void {
    this.scheduler.reserve(consumer, { nonce: this.#nonce++, max: 1, strategy }, this.nowMs);
  }

  /** Carries out the effects: gives the answers. */
  take(): readonly { readonly peer: number; readonly chunks: readonly HandedOutChunk[] }[] {
    const { effects } = this.scheduler;
    const answers = [];
    for (let i = 0; i < effects.length; i++) {
      const effect = effects.at(i);
      if (effect.kind === 'reserved') answers.push({ peer: effect.consumer.peer, chunks: effect.chunks });
      else if (effect.kind === 'ending') this.#ended.push(effect.submission.record.id);
    }
    effects.clear();
    for (const id of this.#ended) this.scheduler.forget(id);
    this.#ended.length = 0;
    return answers;
  }

  readonly #ended: bigint[] = [];

  /** Until plans that are new have been built. */
  settle(): ReturnType<Fleet['take']> {
    let answers = this.take();
    while (this.scheduler.nextDeadlineMs() === this.nowMs) {
      this.scheduler.advance(this.nowMs);
      answers = [...answers, ...this.take()];
    }
    return answers;
  }
}

function cpuSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

function report(name: string, parts: Readonly<Record<string, string>>): void {
  const texts = Object.entries(parts).map(([what, value]) => `${what} ${value}`);
  console.log(`${name.padEnd(52)}  ${texts.join('  ')}`);
}

/** Half of the consumers work; the others wait with strategies of their own that find nothing. */
function reservations(): void {
  for (const [name, strategy] of Object.entries(WORKING)) {
    if (flags.only !== undefined && !name.includes(flags.only)) continue;
    const fleet = new Fleet();
    for (let i = 0; i < SUBMISSIONS; i++) {
      fleet.insert(100_000, { customer: i % CUSTOMERS, kind: i % 3, urgency: i % 7 });
    }
    const consumers = Array.from({ length: CONSUMERS }, (_, i) => fleet.scheduler.addConsumer(i));
    const [working, waiting] = [consumers.slice(0, CONSUMERS / 2), consumers.slice(CONSUMERS / 2)];
    for (const [i, consumer] of waiting.entries()) {
      fleet.ask(consumer, Strategy.selectOnly('customer', [CUSTOMERS + i], oldest));
    }
    fleet.settle();
    const held: HandedOutChunk[][] = working.map(() => []);
    const latencies: number[] = [];
    const started = cpuSeconds();
    let done = 0;
    for (let turn = 0; done < CYCLES; turn++) {
      const at = turn % working.length;
      const consumer = working[at]!;
      const before = performance.now();
      fleet.ask(consumer, strategy);
      const askedMs = performance.now() - before;
      const answers = fleet.settle();
      if (turn >= working.length) latencies.push(askedMs);
      for (const { peer, chunks } of answers) held[peer]!.push(...chunks);
      const oldestHeld = held[at]!.length > 1 || turn >= working.length ? held[at]!.shift() : undefined;
      if (oldestHeld === undefined) continue;
      fleet.scheduler.complete(consumer, oldestHeld.submission.record.id, oldestHeld.chunkIndex, fleet.nowMs);
      for (const { peer, chunks } of fleet.take()) held[peer]!.push(...chunks);
      done++;
    }
    const seconds = cpuSeconds() - started;
    latencies.sort((a, b) => a - b);
    const at = (share: number) => `${latencies[Math.floor(latencies.length * share)]!.toFixed(4)} ms`;
    report(`reserve + complete, ${name}`, {
      p50: at(0.5),
      p99: at(0.99),
      'per second': Math.round(done / seconds).toLocaleString('en'),
    });
  }
}

/** Inserts of one chunk each for random values; each is to go to one who selects its value. */
function waitingForValues(): void {
  const name = `inserts served, ${WAITING.toLocaleString('en')} waiting for ${SELECTIONS.toLocaleString('en')} values`;
  if (flags.only !== undefined && !name.includes(flags.only)) return;
  const fleet = new Fleet();
  const random = seededRandom(2);
  const strategies = Array.from({ length: SELECTIONS }, (_, i) =>
    Strategy.selectOnly('customer', [i], oldest),
  );
  const consumers = Array.from({ length: WAITING }, (_, i) => fleet.scheduler.addConsumer(i));
  for (const [i, consumer] of consumers.entries()) fleet.ask(consumer, strategies[i % SELECTIONS]!);
  fleet.settle();
  let served = 0;
  const inserts = 50_000;
  const started = cpuSeconds();
  for (let i = 0; i < inserts; i++) {
    const customer = randomInt(random, SELECTIONS);
    fleet.insert(1, { customer });
    for (const { peer, chunks } of fleet.settle()) {
      if (peer % SELECTIONS !== customer) throw new Error(`a chunk of ${customer} went to ${peer}`);
      const [chunk] = chunks;
      fleet.scheduler.complete(consumers[peer]!, chunk!.submission.record.id, 0, fleet.nowMs);
      fleet.take();
      fleet.ask(consumers[peer]!, strategies[customer]!);
      served++;
    }
  }
  if (served !== inserts) throw new Error(`${served} of ${inserts} were served`);
  report(name, { 'per second': Math.round(served / (cpuSeconds() - started)).toLocaleString('en') });
}

reservations();
waitingForValues();
