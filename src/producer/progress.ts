import type { Clock } from '../system/clock.ts';
import type { Progress } from './options.ts';

/** The rate is that of about the last so many milliseconds. */
const WINDOW_MS = 10_000;

/** Turns counts of chunks into what a progress bar shows. */
export class ProgressMeter {
  readonly #clock: Clock;
  readonly #chunkSizeOps: number;
  readonly #opsTotal: number | null;
  /** What was done when, oldest first; the first one is the edge of the window. */
  readonly #samples: { readonly atMs: number; readonly ops: number }[] = [];

  /** @param opsTotal how many operations there are, where that is known */
  constructor(clock: Clock, chunkSizeOps: number, opsTotal: number | null) {
    this.#clock = clock;
    this.#chunkSizeOps = chunkSizeOps;
    this.#opsTotal = opsTotal;
  }

  read(state: Progress['state'], chunksDone: number, chunksTotal: number): Progress {
    const opsTotal = this.#opsTotal ?? chunksTotal * this.#chunkSizeOps;
    const opsDone =
      chunksDone === chunksTotal ? opsTotal : Math.min(chunksDone * this.#chunkSizeOps, opsTotal);
    const perSecond = this.#rate(opsDone);
    const msLeft =
      state !== 'in_progress' ? 0 : perSecond > 0 ? ((opsTotal - opsDone) / perSecond) * 1000 : null;
    return { state, chunksDone, chunksTotal, opsDone, perSecond, msLeft };
  }

  #rate(ops: number): number {
    const atMs = this.#clock.monotonicMs();
    const samples = this.#samples;
    samples.push({ atMs, ops });
    while (samples.length > 2 && samples[1]!.atMs <= atMs - WINDOW_MS) samples.shift();
    const first = samples[0]!;
    return atMs > first.atMs ? ((ops - first.ops) / (atMs - first.atMs)) * 1000 : 0;
  }
}
