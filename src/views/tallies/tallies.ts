import type { ConnectedConsumer } from '../../queue/peer.ts';
import type { OpenSubmission } from '../../scheduler/types.ts';
import { Rolling } from './rolling.ts';
import { Spans } from './spans.ts';

/** Durations of a submission are kept from this one on: of the others too little is known to say anything. */
const SPANS_AFTER = 4;

/** What happened in a queue, or in all, since the start. Numbers only: counting costs next to nothing. */
export class QueueTally {
  inserted = 0;
  completed = 0;
  failed = 0;
  cancelled = 0;
  done = 0;
  setBack = 0;
}

/** What happened to an open submission since the start, or since it came. */
export class SubmissionTally {
  readonly queue: QueueTally;
  readonly doneOfLate = new Rolling();
  done = 0;
  setBack = 0;
  setBackOfLate: Rolling | null = null;
  spans: Spans | null = null;
  regions: Regions | null = null;
  /** On the monotonic clock, when one of its chunks was done first, or failed first. */
  firstDoneMs: number | null = null;
  firstSetBackMs: number | null = null;

  constructor(queue: QueueTally) {
    this.queue = queue;
  }

  completed(nowMs: number): void {
    if (this.done++ === 0) this.firstDoneMs = nowMs;
    this.doneOfLate.add(nowMs);
  }

  tookMs(ms: number, bucket: number): void {
    if (this.spans === null && this.done > SPANS_AFTER) this.spans = new Spans();
    this.spans?.addTo(bucket, ms);
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
  readonly spans = new Spans();
  done = 0;
  setBack = 0;

  completed(nowMs: number): void {
    this.done++;
    this.doneOfLate.add(nowMs);
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
