import { ChunkSet, PAGE_CHUNKS } from '../../model/chunk-set.ts';
import { type Control, NO_CONTROL, type Scope } from '../../model/control.ts';
import type { ChunkId } from '../../model/ids.ts';
import type { SubmissionRecord } from '../../model/submission.ts';
import type { Mutation } from '../store.ts';
import { submissionRecord } from './records.ts';

type Insert = Extract<Mutation, { kind: 'insert' }>;

export function insertOf(
  id: bigint,
  fields: Partial<SubmissionRecord> = {},
  more: Partial<Insert> = {},
): Insert {
  return { kind: 'insert', record: submissionRecord({ ...fields, id }), ...more };
}

/** These chunks of a page are done, counted from its start. */
export function page(id: bigint, pageIndex: number, chunks: readonly number[]): Mutation {
  const set = new ChunkSet(PAGE_CHUNKS);
  for (const index of chunks) set.add(index);
  return { kind: 'page', id, page: pageIndex, content: set.page(0) };
}

export function tries(id: bigint, chunkIndex: number, retries: number, disconnects = 0): Mutation {
  return { kind: 'tries', id, chunkIndex, tries: { retries, disconnects } };
}

export function output(id: bigint, chunkIndex: number, ...bytes: number[]): Mutation {
  return { kind: 'direct_output', id, chunkIndex, content: new Uint8Array(bytes) };
}

export function completed(id: bigint, endedAtMs: number): Mutation {
  return { kind: 'end', id, end: { state: 'completed', endedAtMs } };
}

export function cancelled(
  id: bigint,
  endedAtMs: number,
  chunksDone = 0,
  by: string | null = null,
  reason: string | null = null,
): Mutation {
  return { kind: 'end', id, end: { state: 'cancelled', endedAtMs, chunksDone, by, reason } };
}

export function failed(id: bigint, endedAtMs: number, chunksDone = 0, failure = 'it broke'): Mutation {
  const failedChunk = { chunkIndex: 1, inputContent: null, failure };
  return { kind: 'end', id, end: { state: 'failed', endedAtMs, chunksDone, failedChunk } };
}

export function failedChunk(id: bigint, chunkIndex: number, failure: string | null): Mutation {
  return { kind: 'failed_chunk', id, chunkIndex, failure };
}

export function completedWithFailures(id: bigint, endedAtMs: number, chunksDone = 0): Mutation {
  const failedChunk = { chunkIndex: 1, inputContent: null, failure: 'it broke' };
  return { kind: 'end', id, end: { state: 'completed_with_failures', endedAtMs, chunksDone, failedChunk } };
}

export function controlOf(fields: Partial<Control>): Control {
  return { ...NO_CONTROL, ...fields };
}

export function control(id: bigint, fields: Partial<Control>): Mutation {
  return { kind: 'control', id, control: controlOf(fields) };
}

/** Paused since then. */
export function scopeControl(scope: Scope, sinceMs: number): Mutation {
  const pauses = [{ cause: 'manual', by: 'ann@host', reason: null, sinceMs }];
  return { kind: 'scope_control', scope, control: { pauses, history: [] } };
}

export function chunk(submissionId: bigint, chunkIndex: number): ChunkId {
  return { submissionId, chunkIndex };
}
