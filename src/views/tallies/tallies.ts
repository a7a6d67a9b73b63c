import type { ChunkIndex } from '../../model/ids.ts';
import type { ConnectedConsumer } from '../../queue/peer.ts';
import type { LookedOn, OpenSubmission } from '../../scheduler/types.ts';
import { bucketAt, Rolling } from './rolling.ts';
import { Spans } from './spans.ts';
import { Stops } from './stops.ts';

/** With fewer chunks of a submission done, nothing is said of how long they take: a bad estimate is worse than none. */
export const SAMPLES_MIN = 20;
/** Durations of a submission are kept from this one on: of the others too little is known to say anything. */
const SPANS_AFTER = 4;
/** Up to this one each of them is; from then on one in so many, which counts for all of these. */
const SPANS_EACH_UNTIL = 16;
const SPANS_ONE_IN = 8;
/** Of a submission, from that one on, fewer still are enough. */
const SPANS_MANY_AFTER = 256;
const SPANS_ONE_IN_MANY = 32;
/** Multiples of the golden ratio, of whose fractions the first three bits are nought in one of eight cases, the first five in one of 32. */
const GOLDEN = 0x9e3779b1;
const GOLDEN_BITS = 32;

/** For how many durations that of the chunk that was done as the so-manieth stands. Not every eighth: eight consumers may take turns. */
function standsFor(done: number): number {
  if (done <= SPANS_EACH_UNTIL) return 1;
  return Math.imul(done, GOLDEN) >>> (GOLDEN_BITS - 3) === 0 ? SPANS_ONE_IN : 0;
}

function standsForOfMany(done: number): number {
  if (done <= SPANS_MANY_AFTER) return standsFor(done);
  return Math.imul(done, GOLDEN) >>> (GOLDEN_BITS - 5) === 0 ? SPANS_ONE_IN_MANY : 0;
}
/** Of a consumer its last chunks count: one that has become slow is found after some twenty. */
const FADING_AFTER = 32;
/** Chunks that take so long are few in a second, as a rule. */
const LONG_FROM_MS = 50;

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
 * Chunks that were done since the start, or since their submission or consumer came. A strategy may take each chunk from another one of
 * very many submissions: then each object that a chunk touches is not in the processor's cache, and costs more than all that is
 * done with it. So chunks are counted in the submission itself, and its tally is looked at now and then: for the first one of each
 * ten seconds, for those that took long, and for some of the others. Those of consumers are few, and are counted likewise.
 */
class DoneTally {
  readonly #counted: Counted;
  readonly #ofLate = new Rolling();
  /** How many are in there. */
  #rolled = 0;

  constructor(counted: Counted) {
    this.#counted = counted;
  }

  get done(): number {
    return this.#counted.completions;
  }

  get doneOfLate(): Rolling {
    this.#ofLate.addToLast(this.done - this.#rolled);
    this.#rolled = this.done;
    return this.#ofLate;
  }

  /** One was just done. Those before it that were not seen were done when the last one that was seen was, as far as it matters. */
  protected seen(nowMs: number): void {
    const { done } = this;
    this.#ofLate.addToLast(done - 1 - this.#rolled);
    this.#ofLate.add(nowMs);
    this.#rolled = done;
    this.#counted.tallyMark = bucketAt(nowMs);
  }
}

/** How long chunks took, in milliseconds. */
export interface Durations {
  readonly p50: number;
  readonly p90: number;
  readonly max: number;
  /** Of so many of them. */
  readonly count: number;
}

/** What happened to an open submission. */
export class SubmissionTally extends DoneTally {
  /** Of a chunk, in milliseconds, rounded up; of short ones, some are looked at. */
  longestMs = 0;
  setBack = 0;
  setBackOfLate: Rolling | null = null;
  spans: Spans | null = null;
  /** null: it has too few chunks for that, or others have too many; undefined: nothing is known yet. */
  regions: Regions | null | undefined = undefined;
  /** On the monotonic clock, when one of its chunks was done first, or failed first. */
  firstDoneMs: number | null = null;
  /** How long that one took; 0: not known. */
  firstTookMs = 0;
  firstSetBackMs: number | null = null;
  /** When it was paused, or not to begin yet. */
  stops: Stops | null = null;

  /** Whether `completed` has to be called for the chunk of it that was just done, however short it was. */
  static mustSee({ completions, tallyMark }: Counted, nowMs: number): boolean {
    return tallyMark !== bucketAt(nowMs) || standsForOfMany(completions) > 0;
  }

