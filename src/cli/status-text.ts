import { isUtf8 } from 'node:buffer';
import type { Act, FailedChunk, PausedBy, SubmissionDetails } from '../producer/index.ts';
import { counted, grouped, percentText, visible } from './text.ts';

const STATES = {
  in_progress: 'in progress',
  completed: 'completed',
  completed_with_failures: 'completed with failures',
  failed: 'failed',
  cancelled: 'cancelled',
} as const;

/**
 * A submission for people: a sentence, then what is known of it, a line each.
 *
 * @param note what an operator should know besides; null for nothing
 */
export function statusText(submission: SubmissionDetails, note: string | null): string {
  const lines: [string, string][] = [];
  if (submission.prefix !== null) lines.push(['prefix', submission.prefix]);
  lines.push(['chunk size', chunkSizeText(submission.chunkSize)]);
  const pairs = Object.entries(submission.strategicMetadata).map(([key, value]) => `${key}=${value}`);
  if (pairs.length > 0) lines.push(['strategic metadata', pairs.join(' ')]);
  if (submission.metadata !== null) lines.push(['metadata', counted(submission.metadata.length, 'byte')]);
  lines.push(['inserted', new Date(submission.submittedAtMs).toISOString()]);
  if (submission.state !== 'in_progress') lines.push(['ended', new Date(submission.endedAtMs).toISOString()]);
  if ('failedChunk' in submission) {
    lines.push([
      submission.state === 'failed' ? 'failed chunk' : 'first failed chunk',
      grouped(submission.failedChunk.chunkIndex),
    ]);
    lines.push(['failure', indented(submission.failedChunk.failure)]);
  }
  if (chunksFailedOf(submission) > 0) {
    lines.push([
      'failed chunks',
      `${grouped(chunksFailedOf(submission))}; opsqueue status ${submission.id} --failures lists them`,
    ]);
  }
  if (submission.state === 'cancelled' && submission.by !== null) lines.push(['cancelled by', submission.by]);
  if (submission.state === 'cancelled' && submission.reason !== null)
    lines.push(['reason', submission.reason]);
  lines.push(...controlLines(submission));
  if (note !== null) lines.push(['note', note]);
  const told = lines.map(([name, value]) => `  ${name.padEnd(20)}${visible(value)}\n`);
  return `submission ${submission.id}: ${stateText(submission)}, ${doneText(submission)}\n${told.join('')}`;
}

/** A text of several lines behind a name. */
function indented(text: string): string {
  return text.trimEnd().replaceAll('\n', `\n${' '.repeat(22)}`);
}

/** A chunk that failed: a line for people, and below it what more there is of its failure. */
export function failureText({ chunkIndex, failure }: FailedChunk): string {
  return `${`  chunk ${grouped(chunkIndex)}`.padEnd(22)}${visible(indented(failure))}\n`;
}

/** The same for programs. */
export function failureJson({ chunkIndex, failure }: FailedChunk): object {
  return { chunk_index: chunkIndex, failure };
}

function stateText(submission: SubmissionDetails): string {
  const text = STATES[submission.state];
  if (submission.state !== 'in_progress') return text;
  if (submission.pauses.length > 0) return `${text}, paused`;
  return submission.queuePauses.length > 0 ? `${text}, paused with its queue` : text;
}

/** What holds it up, what is to come, and who changed what. */
function controlLines(submission: SubmissionDetails): [string, string][] {
  const lines: [string, string][] = [];
  const { startAfterMs, deadlineMs, history } = submission;
  if (submission.state === 'in_progress') {
    for (const pause of submission.pauses) lines.push(['paused', pauseText(pause)]);
    for (const pause of submission.queuePauses) lines.push(['queue paused', pauseText(pause)]);
  }
  if (startAfterMs !== null) lines.push(['not before', new Date(startAfterMs).toISOString()]);
  if (deadlineMs !== null) lines.push(['deadline', new Date(deadlineMs).toISOString()]);
  for (const { verb, detail, by, reason, atMs } of history) {
    const what = detail === '' ? verb : `${verb} ${detail}`;
    const why = reason === null ? '' : `: ${reason}`;
    lines.push(['change', `${new Date(atMs).toISOString()} ${what} by ${by}${why}`]);
  }
  return lines;
}

