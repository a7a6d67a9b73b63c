/**
 * What a call of the scheduler costs, in this process, without sockets and disk: `node bench/scheduler.ts`, or
 * `--json` for a machine to read, or `--only WORD` for the lines whose name contains the word. Memory is measured with
 * `node --expose-gc`. Rates are per second of this thread's CPU time, so that a busy machine does not blur them;
 * latencies are wall time.
 */
import { parseArgs } from 'node:util';
import type { SubmissionId } from '../src/model/ids.ts';
import { Strategy } from '../src/model/strategy.ts';
import type { SubmissionRecord } from '../src/model/submission.ts';
import { Scheduler } from '../src/scheduler/scheduler.ts';
import type { ConsumerHandle, HandedOutChunk, ReservationRequest } from '../src/scheduler/types.ts';
import { seededRandom } from '../src/system/random.ts';

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean' }, only: { type: 'string' }, cycles: { type: 'string' } },
});
const CYCLES = Number(flags.cycles ?? 300_000);
const IN_FLIGHT = 512;

interface Line {
  readonly name: string;
  readonly perSecond?: number;
  readonly microseconds?: number;
  readonly p99Microseconds?: number;
  readonly bytes?: number;
  readonly milliseconds?: number;
  readonly worstMilliseconds?: number;
}

const STRATEGIES: Readonly<Record<string, Strategy>> = {
  Oldest: Strategy.oldest(),
  Newest: Strategy.newest(),
  Random: Strategy.random(),
  'PreferDistinct(Oldest)': Strategy.preferDistinct('customer', Strategy.oldest()),
  'PreferDistinct(Random)': Strategy.preferDistinct('customer', Strategy.random()),
};

interface Answer {
  readonly request: ReservationRequest;
  readonly chunks: readonly HandedOutChunk[];
}

/** A scheduler whose effects are taken after each call. */
class Bench {
  readonly scheduler: Scheduler<string>;
  nowMs = 0;
  #nextId = 1_700_000_000_000n << 22n;

  constructor() {
    this.scheduler = new Scheduler({
      random: seededRandom(1),
      reservationExpirationMs: 600_000,
      chunkRetriesMax: 10,
      chunkDisconnectsMax: 10,
    });
  }

  insert(chunksTotal: number, pairs: readonly [string, bigint][] = []): void {
    this.#nextId += 1n << 20n;
    const record: SubmissionRecord = {
      id: this.#nextId,
      queue: '',
      prefix: null,
      chunksTotal,
      chunkSizeOps: 1,
      metadata: null,
      strategicMetadata: new Map(pairs),
      otelTraceCarrier: '{}',
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail',
    };
    this.scheduler.insert(record, this.nowMs);
    this.takeAnswer();
  }

  /** The first reservation with a strategy waits until the order of that is built, in slices. */
  reserve(
    consumer: ConsumerHandle<string>,
    strategy: Strategy,
    max: number,
    watch: Turns | null = null,
  ): readonly HandedOutChunk[] {
    const { scheduler, nowMs } = this;
    const ask = () => scheduler.reserve(consumer, { nonce: 1, max, strategy }, nowMs);
    if (watch === null) ask();
    else watch.turn(ask);
    for (let answer = this.takeAnswer(); ; answer = this.takeAnswer()) {
      if (answer !== null) return answer.chunks;
      if (watch === null) scheduler.advance(nowMs);
      else watch.turn(() => scheduler.advance(nowMs));
    }
  }

  complete(consumer: ConsumerHandle<string>, id: SubmissionId, chunkIndex: number): void {
    const { scheduler } = this;
    scheduler.complete(consumer, id, chunkIndex, this.nowMs);
    this.takeAnswer();
    if (scheduler.get(id)?.state === 'ending') scheduler.forget(id);
  }

  /** Carries out the effects: looks at each, and keeps the last answer. */
  takeAnswer(): Answer | null {
    const { effects } = this.scheduler;
    let answer: Answer | null = null;
    for (let i = 0; i < effects.length; i++) {
      const effect = effects.at(i);
      if (effect.kind === 'reserved') answer = effect;
    }
    effects.clear();
    return answer;
  }

