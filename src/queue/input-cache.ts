import type { ChunkIndex, SubmissionId } from '../model/ids.ts';

/** A submission with more input than this is not kept: it would push out many small ones. */
const SUBMISSION_BYTES_MAX = 1024 * 1024;
/** What an entry takes besides its bytes. */
const CHUNK_BYTES_EXTRA = 128;

/**
 * Inputs of small `Direct` submissions, kept from their insert on: a chunk is then handed out without asking the
 * store, which may be in the middle of a commit.
 */
export class InputCache {
  readonly #bytesMax: number;
  readonly #submissions = new Map<SubmissionId, readonly (Uint8Array | null)[]>();
  #bytes = 0;

  /** @param bytesMax beyond this, further submissions are not kept */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  keep(id: SubmissionId, inputs: readonly (Uint8Array | null)[]): void {
    const bytes = bytesOf(inputs);
    if (bytes > SUBMISSION_BYTES_MAX || this.#bytes + bytes > this.#bytesMax) return;
    this.#submissions.set(id, inputs);
    this.#bytes += bytes;
  }

  /** undefined: not kept, the store has it. */
  input(id: SubmissionId, chunkIndex: ChunkIndex): Uint8Array | null | undefined {
    return this.#submissions.get(id)?.[chunkIndex];
  }

  /** The submission has ended. */
  forget(id: SubmissionId): void {
    const inputs = this.#submissions.get(id);
    if (inputs === undefined) return;
    this.#submissions.delete(id);
    this.#bytes -= bytesOf(inputs);
  }
}

function bytesOf(inputs: readonly (Uint8Array | null)[]): number {
  let bytes = 0;
  for (const input of inputs) bytes += CHUNK_BYTES_EXTRA + (input?.length ?? 0);
  return bytes;
}
