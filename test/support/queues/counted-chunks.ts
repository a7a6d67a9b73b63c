import { LongOnes, SubmissionTally } from '../../../src/views/tallies/tallies.ts';

/** A submission of which nothing is known but what is counted of it, as the queue and its watcher do it. */
export class CountedChunks {
  completions = 0;
  tallyMark = -1;
  readonly tally = new SubmissionTally(this);
  readonly #longOnes = new LongOnes();
  #next = 0;

  /**
   * The next chunk is done.
   *
   * @returns whether its tally was looked at
   */
  completed(nowMs: number, tookMs: number | null): boolean {
    this.completions++;
    const chunkIndex = this.#next++;
    const isLong = tookMs !== null && this.#longOnes.isLong(tookMs, nowMs);
    if (!isLong && !SubmissionTally.mustSee(this, nowMs)) return false;
    this.tally.completed(chunkIndex, tookMs, isLong, nowMs);
    return true;
  }
}