  /** Reserves `max` at a time and completes what was reserved `IN_FLIGHT` chunks ago, `cycles` times. */
  cycle(strategy: Strategy, max: number, cycles: number): { perSecond: number; p99Microseconds: number } {
    const { scheduler } = this;
    const consumer = scheduler.addConsumer('');
    // A ring: what was completed must not stay in memory.
    const held: HandedOutChunk[] = new Array(IN_FLIGHT + max);
    let reserved = 0;
    let done = 0;
    const reserve = () => {
      this.nowMs++;
      for (const chunk of this.reserve(consumer, strategy, max)) held[reserved++ % held.length] = chunk;
    };
    const complete = () => {
      const chunk = held[done++ % held.length]!;
      this.complete(consumer, chunk.submission.record.id, chunk.chunkIndex);
    };
    while (reserved < IN_FLIGHT) reserve();
    const latencies: number[] = [];
    const started = cpuSeconds();
    while (done < cycles) {
      const isSampled = (done & 15) === 0;
      const before = isSampled ? performance.now() : 0;
      reserve();
      if (isSampled) latencies.push(performance.now() - before);
      for (let i = 0; i < max && done < cycles; i++) complete();
    }
    const seconds = cpuSeconds() - started;
    latencies.sort((a, b) => a - b);
    scheduler.removeConsumer(consumer, 'orderly', this.nowMs);
    return {
      perSecond: done / seconds,
      p99Microseconds: latencies[Math.floor(latencies.length * 0.99)]! * 1000,
    };
  }
}

const lines: Line[] = [];

function line(name: string, measure: () => Omit<Line, 'name'>): void {
  if (flags.only !== undefined && !name.includes(flags.only)) return;
  const result = { name, ...measure() };
  lines.push(result);
  if (!flags.json) console.log(format(result));
}

function format(line: Line): string {
  const { name, perSecond, microseconds, p99Microseconds, bytes, milliseconds, worstMilliseconds } = line;
  const parts = [name.padEnd(64)];
  if (perSecond !== undefined) parts.push(`${Math.round(perSecond).toLocaleString('en').padStart(11)}/s`);
  if (microseconds !== undefined) parts.push(`${microseconds.toFixed(3).padStart(11)} us`);
  if (p99Microseconds !== undefined) parts.push(`p99 ${p99Microseconds.toFixed(1).padStart(7)} us`);
  if (milliseconds !== undefined) parts.push(`${milliseconds.toFixed(2).padStart(11)} ms`);
  if (worstMilliseconds !== undefined) parts.push(`worst ${worstMilliseconds.toFixed(2).padStart(7)} ms`);
  if (bytes !== undefined) parts.push(`${Math.round(bytes).toLocaleString('en').padStart(11)} bytes`);
  return parts.join('  ');
}

function timed(times: number, run: (i: number) => void): { microseconds: number } {
  const started = cpuSeconds();
  for (let i = 0; i < times; i++) run(i);
  return { microseconds: ((cpuSeconds() - started) * 1e6) / times };
}

function cpuSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

