import { type SubmissionStatus, submissionIdTimeMs } from '../producer/index.ts';
import { grouped, visible } from './text.ts';

const STATES = {
  in_progress: 'in progress',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
} as const;

/** A submission for people: a sentence, then what is known of it, a line each. */
export function statusText(status: SubmissionStatus): string {
  const { record } = status;
  const lines: [string, string][] = [];
  if (record.prefix !== null) lines.push(['prefix', record.prefix]);
  lines.push(['chunk size', chunkSizeText(record.chunkSizeOps)]);
  const pairs = [...record.strategicMetadata].map(([key, value]) => `${key}=${value}`);
  if (pairs.length > 0) lines.push(['strategic metadata', pairs.join(' ')]);
  if (record.metadata !== null) lines.push(['metadata', `${grouped(record.metadata.length)} bytes`]);
  lines.push(['inserted', new Date(submissionIdTimeMs(record.id)).toISOString()]);
  if (status.state !== 'in_progress') lines.push(['ended', new Date(status.endedAtMs).toISOString()]);
  if (status.state === 'failed') {
    lines.push(['failed chunk', grouped(status.failedChunk.chunkIndex)]);
    lines.push(['failure', status.failedChunk.failure.trimEnd().replaceAll('\n', `\n${' '.repeat(22)}`)]);
  }
  const told = lines.map(([name, value]) => `  ${name.padEnd(20)}${visible(value)}\n`);
  return `submission ${record.id}: ${STATES[status.state]}, ${doneText(status)}\n${told.join('')}`;
}

function chunkSizeText(chunkSizeOps: number | null): string {
  if (chunkSizeOps === null) return 'unknown';
  return `${grouped(chunkSizeOps)} ${chunkSizeOps === 1 ? 'operation' : 'operations'}`;
}

/** How much of it is done. */
export function doneText(status: SubmissionStatus): string {
  const total = status.record.chunksTotal;
  const done = chunksDone(status);
  if (done === null) return `${grouped(total)} chunks`;
  if (done === total) return total === 1 ? 'its only chunk done' : `all ${grouped(total)} chunks done`;
  return `${grouped(done)} of ${grouped(total)} chunks done (${((100 * done) / total).toFixed(1)} %)`;
}

/** The same for programs, in the names of the wire protocol; ids and metadata values, which a double cannot hold, as text. */
export function statusJson(status: SubmissionStatus): object {
  const { record } = status;
  return {
    id: String(record.id),
    state: status.state,
    prefix: record.prefix,
    chunks_total: record.chunksTotal,
    chunks_done: chunksDone(status),
    chunk_size: record.chunkSizeOps,
    metadata: record.metadata === null ? null : Buffer.from(record.metadata).toString('base64'),
    strategic_metadata: Object.fromEntries(
      [...record.strategicMetadata].map(([key, value]) => [key, String(value)]),
    ),
    otel_trace_carrier: record.otelTraceCarrier,
    ended_at: status.state === 'in_progress' ? null : new Date(status.endedAtMs).toISOString(),
    failed_chunk:
      status.state === 'failed'
        ? { chunk_index: status.failedChunk.chunkIndex, failure: status.failedChunk.failure }
        : null,
  };
}

function chunksDone(status: SubmissionStatus): number | null {
  return status.state === 'completed' ? status.record.chunksTotal : status.chunksDone;
}
