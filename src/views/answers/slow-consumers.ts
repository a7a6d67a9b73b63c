import { strategyText } from '../../model/strategy-text.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { ConsumerSight, ScheduleSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import { consumerTallyOf } from '../tallies/tallies.ts';

/** A consumer that takes so many times what the others do is slow. */
const TIMES_MIN = 5;
const TIMES_MEDIAN_MIN = 2.5;
/** Of fewer consumers it cannot be said who is the odd one. */
const ALIKE_MIN = 3;
/** Before that many chunks, nothing is said of how long a consumer takes. */
export const CONSUMER_SAMPLES_MIN = 5;
/** The text of a strategy takes some microseconds. */
const STRIDE = 32;

type Seen = ConsumerSight<ConsumerPeer>;

/** What a chunk takes a consumer of late. */
interface Usual {
  readonly consumer: Seen;
  readonly meanMs: number;
  readonly medianMs: number;
}

export interface Slow {
  readonly meanMs: number;
  /** What it takes those with the same strategy, the median of them. */
  readonly othersMs: number;
}

/**
 * Consumers of a queue that are far slower than others. Compared are those with the same strategy: with another one, they may do
 * other work. The mean says how slow one is; the median, that it is not so for a single chunk.
 */
export function* slowConsumers({
  consumers,
}: Pick<ScheduleSight<ConsumerPeer>, 'consumers'>): Computation<ReadonlyMap<Seen, Slow>> {
  const groups = new Map<string, Usual[]>();
  let looked = 0;
  for (const consumer of consumers) {
    if (++looked % STRIDE === 0) yield;
    const { strategy } = consumer.peer.facts;
    const tally = consumerTallyOf(consumer);
    if (strategy === null || tally === null || tally.spans.count < CONSUMER_SAMPLES_MIN) continue;
    const usual = { consumer, meanMs: tally.meanMs, medianMs: tally.spans.quantile(0.5) };
    const text = strategyText(strategy);
    const alike = groups.get(text);
    if (alike === undefined) groups.set(text, [usual]);
    else alike.push(usual);
  }
  const slow = new Map<Seen, Slow>();
  for (const alike of groups.values()) {
    if (alike.length < ALIKE_MIN) continue;
    const othersMs = medianOf(alike.map(({ meanMs }) => meanMs));
    const othersMedianMs = medianOf(alike.map((each) => each.medianMs));
    for (const { consumer, meanMs, medianMs } of alike) {
      if (meanMs <= TIMES_MIN * othersMs || medianMs <= TIMES_MEDIAN_MIN * othersMedianMs) continue;
      slow.set(consumer, { meanMs, othersMs });
    }
  }
  return slow;
}

function medianOf(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
