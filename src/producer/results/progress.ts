import type { Clock } from '../../system/time/clock.ts';
import type { Progress } from '../options.ts';

/** The rate is that of about the last N milliseconds. */
const WINDOW_MS = 10_000;

/** How far a submission is. */
export interface ProgressCounts {
  readonly chunksDone: number;
  /** Set aside. */
  readonly chunksFailed: number;
  readonly chunksTotal: number;
}

/** What was done by then, and what was done or set aside. */
interface Sample {
  readonly atMs: number;
  readonly done: number;
  readonly settled: number;
}

/** Turns counts of chunks into what a progress bar shows. */
export class ProgressMeter {
  readonly #clock: Clock;
  readonly #chunkSizeOps: number | null;
  readonly #opsTotal: number | null;
  /** What was done when, oldest first; the first one is the edge of the window. */
  readonly #samples: Sample[] = [];

  /**
   * @param chunkSizeOps operations per chunk, where that is known
   * @param opsTotal how many operations there are, where that is known
   */
  constructor(clock: Clock, chunkSizeOps: number | null, opsTotal: number | null) {
    this.#clock = clock;
    this.#chunkSizeOps = chunkSizeOps;
    this.#opsTotal = opsTotal;
  }

  read(state: Progress['state'], counts: ProgressCounts): Progress {
    const { chunksDone, chunksFailed, chunksTotal } = counts;
    const areOpsKnown = this.#chunkSizeOps !== null;
    // Where operations are not known, the time left is that of the chunks.
    const chunkWork = this.#chunkSizeOps ?? 1;
    const total = (areOpsKnown ? this.#opsTotal : null) ?? chunksTotal * chunkWork;
    const workOf = (chunks: number) => (chunks === chunksTotal ? total : Math.min(chunks * chunkWork, total));
    const [done, settled] = [workOf(chunksDone), workOf(chunksDone + chunksFailed)];
    const rate = this.#rates(done, settled);
    return {
      state,
      chunksDone,
      chunksFailed,
      chunksTotal,
      opsDone: areOpsKnown ? done : null,
      perSecond: areOpsKnown ? rate.done : null,
      msLeft: msLeft(state, total - settled, rate.settled),
    };
  }

  #rates(done: number, settled: number): Pick<Sample, 'done' | 'settled'> {
    const atMs = this.#clock.monotonicMs();
    const samples = this.#samples;
    samples.push({ atMs, done, settled });
    while (samples.length > 2 && samples[1]!.atMs <= atMs - WINDOW_MS) samples.shift();
    const first = samples[0]!;
    const seconds = (atMs - first.atMs) / 1000;
    if (seconds === 0) return { done: 0, settled: 0 };
    return { done: (done - first.done) / seconds, settled: (settled - first.settled) / seconds };
  }
}

function msLeft(state: Progress['state'], left: number, perSecond: number): number | null {
  if (state === 'completed' || state === 'completed_with_failures') return 0;
  // The rest of what failed or was cancelled is never done.
  return state === 'in_progress' && perSecond > 0 ? (left / perSecond) * 1000 : null;
}