  /**
   * The chunk was done last.
   *
   * @param isLong all that take so long are told
   */
  completed(chunkIndex: ChunkIndex, tookMs: number | null, isLong: boolean, nowMs: number): void {
    this.seen(nowMs);
    this.firstDoneMs ??= nowMs;
    this.stops?.worked(nowMs);
    if (tookMs === null) return;
    const { done } = this;
    if (done === 1) this.firstTookMs = tookMs;
    if (tookMs > this.longestMs) this.longestMs = Math.ceil(tookMs);
    const times = standsForOfMany(done);
    if (times > 0 && done > SPANS_AFTER) {
      this.spans ??= new Spans();
      this.spans.add(tookMs, times);
    }
    this.regions?.add(chunkIndex, tookMs, isLong ? 1 : times);
  }

  /** Of its chunks, from reservation to completion; null where too few are done to say. */
  get durationsMs(): Durations | null {
    const { spans } = this;
    if (spans === null || this.done < SAMPLES_MIN) return null;
    return {
      p50: spans.quantile(0.5),
      p90: spans.quantile(0.9),
      max: this.longestMs,
      count: spans.count,
    };
  }

  standsStill(isStopped: boolean, nowMs: number): void {
    if (isStopped) this.stops ??= new Stops();
    this.stops?.look(isStopped, nowMs);
  }

  failed(nowMs: number): void {
    if (this.setBack++ === 0) this.firstSetBackMs = nowMs;
    this.setBackOfLate ??= new Rolling();
    this.setBackOfLate.add(nowMs);
  }
}

/** From which length on each chunk is looked at: higher where very many take long, so that it is about a thousand a second at most. */
export class LongOnes {
  #fromMs = LONG_FROM_MS;
  #seen = 0;
  #second = 0;

  isLong(tookMs: number, nowMs: number): boolean {
    if (tookMs < LONG_FROM_MS) return false;
    const second = (nowMs / SECOND_MS) | 0;
    if (second !== this.#second) {
      this.#second = second;
      this.#seen = 0;
      this.#fromMs = Math.max(LONG_FROM_MS, this.#fromMs / 2);
    }
    if (tookMs < this.#fromMs) return false;
    if (++this.#seen < LONG_SEEN_MAX) return true;
    this.#seen = 0;
    this.#fromMs *= 2;
    return true;
  }
}

const SECOND_MS = 1_000;
const LONG_SEEN_MAX = 500;

/** What counts the completions, beside all else that each of them touches. */
export type Counted = Pick<LookedOn, 'completions' | 'tallyMark'>;

/** What a connected consumer did. */
export class ConsumerTally extends DoneTally {
  readonly setBackOfLate = new Rolling();
  readonly spans = new Spans(FADING_AFTER);
  /** Of its last chunks, in milliseconds. */
  meanMs = 0;
  setBack = 0;

  /** As for a submission. */
  static mustSee({ completions, tallyMark }: Counted, nowMs: number): boolean {
    return tallyMark !== bucketAt(nowMs) || standsFor(completions) > 0;
  }

  completed(tookMs: number | null, isLong: boolean, nowMs: number): void {
    this.seen(nowMs);
    const times = isLong ? 1 : standsFor(this.done);
    if (tookMs === null || times === 0) return;
    this.spans.add(tookMs, times);
    this.meanMs += (tookMs - this.meanMs) * (times / Math.min(this.done, FADING_AFTER));
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
  readonly length: number;
  /** Of each region, side by side: the sum, how many there are, the longest one. */
  readonly #figures: Float32Array;

  private constructor(shift: number, regions: number) {
    this.shift = shift;
    this.length = regions;
    this.#figures = new Float32Array(regions * FIGURES);
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
    return this.#figures.byteLength;
  }

  sum(region: number): number {
    return this.#figures[region * FIGURES]!;
  }

  count(region: number): number {
    return this.#figures[region * FIGURES + 1]!;
  }

  longest(region: number): number {
    return this.#figures[region * FIGURES + 2]!;
  }

  /** @param times that it counts for so many; 0: as the longest one at most */
  add(chunkIndex: ChunkIndex, ms: number, times = 1): void {
    const at = (chunkIndex >>> this.shift) * FIGURES;
    const figures = this.#figures;
    figures[at]! += ms * times;
    figures[at + 1]! += times;
    if (ms > figures[at + 2]!) figures[at + 2] = ms;
  }
}

const FIGURES = 3;

const REGION_BITS_MIN = 6;
const REGIONS_MAX = 2_560;
const REGIONS_MIN = 8;
