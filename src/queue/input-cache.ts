import type { ChunkIndex, SubmissionId } from '../model/ids.ts';

/** A submission with more input than this is not kept: it would push out many small ones. */
const SUBMISSION_BYTES_MAX = 1024 * 1024;
/** What an entry takes besides its bytes. */
const CHUNK_BYTES_EXTRA = 128;

/** What several caches may take together. */
export interface InputRoom {
  /** Beyond this, further submissions are not kept. */
  readonly bytesMax: number;
  /** What is taken. */
  bytes: number;
}

/**
 * Inputs of small `Direct` submissions, kept from their insert on: a chunk is then handed out without asking the
 * store, which may be in the middle of a commit.
 */
export class InputCache {
  readonly #room: InputRoom;
  readonly #submissions = new Map<SubmissionId, readonly (Uint8Array | null)[]>();
  #bytes = 0;

  constructor(room: InputRoom) {
    this.#room = room;
  }

  /** Of this cache alone. */
  get bytes(): number {
    return this.#bytes;
  }

  keep(id: SubmissionId, inputs: readonly (Uint8Array | null)[]): void {
    const bytes = bytesOf(inputs);
    if (bytes > SUBMISSION_BYTES_MAX || this.#room.bytes + bytes > this.#room.bytesMax) return;
    this.#submissions.set(id, inputs);
    this.#take(bytes);
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
    this.#take(-bytesOf(inputs));
  }

  /** All of them. */
  clear(): void {
    this.#submissions.clear();
    this.#take(-this.#bytes);
  }

  #take(bytes: number): void {
    this.#bytes += bytes;
    this.#room.bytes += bytes;
  }
}

function bytesOf(inputs: readonly (Uint8Array | null)[]): number {
  let bytes = 0;
  for (const input of inputs) bytes += CHUNK_BYTES_EXTRA + (input?.length ?? 0);
  return bytes;
}
