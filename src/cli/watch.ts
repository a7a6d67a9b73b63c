import type { Progress, Submission, SubmissionDetails } from '../producer/index.ts';
import { SubmissionForgottenError } from '../producer/index.ts';
import { systemClock } from '../system/time/clock.ts';
import type { Io } from './io.ts';
import { ProgressLine } from './progress-line.ts';
import { statusJson, statusText } from './status-text.ts';
import { toJson } from './text.ts';

export interface WatchOutput {
  readonly io: Io;
  readonly json: boolean;
}

/** Shows the progress of a submission until it has ended; answers how. */
export async function watch(submission: Submission, { io, json }: WatchOutput): Promise<SubmissionDetails> {
  const line = new ProgressLine(io.stdout, systemClock);
  try {
    for await (const progress of submission.progress()) {
      if (json) io.stdout.write(`${toJson(progressJson(progress))}\n`);
      else line.show(inChunks(progress));
    }
  } finally {
    line.finish();
  }
  const details = await submission.details();
  if (details === null) throw new SubmissionForgottenError(submission.id);
  io.stdout.write(json ? `${toJson(statusJson(details))}\n` : statusText(details, null));
  return details;
}

/** The queue counts chunks; the rate is shown in operations, so it is scaled. */
function inChunks({ chunksDone, chunksFailed, chunksTotal, opsDone, perSecond, msLeft }: Progress) {
  const perChunk = opsDone !== null && opsDone > 0 && chunksDone > 0 ? opsDone / chunksDone : 1;
  return {
    done: chunksDone,
    failed: chunksFailed,
    total: chunksTotal,
    unit: 'chunks',
    perSecond: perSecond !== null && perSecond > 0 ? perSecond / perChunk : null,
    msLeft,
  };
}

function progressJson(progress: Progress): object {
  const { state, chunksDone, chunksFailed, chunksTotal, opsDone, perSecond, msLeft } = progress;
  return {
    state,
    chunks_done: chunksDone,
    chunks_failed: chunksFailed,
    chunks_total: chunksTotal,
    operations_done: opsDone,
    operations_per_second: perSecond,
    ms_left: msLeft,
  };
}
