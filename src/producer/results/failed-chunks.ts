import type { ChunkIndex, SubmissionId } from '../../model/ids.ts';
import { OpError } from '../../model/op-error.ts';
import type { FailedChunk, SubmissionStatus } from '../../model/submission.ts';
import { linkedSignal } from '../../system/async/abort-signals.ts';
import type { ClientContext } from '../context.ts';
import type { QueueApi } from '../queue-api.ts';
import type { Inserted } from '../submit/insert.ts';
import { BatchedResults, type BatchSource, type ItemIterator } from './results.ts';

/** What stands in the place of the output of a chunk that was set aside. */
export class FailedOutput {
  /** Of bytes that wait for the reader. */
  readonly length = 0;
  readonly chunkIndex: ChunkIndex;
  readonly failure: string;
  /** Of a direct submission; null otherwise. */
  readonly input: Uint8Array | null;

  constructor({ chunkIndex, failure, inputContent }: FailedChunk) {
    this.chunkIndex = chunkIndex;
    this.failure = failure;
    this.input = inputContent;
  }
}

/** Failures that one request asks for. */
const AT_A_TIME = 100;
/** Of a listing. */
const PAGE = 1_000;
/** More than these are not kept: readers in any order may leave some behind. */
const AHEAD_MAX = 1_000;

/** Why chunks were set aside: asked of the queue, some at a time. */
export class FailedChunks {
  readonly #api: Pick<QueueApi, 'failedChunks'>;
  readonly #id: SubmissionId;
  readonly #ahead = new Map<ChunkIndex, FailedChunk>();

  constructor(api: Pick<QueueApi, 'failedChunks'>, id: SubmissionId) {
    this.#api = api;
    this.#id = id;
  }

  async fetch(chunkIndex: ChunkIndex, signal: AbortSignal): Promise<FailedOutput> {
    if (!this.#ahead.has(chunkIndex)) {
      if (this.#ahead.size > AHEAD_MAX) this.#ahead.clear();
      for (const chunk of await this.#api.failedChunks(this.#id, chunkIndex, AT_A_TIME, signal)) {
        this.#ahead.set(chunk.chunkIndex, chunk);
      }
    }
    const found = this.#ahead.get(chunkIndex);
    this.#ahead.delete(chunkIndex);
    const retried = { chunkIndex, inputContent: null, failure: 'it failed, and is being tried again' };
    return new FailedOutput(found ?? retried);
  }
}

/** The chunks of a submission that failed, by index, asked of the queue a page at a time. Nothing is asked before the first `next`. */
export function failedChunksOf(
  context: ClientContext,
  status: (signal: AbortSignal) => Promise<SubmissionStatus>,
  caller: AbortSignal | undefined,
): ItemIterator<FailedChunk> {
  return new BatchedResults(new FailedChunkPages(context, status, caller));
}

class FailedChunkPages implements BatchSource<FailedChunk> {
  readonly #context: ClientContext;
  readonly #statusOf: (signal: AbortSignal) => Promise<SubmissionStatus>;
  readonly #caller: AbortSignal | undefined;
  readonly #stopped = new AbortController();
  #id: SubmissionId | null = null;
  #next: ChunkIndex = 0;

  constructor(
    context: ClientContext,
    status: (signal: AbortSignal) => Promise<SubmissionStatus>,
    caller: AbortSignal | undefined,
  ) {
    this.#context = context;
    this.#statusOf = status;
    this.#caller = caller;
  }

  async next(): Promise<IteratorResult<readonly FailedChunk[], void>> {
    using ends = linkedSignal(this.#stopped.signal, this.#caller);
    const chunks = await this.#context.call(ends.signal, (signal) => this.#page(signal));
    return chunks.length === 0 ? { done: true, value: undefined } : { done: false, value: chunks };
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the reader has stopped'));
  }

  /** The reader has what was given out: there is nothing to withhold. */
  onAbort(): void {}

  async #page(signal: AbortSignal): Promise<readonly FailedChunk[]> {
    if (this.#id === null) {
      const status = await this.#statusOf(signal);
      this.#id = status.record.id;
      // The one by which it failed is not set aside, and the others were not to the end of their tries.
      if (status.state === 'failed') this.#next = Number.POSITIVE_INFINITY;
      if (status.state === 'failed') return [status.failedChunk];
      if (status.record.failureMode === 'fail') return [];
    }
    if (this.#next === Number.POSITIVE_INFINITY) return [];
    const chunks = await this.#context.api.failedChunks(this.#id, this.#next, PAGE, signal);
    this.#next = (chunks.at(-1)?.chunkIndex ?? this.#next) + 1;
    return chunks;
  }
}

/** What is needed to know how many operations a chunk has. */
export interface OperationsOfChunk {
  readonly submission: Inserted;
  /** How many results a chunk with that content would have. */
  readonly count: (content: Uint8Array) => number;
  /** Null where it is not there any more. */
  readonly input: () => Promise<Uint8Array | null>;
}

/** The results of a chunk that was set aside: for each of its operations an error. */
export async function errorsOf(failed: FailedOutput, of: OperationsOfChunk): Promise<readonly OpError[]> {
  const { chunkIndex, failure } = failed;
  const error = new OpError(`chunk ${chunkIndex} failed: ${failure}`, {
    name: 'ChunkFailed',
    code: 'CHUNK_FAILED',
  });
  return new Array<OpError>(await operationsIn(failed, of)).fill(error);
}

/** All chunks have as many as the first one, but for the last, which may have fewer. */
async function operationsIn(
  { chunkIndex, input }: FailedOutput,
  { submission, count, input: fetchInput }: OperationsOfChunk,
): Promise<number> {
  const { chunkSizeOps, chunksTotal, opsTotal } = submission;
  if (chunkSizeOps !== null && opsTotal !== null) {
    return Math.min(chunkSizeOps, opsTotal - chunkIndex * chunkSizeOps);
  }
  if (chunkSizeOps !== null && chunkIndex < chunksTotal - 1 && chunkSizeOps > 0) return chunkSizeOps;
  const content = input ?? (await fetchInput());
  try {
    if (content !== null) return count(content);
  } catch {
    // It failed, perhaps because it cannot be read.
  }
  return chunkSizeOps ?? 1;
}
