import { traceOf } from '../../model/thrown.ts';
import type { Activity } from '../activity.ts';
import type { Engine, ReportCommand } from '../engine.ts';
import type { Handle, RunDemand } from '../thread/protocol.ts';
import type { ChunkJob } from './job.ts';
import type { LocalBodies } from './local-bodies.ts';
import type { ChunkSpan } from './tracing.ts';
import { verdictOf } from './verdict.ts';

export interface ChunkOutcomesParts {
  readonly engine: Engine;
  readonly demand: RunDemand;
  readonly activity: Activity;
  readonly local: LocalBodies;
  /** The chunks that are worked on: one that has an outcome leaves them. */
  readonly jobs: Map<Handle, ChunkJob>;
  /** Results are not wanted any more. */
  readonly isOver: () => boolean;
  /** A chunk has left, or its result has arrived. */
  readonly changed: () => void;
}

/** Brings the results and failures of callbacks on their way to the queue. */
export class ChunkOutcomes {
  readonly #p: ChunkOutcomesParts;
  /** Results on their way whose receipt is waited for. */
  #sending = 0;

  constructor(parts: ChunkOutcomesParts) {
    this.#p = parts;
  }

  get isSending(): boolean {
    return this.#sending > 0;
  }

  completed(job: ChunkJob, output: Uint8Array, computeMs: number, span: ChunkSpan): void {
    span.computed(null);
    if (this.#isUnwanted(job, span)) return;
    const { local } = this.#p;
    const { prefix } = job.held.submission;
    if (!local.areWritten(prefix)) {
      this.#send(job, output, computeMs, span);
      return;
    }
    local.write(job, prefix, output).then(
      (times) => {
        span.uploaded(times);
        if (!this.#isUnwanted(job, span)) this.#send(job, null, computeMs, span);
      },
      (error: unknown) => this.failed(job, error, span),
    );
  }

  failed(job: ChunkJob, error: unknown, span: ChunkSpan): void {
    span.computed(error);
    if (this.#isUnwanted(job, span)) return;
    const { activity, engine, changed } = this.#p;
    this.#leave(job);
    const { held } = job;
    const failure = traceOf(error);
    const { retryable, delayMs } = verdictOf(error) ?? { retryable: true, delayMs: 0 };
    if (job.isHeld) {
      const { handle, chunk } = held;
      engine.report({ kind: 'fail', failure: { handle, chunk, failure, retryable, delayMs } });
    }
    span.uploaded(null);
    activity.failed(held.chunk, failure, false);
    changed();
  }

  #send(job: ChunkJob, body: Uint8Array | null, computeMs: number, span: ChunkSpan): void {
    const { activity, demand, engine, changed } = this.#p;
    this.#leave(job);
    activity.chunksCompleted++;
    const { chunk, handle, submission } = job.held;
    // What is not held any more counts by its name.
    const name = { chunk, handle: job.isHeld ? handle : null };
    const { compression } = demand;
    const result = { ...name, prefix: submission.prefix, body, compression, computeMs };
    const command: ReportCommand = { kind: 'complete', result };
    if (job.isHeld && !span.isRecorded) engine.report(command);
    else void this.#reportAndWait(command, span);
    changed();
  }

  async #reportAndWait(command: ReportCommand, span: ChunkSpan): Promise<void> {
    this.#sending++;
    try {
      const { upload } = await this.#p.engine.reportAndWait(command, 'uploaded');
      span.uploaded(upload);
    } catch {
      // The engine ended, and with it this run.
      span.uploaded(null);
    }
    this.#sending--;
    this.#p.changed();
  }

  /** Forgets a job whose result is not wanted. */
  #isUnwanted(job: ChunkJob, span: ChunkSpan): boolean {
    if (!job.isDropped && !this.#p.isOver()) return false;
    this.#leave(job);
    span.uploaded(null);
    this.#p.changed();
    return true;
  }

  #leave({ held }: ChunkJob): void {
    this.#p.jobs.delete(held.handle);
    this.#p.local.leave(held.handle);
  }
}
