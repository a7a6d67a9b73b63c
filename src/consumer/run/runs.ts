import { linkedSignal } from '../../system/async/abort-signals.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { Activity } from '../activity.ts';
import type { Engine } from '../engine.ts';
import { checkPoolFile } from '../pool/program.ts';
import type { PoolSetup } from '../pool/protocol.ts';
import { logWhileStopping } from '../stop-log.ts';
import type { RunDemand } from '../thread/protocol.ts';
import { CallbackWatch } from './callback-watch.ts';
import type { OnRecorded, Processor } from './processor.ts';
import { ChunkRun } from './run.ts';
import { RunTracing } from './tracing.ts';

/** Why a pool is not started any more: by `stop` its call resolves. */
const STOPPED = Symbol('stopped');

export interface RunsOptions {
  readonly engine: Engine;
  readonly activity: Activity;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A call of a `runEach...`, checked. */
export interface RunCall {
  readonly demand: RunDemand;
  readonly untilIdleMs: number | null;
  readonly signal: AbortSignal | undefined;
}

/** The calls of `runEach...` of a client. */
export class Runs {
  readonly #o: RunsOptions;
  readonly #tracing = new RunTracing();
  readonly #runs = new Set<ChunkRun>();
  /** Pools of threads that load their module. */
  readonly #starting = new Set<Promise<unknown>>();
  /** Fires with `stop` (the reason is then STOPPED) and with `close`. */
  readonly #stopped = new AbortController();
  readonly #recorded: OnRecorded = (...failed) => this.#o.activity.failures.operationsFailed(...failed);
  #isPaused = false;

  constructor(options: RunsOptions) {
    this.#o = options;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get chunksRunning(): number {
    let running = 0;
    for (const run of this.#runs) running += run.chunksRunning;
    return running;
  }

  /** Resolves when the run is over. */
  async run(
    call: RunCall,
    processorOf: (watch: CallbackWatch, recorded: OnRecorded) => Processor,
  ): Promise<void> {
    const watch = this.#watch(call);
    await this.#run(call, watch, processorOf(watch, this.#recorded));
  }

  /** The callback is a module's default export, and runs in threads. */
  async runModule(call: RunCall, setup: PoolSetup, threads: number): Promise<void> {
    call.signal?.throwIfAborted();
    checkPoolFile();
    // Loaded on demand: most consumers need no pool.
    const { CallbackPool } = await import('../pool/handle.ts');
    using linked = linkedSignal(call.signal, this.#stopped.signal);
    const watch = this.#watch(call);
    const starting = CallbackPool.start({ setup, threads, watch, recorded: this.#recorded }, linked.signal);
    this.#starting.add(starting);
    let pool: Awaited<typeof starting>;
    try {
      pool = await starting;
    } catch (error) {
      // Stopped before there was anything to stop: nothing is wrong with that.
      if (error === STOPPED) return;
      throw error;
    } finally {
      this.#starting.delete(starting);
    }
    try {
      if (this.#stopped.signal.reason !== STOPPED) await this.#run(call, watch, pool.processor);
    } finally {
      await pool.close();
    }
  }

  async pause(): Promise<void> {
    this.#isPaused = true;
    await Promise.all([...this.#runs].map((run) => run.pause()));
  }

  resume(): void {
    this.#isPaused = false;
    for (const run of this.#runs) run.resume();
  }

  /** Finishes what runs; resolves when all runs and `more` have settled. */
  async finish(more: () => Promise<unknown>): Promise<void> {
    this.#stopped.abort(STOPPED);
    const runs = [...this.#runs];
    for (const run of runs) run.stop();
    const log = logWhileStopping(this.#o.clock, this.#o.logger, runs);
    await Promise.allSettled([...this.#starting, ...runs.map((run) => run.over), more()]);
    log.cancel();
  }

  /** Drops what still runs, because the grace of `stop` is over. */
  giveUp(graceMs: number): void {
    for (const run of [...this.#runs]) {
      const waiting = run.waitsFor;
      if (waiting !== null) {
        this.#o.logger.warn({ ...waiting, graceMs }, 'stop gives up a callback that has not finished');
      }
      run.giveUp();
    }
  }

  /** Drops everything: calls reject with the error. */
  abandon(error: unknown): void {
    this.#stopped.abort(error);
    for (const run of [...this.#runs]) run.abandon(error);
  }

  #watch({ demand }: RunCall): CallbackWatch {
    const { clock, engine } = this.#o;
    return new CallbackWatch(clock, demand.callbackMsMax, () => engine.beat());
  }

  async #run(
    { demand, untilIdleMs, signal }: RunCall,
    watch: CallbackWatch,
    processor: Processor,
  ): Promise<void> {
    signal?.throwIfAborted();
    const tracing = this.#tracing;
    const run = new ChunkRun({ ...this.#o, demand, untilIdleMs, watch, processor, tracing });
    const onAbort = () => run.abandon(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#runs.add(run);
    if (this.#isPaused) void run.pause();
    try {
      await run.over;
    } finally {
      this.#runs.delete(run);
      signal?.removeEventListener('abort', onAbort);
    }
  }
}
