import type { ChunkIndex, SubmissionId } from '../../model/ids.ts';
import { OpError } from '../../model/op-error.ts';
import type { FailedChunk } from '../../model/submission.ts';
import type { QueueApi } from '../queue-api.ts';
import type { Inserted } from '../submit/insert.ts';

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
