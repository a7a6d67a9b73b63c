import { ConsumerTally, LongOnes, SubmissionTally } from '../../../src/views/tallies/tallies.ts';

/** What is counted of a submission, or of a consumer, as the queue and its watcher do it. */
class Counted {
  completions = 0;
  tallyMark = -1;
  readonly #longOnes = new LongOnes();

  protected isLong(tookMs: number | null, nowMs: number): boolean {
    this.completions++;
    return tookMs !== null && this.#longOnes.isLong(tookMs, nowMs);
  }
}

/** A submission of which nothing is known but what is counted of it. */
export class CountedChunks extends Counted {
  readonly tally = new SubmissionTally(this);

  /**
   * The next chunk is done.
   *
   * @returns whether its tally was looked at
   */
  completed(nowMs: number, tookMs: number | null): boolean {
    const isLong = this.isLong(tookMs, nowMs);
    if (!isLong && !SubmissionTally.mustSee(this, nowMs)) return false;
    this.tally.completed(this.completions - 1, tookMs, isLong, nowMs);
    return true;
  }
}

/** A consumer, likewise. */
export class CountedConsumer extends Counted {
  readonly tally = new ConsumerTally(this);

  completed(nowMs: number, tookMs: number | null): void {
    const isLong = this.isLong(tookMs, nowMs);
    if (isLong || ConsumerTally.mustSee(this, nowMs)) this.tally.completed(tookMs, isLong, nowMs);
  }
}
