import { Strategy } from '../../src/model/strategy.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';
import type { ConsumerHandle, HandedOutChunk } from '../../src/scheduler/types.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { seededRandom } from '../../src/system/random.ts';
import { median } from './report.ts';
import { timeText, type WaitingRow } from './waiting-report.ts';

const CHUNK_MS = 1_000;
const CONSUMERS = 64;
/** The small ones come all at once, this long after the large one. */
const HEAD_START_MS = 60_000;
const LARGE_ID = 1n;

/** One customer with much to do, and many with little. */
export interface Customers {
  readonly largeChunks: number;
  readonly small: number;
  readonly smallChunks: number;
}

export const CUSTOMERS: Customers = { largeChunks: 1_000_000, small: 100, smallChunks: 10 };

/** From insert to last chunk done. */
export interface WaitingTimes {
  /** Of each small customer, ascending. */
  readonly smallMs: readonly number[];
  /** null: not waited for. */
  readonly largeMs: number | null;
}

/** What is compared, by name. The small ones are urgent. */
export const COMPARED: Readonly<Record<string, Strategy>> = {
  Oldest: Strategy.parse('oldest'),
  Random: Strategy.parse('random'),
  PreferDistinct: Strategy.parse('preferDistinct(customer, oldest)'),
  Priority: Strategy.parse('priority(urgency, oldest)'),
  MaxSimultaneous: Strategy.parse('maxSimultaneous(customer, 8, oldest)'),
  'MaxSimultaneous, else Oldest': Strategy.parse('orElse(maxSimultaneous(customer, 8, oldest), oldest)'),
};

/** A line of the comparison. */
export function waitingRow(name: string, strategy: Strategy): WaitingRow {
  const { smallMs, largeMs } = waitingTimes(strategy);
  return {
    name,
    strategy: Strategy.toText(strategy),
    median: timeText(median(smallMs)),
    worst: timeText(smallMs.at(-1)!),
    large: timeText(largeMs!),
  };
}

interface Running {
  readonly consumer: ConsumerHandle<string>;
  readonly chunk: HandedOutChunk;
  readonly endMs: number;
}

/**
 * The queue's own scheduler in simulated time: 64 consumers that ask for one chunk after the other, and a second for
 * each chunk. `untilSmallEnd`: the large one is not waited for.
 */
export function waitingTimes(strategy: Strategy, customers = CUSTOMERS, untilSmallEnd = false): WaitingTimes {
  const scheduler = new Scheduler<string>({
    random: seededRandom(1),
    reservationExpirationMs: 1e12,
    chunkRetriesMax: 10,
    chunkDisconnectsMax: 10,
  });
  const { effects } = scheduler;
  /** All take equally long, so the one that began first ends first. */
  let running: Running[] = [];
  let ended = 0;
  let nowMs = 0;
  const smallMs: number[] = [];
  let largeMs: number | null = null;

  const carryOut = () => {
    for (let i = 0; i < effects.length; i++) {
      const effect = effects.at(i);
      if (effect.kind === 'reserved') {
        const { consumer } = effect;
        for (const chunk of effect.chunks) running.push({ consumer, chunk, endMs: nowMs + CHUNK_MS });
      } else if (effect.kind === 'ending') {
        const { id } = effect.submission.record;
        if (id === LARGE_ID) largeMs = nowMs;
        else smallMs.push(nowMs - HEAD_START_MS);
      }
    }
    effects.clear();
  };
  const insert = (id: bigint, chunksTotal: number, urgency: bigint) => {
    const strategicMetadata = new Map([
      ['customer', id],
      ['urgency', urgency],
    ]);
    scheduler.insert(submissionRecord({ id, chunksTotal, strategicMetadata }), nowMs);
    carryOut();
  };
  const ask = (consumer: ConsumerHandle<string>) => {
    scheduler.reserve(consumer, { nonce: 1, max: 1, strategy }, nowMs);
    carryOut();
  };

  insert(LARGE_ID, customers.largeChunks, 0n);
  for (let i = 0; i < CONSUMERS; i++) {
    nowMs = (i * CHUNK_MS) / CONSUMERS;
    ask(scheduler.addConsumer(''));
  }
  let hasSmall = false;
  while (!(untilSmallEnd && smallMs.length === customers.small)) {
    const next = running[ended];
    if (!hasSmall && (next === undefined || next.endMs > HEAD_START_MS)) {
      hasSmall = true;
      nowMs = HEAD_START_MS;
      for (let i = 1n; i <= customers.small; i++) insert(LARGE_ID + i, customers.smallChunks, 1n);
      continue;
    }
    if (next === undefined) break;
    const { consumer, chunk } = next;
    ended++;
    nowMs = next.endMs;
    scheduler.complete(consumer, chunk.submission.record.id, chunk.chunkIndex, nowMs);
    carryOut();
    ask(consumer);
    if (ended < 10_000) continue;
    running = running.slice(ended);
    ended = 0;
  }
  return { smallMs, largeMs };
}
