import type { ConnectedConsumer } from '../../queue/peer.ts';
import type { OpenSubmission } from '../../scheduler/types.ts';
import { Rolling } from './rolling.ts';
import { Spans } from './spans.ts';

/** Durations of a submission are kept from this one on: of the others too little is known to say anything. */
const SPANS_AFTER = 4;
/** Up to this one each of them is; from then on one in so many, which counts for all of these. */
const SPANS_EACH_UNTIL = 16;
const SPANS_ONE_IN = 8;
/** Multiples of the golden ratio, of whose fractions the first three bits are nought in one of eight cases. */
const GOLDEN = 0x9e3779b1;
const GOLDEN_SHIFT = 29;

/** For how many durations that of the chunk that was done as the so-manieth stands. Not every eighth: eight consumers may take turns. */
function standsFor(done: number): number {
  if (done <= SPANS_EACH_UNTIL) return 1;
  return Math.imul(done, GOLDEN) >>> GOLDEN_SHIFT === 0 ? SPANS_ONE_IN : 0;
}
/** Of a consumer its last chunks count: one that has become slow is found after some twenty. */
const FADING_AFTER = 32;
/** Of those there are few in a second. */
const SPANS_EACH_FROM_MS = 50;

/** What happened in a queue, or in all, since the start. Numbers only: counting costs next to nothing. */
export class QueueTally {
  inserted = 0;
  completed = 0;
  failed = 0;
  cancelled = 0;
  done = 0;
  setBack = 0;
}

/**
 * What happened to an open submission since the start, or since it came. A strategy may take each chunk from another one of
 * very many submissions: then each object that a chunk touches is not in the processor's cache, and costs more than all that is
 * done with it. So this is itself the count of what was done of late, and durations are looked at now and then.
 */
export class SubmissionTally extends Rolling {
  readonly queue: QueueTally;
  done = 0;
  /** Of a chunk, in milliseconds, rounded up. */
  longestMs = 0;
  setBack = 0;
  setBackOfLate: Rolling | null = null;
  spans: Spans | null = null;
  regions: Regions | null = null;
  /** On the monotonic clock, when one of its chunks was done first, or failed first. */
  firstDoneMs: number | null = null;
  /** How long that one took; 0: not known. */
  firstTookMs = 0;
  firstSetBackMs: number | null = null;

  constructor(queue: QueueTally) {
    super();
    this.queue = queue;
  }

  get doneOfLate(): Rolling {
    return this;
  }

  completed(nowMs: number): void {
    if (this.done++ === 0) this.firstDoneMs = nowMs;
    this.add(nowMs);
  }

  /** Of the chunk that was done last. */
  tookMs(ms: number): void {
    if (ms > this.longestMs) this.longestMs = Math.ceil(ms);
    if (this.done === 1) this.firstTookMs = ms;
    const times = standsFor(this.done);
    if (times === 0 || this.done <= SPANS_AFTER) return;
    this.spans ??= new Spans();
    this.spans.add(ms, times);
  }

  failed(nowMs: number): void {
    if (this.setBack++ === 0) this.firstSetBackMs = nowMs;
    this.setBackOfLate ??= new Rolling();
    this.setBackOfLate.add(nowMs);
  }
}

/** What a connected consumer did. */
export class ConsumerTally {
  readonly doneOfLate = new Rolling();
  readonly setBackOfLate = new Rolling();
  readonly spans = new Spans(FADING_AFTER);
  /** Of its last chunks, in milliseconds. */
  meanMs = 0;
  done = 0;
  setBack = 0;

  completed(nowMs: number): void {
    this.done++;
    this.doneOfLate.add(nowMs);
  }

  /** Of the chunk that was done last. */
  tookMs(ms: number): void {
    const times = ms >= SPANS_EACH_FROM_MS ? 1 : standsFor(this.done);
    if (times === 0) return;
    this.spans.add(ms, times);
    this.meanMs += (ms - this.meanMs) * (times / Math.min(this.done, FADING_AFTER));
  }

  failed(nowMs: number): void {
    this.setBack++;
    this.setBackOfLate.add(nowMs);
  }
}

export function submissionTallyOf({ tally }: OpenSubmission): SubmissionTally | null {
  return tally instanceof SubmissionTally ? tally : null;
}

export function consumerTallyOf({ tally }: ConnectedConsumer): ConsumerTally | null {
  return tally instanceof ConsumerTally ? tally : null;
}

/** Durations by place: of so many chunks in a row their sum and the longest one. */
export class Regions {
  /** Of the chunks of a region. */
  readonly shift: number;
  readonly sums: Float32Array;
  readonly counts: Uint32Array;
  readonly longest: Float32Array;

  private constructor(shift: number, regions: number) {
    this.shift = shift;
    this.sums = new Float32Array(regions);
    this.counts = new Uint32Array(regions);
    this.longest = new Float32Array(regions);
  }

  static shiftFor(chunksTotal: number): number {
    let shift = REGION_BITS_MIN;
    while (chunksTotal / 2 ** shift > REGIONS_MAX) shift++;
    return shift;
  }

  /** null: it has too few chunks for that. */
  static for(chunksTotal: number): Regions | null {
    const shift = Regions.shiftFor(chunksTotal);
    const regions = Math.ceil(chunksTotal / 2 ** shift);
    return regions < REGIONS_MIN ? null : new Regions(shift, regions);
  }

  get bytes(): number {
    return this.sums.length * 12;
  }

  add(chunkIndex: number, ms: number): void {
    const region = chunkIndex >>> this.shift;
    this.sums[region]! += ms;
    this.counts[region]!++;
    if (ms > this.longest[region]!) this.longest[region] = ms;
  }
}

const REGION_BITS_MIN = 6;
const REGIONS_MAX = 2_560;
const REGIONS_MIN = 8;
