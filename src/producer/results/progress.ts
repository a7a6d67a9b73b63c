import type { Clock } from '../../system/time/clock.ts';
import type { Progress } from '../options.ts';

/** The rate is that of about the last N milliseconds. */
const WINDOW_MS = 10_000;

/** Turns counts of chunks into what a progress bar shows. */
export class ProgressMeter {
  readonly #clock: Clock;
  readonly #chunkSizeOps: number | null;
  readonly #opsTotal: number | null;
  /** What was done when, oldest first; the first one is the edge of the window. */
  readonly #samples: { readonly atMs: number; readonly work: number }[] = [];

  /**
   * @param chunkSizeOps operations per chunk, where that is known
   * @param opsTotal how many operations there are, where that is known
   */
  constructor(clock: Clock, chunkSizeOps: number | null, opsTotal: number | null) {
    this.#clock = clock;
    this.#chunkSizeOps = chunkSizeOps;
    this.#opsTotal = opsTotal;
  }

  read(state: Progress['state'], chunksDone: number, chunksTotal: number): Progress {
    const areOpsKnown = this.#chunkSizeOps !== null;
    // Where operations are not known, the time left is that of the chunks.
    const chunkWork = this.#chunkSizeOps ?? 1;
    const total = (areOpsKnown ? this.#opsTotal : null) ?? chunksTotal * chunkWork;
    const done = chunksDone === chunksTotal ? total : Math.min(chunksDone * chunkWork, total);
    const rate = this.#rate(done);
    return {
      state,
      chunksDone,
      chunksTotal,
      opsDone: areOpsKnown ? done : null,
      perSecond: areOpsKnown ? rate : null,
      msLeft: msLeft(state, total - done, rate),
    };
  }

  #rate(work: number): number {
    const atMs = this.#clock.monotonicMs();
    const samples = this.#samples;
    samples.push({ atMs, work });
    while (samples.length > 2 && samples[1]!.atMs <= atMs - WINDOW_MS) samples.shift();
    const first = samples[0]!;
    return atMs > first.atMs ? ((work - first.work) / (atMs - first.atMs)) * 1000 : 0;
  }
}

function msLeft(state: Progress['state'], left: number, perSecond: number): number | null {
  if (state === 'completed' || state === 'completed_with_failures') return 0;
  // The rest of what failed or was cancelled is never done.
  return state === 'in_progress' && perSecond > 0 ? (left / perSecond) * 1000 : null;
}