/** `manual, by ann@host since 2030-01-01T00:00:00.000Z: why`. */
export function pauseText({ cause, by, reason, sinceMs }: PausedBy): string {
  const why = reason === null ? '' : `: ${reason}`;
  return `${cause}, by ${by} since ${new Date(sinceMs).toISOString()}${why}`;
}

function chunkSizeText(chunkSizeOps: number | null): string {
  if (chunkSizeOps === null) return 'unknown';
  return counted(chunkSizeOps, 'operation');
}

/** Chunks that are set aside; a submission that failed did so by one that is not. */
function chunksFailedOf(submission: SubmissionDetails): number {
  return 'chunksFailed' in submission ? submission.chunksFailed : 0;
}

/** How much of it is done. */
export function doneText(submission: SubmissionDetails): string {
  const total = submission.chunksTotal;
  const done = submission.chunksDone;
  if (done === null) return counted(total, 'chunk');
  if (done === total) return total === 1 ? 'its only chunk done' : `all ${counted(total, 'chunk')} done`;
  const failed = chunksFailedOf(submission);
  const failedText = failed === 0 ? '' : `, ${grouped(failed)} failed`;
  return `${grouped(done)} of ${counted(total, 'chunk')} done (${percentText(done / total)})${failedText}`;
}

/**
 * The same for programs, in the names of the wire protocol; ids and metadata values, which a double cannot hold, as text,
 * and the bytes of the metadata in base64 and, where they are UTF-8, as text too.
 */
export function statusJson(submission: SubmissionDetails): object {
  const metadata = submission.metadata === null ? null : Buffer.from(submission.metadata);
  return {
    id: submission.id,
    state: submission.state,
    prefix: submission.prefix,
    chunks_total: submission.chunksTotal,
    chunks_done: submission.chunksDone,
    chunks_failed: chunksFailedOf(submission),
    failure_mode: submission.failureMode,
    chunk_size: submission.chunkSize,
    metadata: metadata?.toString('base64') ?? null,
    metadata_text: metadata !== null && isUtf8(metadata) ? metadata.toString() : null,
    strategic_metadata: Object.fromEntries(
      Object.entries(submission.strategicMetadata).map(([key, value]) => [key, String(value)]),
    ),
    otel_trace_carrier: submission.traceCarrier,
    ended_at: submission.state === 'in_progress' ? null : new Date(submission.endedAtMs).toISOString(),
    failed_chunk: 'failedChunk' in submission ? failureJson(submission.failedChunk) : null,
    ...controlJson(submission),
  };
}

function controlJson(submission: SubmissionDetails): object {
  const { pauses, startAfterMs, deadlineMs, history } = submission;
  const isOpen = submission.state === 'in_progress';
  return {
    pauses: (isOpen ? pauses : []).map(pauseJson),
    queue_pauses: (isOpen ? submission.queuePauses : []).map(pauseJson),
    start_after: timeJson(startAfterMs),
    deadline: timeJson(deadlineMs),
    cancelled_by: submission.state === 'cancelled' ? submission.by : null,
    cancel_reason: submission.state === 'cancelled' ? submission.reason : null,
    history: history.map(({ atMs, ...act }: Act) => ({ ...act, at: timeJson(atMs) })),
  };
}

export function pauseJson({ sinceMs, ...pause }: PausedBy): object {
  return { ...pause, since: timeJson(sinceMs) };
}

function timeJson(unixMs: number | null): string | null {
  return unixMs === null ? null : new Date(unixMs).toISOString();
}