function heapBytes(): number {
  if (global.gc === undefined) return Number.NaN;
  global.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function warmUp(): void {
  for (const strategy of Object.values(STRATEGIES)) {
    const bench = new Bench();
    for (let i = 0; i < 2_000; i++) bench.insert(20, [['customer', BigInt(i % 500)]]);
    bench.cycle(strategy, 1, 20_000);
  }
}

function inserts(): void {
  for (const chunks of [1, 1_000, 100_000, 10_000_000]) {
    const bench = new Bench();
    line(`insert a submission of ${chunks.toLocaleString('en')} chunks`, () =>
      timed(50_000, () => bench.insert(chunks, [['customer', 1n]])),
    );
  }
}

function cycles(): void {
  for (const [name, strategy] of Object.entries(STRATEGIES)) {
    for (const submissions of [1, 10_000, 200_000]) {
      for (const max of [1, 64]) {
        const title = `reserve ${max} + complete, ${name}, ${submissions.toLocaleString('en')} submissions`;
        line(title, () => {
          const bench = new Bench();
          const chunks = Math.ceil((4 * CYCLES) / submissions);
          for (let i = 0; i < submissions; i++) bench.insert(chunks, [['customer', BigInt(i % 10_000)]]);
          bench.cycle(strategy, max, 1_000);
          return bench.cycle(strategy, max, CYCLES);
        });
      }
    }
  }
}

function oneChunkSubmissions(): void {
  for (const name of ['Oldest', 'Random', 'PreferDistinct(Oldest)']) {
    line(`reserve 1 + complete, ${name}, 100,000 submissions of 1 chunk`, () => {
      const bench = new Bench();
      for (let i = 0; i < 100_000; i++) bench.insert(1, [['customer', BigInt(i % 10_000)]]);
      bench.cycle(STRATEGIES[name]!, 1, 1_000);
      return bench.cycle(STRATEGIES[name]!, 1, 90_000);
    });
  }
}

/** Two keys; the in-flight count of an inner value is shared by as many groups as outer values use it. */
function nested(): void {
  const measured = (outer: number, inner: number, submissions: number, base: Strategy, pairing: Pairing) => {
    const values = `${outer.toLocaleString('en')} x ${inner.toLocaleString('en')} values`;
    const shape = `${submissions.toLocaleString('en')} submissions`;
    line(`reserve 1 + complete, nested ${values}, ${shape}, ${base.kind}`, () => {
      const bench = new Bench();
      for (let i = 0; i < submissions; i++) {
        const [outerValue, innerValue] = pairing(i, outer, inner);
        bench.insert(100, [
          ['outer', BigInt(outerValue)],
          ['inner', BigInt(innerValue)],
        ]);
      }
      const strategy = Strategy.preferDistinct('outer', Strategy.preferDistinct('inner', base));
      bench.cycle(strategy, 1, 1_000);
      return bench.cycle(strategy, 1, CYCLES / 3);
    });
  };
  for (const base of [Strategy.oldest(), Strategy.random()]) {
    measured(100, 10_000, 10_000, base, (i, outer) => [i % outer, i]);
    measured(100, 10_000, 100_000, base, (i, outer) => [(i + Math.floor(i / 10_000)) % outer, i % 10_000]);
    measured(10_000, 100, 100_000, base, (i, outer, inner) => [
      i % outer,
      (i + Math.floor(i / outer)) % inner,
    ]);
    measured(100, 10_000, 1_000_000, base, (i, outer) => [i % outer, Math.floor(i / outer)]);
  }
}

type Pairing = (i: number, outer: number, inner: number) => readonly [number, number];

function disconnects(): void {
  for (const held of [1, 1_000, 100_000]) {
    line(`disconnect a consumer that holds ${held.toLocaleString('en')}, per chunk`, () => {
      const bench = new Bench();
      for (let i = 0; i < 1_000; i++) bench.insert(1_000_000, [['customer', BigInt(i)]]);
      const { scheduler } = bench;
      const rounds = Math.max(5, Math.floor(2_000 / held));
      let microseconds = 0;
      for (let i = 0; i < rounds; i++) {
        const consumer = scheduler.addConsumer('');
        while (consumer.chunksReserved < held) {
          const max = held - consumer.chunksReserved;
          bench.reserve(consumer, Strategy.random(), max);
        }
        microseconds += timed(1, () =>
          scheduler.removeConsumer(consumer, 'orderly', bench.nowMs),
        ).microseconds;
      }
      return { microseconds: microseconds / rounds / held };
    });
  }
}

/** Completions at a limit of one chunk in flight, for which so many different selections wait. */
function waitingForLimit(): void {
  for (const waiting of [10, 1_000, 10_000]) {
    line(`complete 1 at a limit for which ${waiting.toLocaleString('en')} selections wait`, () => {
      const bench = new Bench();
      const { scheduler } = bench;
      for (let i = 0; i < waiting; i++)
        bench.insert(1_000_000, [
          ['customer', BigInt(i)],
          ['api', 1n],
        ]);
      const consumer = scheduler.addConsumer('');
      const strategies = Array.from({ length: waiting }, (_, i) =>
        Strategy.maxSimultaneous('api', 1, Strategy.selectOnly('customer', [i], Strategy.oldest())),
      );
      let [held] = bench.reserve(consumer, strategies[0]!, 1);
      for (const strategy of strategies)
        scheduler.reserve(consumer, { nonce: 1, max: 1, strategy }, bench.nowMs);
      // The first ones find more that is free than those after them.
      let microseconds = 0;
      for (const rounds of [100, 2_000]) {
        ({ microseconds } = timed(rounds, () => {
          scheduler.complete(consumer, held!.submission.record.id, held!.chunkIndex, bench.nowMs);
          const { request, chunks } = bench.takeAnswer()!;
          held = chunks[0]!;
          scheduler.reserve(consumer, { ...request }, bench.nowMs);
        }));
      }
      return { microseconds };
    });
  }
}

/**
 * The longest turns, in milliseconds of CPU time: no heartbeat is answered meanwhile. A new strategy is put in order in
 * slices; inserts make its trees grow, completions make them small again. Garbage collections and the growth of hash
 * tables are in it: hence the median of some rounds.
 */
function longestTurns(): void {
  const rounds = 3;
  const measured = (name: string, round: () => number) =>
    line(`longest turn: ${name}`, () => {
      const longest = Array.from({ length: rounds }, round).sort((a, b) => a - b);
      return { milliseconds: longest[Math.floor(rounds / 2)]!, worstMilliseconds: longest.at(-1)! };
    });
  for (const name of ['Oldest', 'Random', 'PreferDistinct(Oldest)']) {
    const strategy = STRATEGIES[name]!;
    measured(`${name} is new at 200,000 submissions`, () => {
      const bench = filled(200_000);
      const consumer = bench.scheduler.addConsumer('');
      const watch = new Turns();
      bench.reserve(consumer, strategy, 1, watch);
      return watch.longestMs;
    });
    measured(`${name} is in use, inserts up to 300,000`, () => {
      const bench = filled(100);
      const consumer = bench.scheduler.addConsumer('');
      const watch = new Turns();
      for (let i = 0; i < 300_000; i++) {
        watch.turn(() => bench.insert(1, [['customer', BigInt(i % 10_000)]]));
        if (i % 300 === 0) watch.turn(() => bench.reserve(consumer, strategy, 1));
      }
      return watch.longestMs;
    });
    measured(`${name}, 200,000 submissions are completed`, () => {
      const bench = filled(200_000);
      const { scheduler } = bench;
      const consumer = scheduler.addConsumer('');
      bench.reserve(consumer, strategy, 1);
      const watch = new Turns();
      for (let i = 0; i < 199_000; i++) {
        watch.turn(() => {
          for (const { submission, chunkIndex } of bench.reserve(consumer, strategy, 1)) {
            bench.complete(consumer, submission.record.id, chunkIndex);
          }
        });
      }
      return watch.longestMs;
    });
  }
}

/** Submissions of one chunk, of 10 000 customers. */
function filled(submissions: number): Bench {
  const bench = new Bench();
  for (let i = 0; i < submissions; i++) bench.insert(1, [['customer', BigInt(i % 10_000)]]);
  return bench;
}

/** Notes how long each of several turns takes. */
class Turns {
  longestMs = 0;

  turn<T>(run: () => T): T {
    const started = process.threadCpuUsage();
    const result = run();
    const { user, system } = process.threadCpuUsage(started);
    this.longestMs = Math.max(this.longestMs, (user + system) / 1_000);
    return result;
  }
}

function footprint(): void {
  const plans = Object.values(STRATEGIES);
  const measured = (name: string, submissions: number, chunks: number, plansInUse: number) =>
    line(name, () => {
      const before = heapBytes();
      const bench = new Bench();
      for (let i = 0; i < submissions; i++) bench.insert(chunks, [['customer', BigInt(i % 10_000)]]);
      for (const strategy of plans.slice(0, plansInUse)) bench.cycle(strategy, 1, 1);
      const bytes = (heapBytes() - before) / submissions;
      bench.insert(1);
      return { bytes };
    });
  measured('memory per waiting submission of 10,000,000 chunks (100)', 100, 10_000_000, 1);
  measured('memory per waiting submission (200,000), no strategy in use', 200_000, 10, 0);
  measured('memory per waiting submission (200,000), Oldest in use', 200_000, 10, 1);
  measured('memory per waiting submission (200,000), five strategies in use', 200_000, 10, 5);
}

warmUp();
inserts();
cycles();
oneChunkSubmissions();
nested();
disconnects();
waitingForLimit();
longestTurns();
footprint();
if (flags.json) console.log(JSON.stringify(lines, null, 2));
