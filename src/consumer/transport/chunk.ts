import type { ChunkId } from '../../model/ids.ts';
import type { SubmissionFacts } from '../../model/submission.ts';
import type { ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import type { Handle, HeldChunk, TransferTimes } from '../thread/protocol.ts';

/** How far a chunk has come. */
export type ChunkState = 'waiting' | 'fetching' | 'ready' | 'handed' | 'taken' | 'sending' | 'gone';

/** What the queue thinks of the reservation. */
type Claim = 'ours' | 'unanswered' | 'answered' | 'cut' | 'renewed';

const NEXT: Readonly<Record<ChunkState, readonly ChunkState[]>> = {
  waiting: ['fetching', 'gone'],
  fetching: ['ready', 'gone'],
  ready: ['handed', 'taken', 'gone'],
  handed: ['sending', 'gone'],
  taken: ['sending', 'gone'],
  sending: ['gone'],
  gone: [],
};

/** The books of the feed that a chunk was reserved for. */
export interface ChunkBook {
  /** `before` is null for a new chunk. */
  moved(before: ChunkState | null, after: ChunkState): void;
  /** Bytes that it takes more than before. */
  weighed(bytes: number): void;
}

/**
 * A chunk that was reserved. Its state, and what its feed counts, change here only.
 *
 *     waiting --memory allows--> fetching --downloaded--> ready --+--to a run------------> handed --+--result--> sending
 *                                                                 +--to reserveChunks' caller--> taken --+
 *       any --sent, failed, given back, dropped--> gone
 *
 * Beside that runs the claim on it. Without one (`isOurs` is false) the result of what is worked on still counts:
 *
 *     ours --connection broke--> cut --reserved again--> ours
 *     ours --expired--> unanswered, answered --reserved again--> renewed (expires and is cut as ours is)
 *                       unanswered, renewed --connection broke--> answered
 */
export class Chunk<Book extends ChunkBook = ChunkBook> {
  readonly handle: Handle;
  readonly id: ChunkId;
  readonly key: string;
  readonly submission: SubmissionFacts;
  readonly feed: Book;
  readonly reservedMs: number;
  readonly #retries: number;
  #state: ChunkState;
  #claim: Claim = 'ours';
  #renewal: ReservedChunkMessage | null = null;
  #extendedMs: number;
  #handedMs = 0;
  /** Ends the transfer that is under way. */
  #transfer: AbortController | null = null;
  /** Those that count against the memory of its feed. */
  #bytes = 0;
  #input: Uint8Array | null;
  #download: TransferTimes | null = null;

  /** `isReadHere`: a body in the object store is read by the transport. */
  constructor(
    handle: Handle,
    message: ReservedChunkMessage,
    submission: SubmissionFacts,
    origin: { readonly feed: Book; readonly nowMs: number; readonly isReadHere: boolean },
  ) {
    this.handle = handle;
    this.id = message.chunk;
    this.key = chunkKeyOf(message.chunk);
    this.submission = submission;
    this.feed = origin.feed;
    this.reservedMs = origin.nowMs;
    this.#retries = message.retries;
    this.#extendedMs = origin.nowMs;
    this.#input = message.inputContent;
    this.#state = this.#input === null && origin.isReadHere ? 'waiting' : 'ready';
    this.feed.moved(null, this.#state);
    this.#weigh(this.#input?.length ?? 0);
  }

  get state(): ChunkState {
    return this.#state;
  }

  /** The queue counts it as reserved by this connection. */
  get isOurs(): boolean {
    return this.#claim === 'ours' || this.#claim === 'renewed';
  }

  /** Whether the queue listens to its failure: as that of the holder, or as the answer to an expiry, which is not a try. */
  get mayFail(): boolean {
    return this.isOurs || this.#claim === 'unanswered';
  }

  /** A run may come to a result. What a caller took is completed by its name. */
  get isWorkedOn(): boolean {
    return this.#state === 'handed' || this.#state === 'sending';
  }

  get hasBody(): boolean {
    return this.#input !== null || this.submission.prefix !== null;
  }

  /** How it was reserved once more after its expiry, while the callback was still busy with it. */
  get renewal(): ReservedChunkMessage | null {
    return this.#renewal;
  }

  /** When it was handed over; 0 before. */
  get handedMs(): number {
    return this.#handedMs;
  }

  /** When it was last reserved or extended. */
  get extendedMs(): number {
    return this.#extendedMs;
  }

  extended(nowMs: number): void {
    this.#extendedMs = nowMs;
  }

  /** Its input is read from now on, and is expected to take this many bytes. */
  beginFetch(bytes: number): AbortSignal {
    this.#move('fetching');
    this.#weigh(bytes);
    return this.#beginTransfer();
  }

  fetched(content: Uint8Array, times: TransferTimes): void {
    this.#move('ready');
    this.#transfer = null;
    this.#input = content;
    this.#download = times;
    this.#weigh(content.length);
  }

  handOver(to: 'handed' | 'taken', nowMs: number): HeldChunk {
    this.#move(to);
    this.#handedMs = nowMs;
    const input = this.#input;
    this.#input = null;
    const { handle, id, submission } = this;
    return { handle, chunk: id, submission, retries: this.#retries, input, download: this.#download };
  }

  /** Its result has come, and takes this many bytes. */
  resultCame(bytes: number): void {
    this.#move('sending');
    this.#weigh(bytes);
  }

  beginUpload(): AbortSignal {
    if (this.#state !== 'sending') throw new Error(`a chunk that is ${this.#state} has nothing to upload`);
    return this.#beginTransfer();
  }

  uploaded(): void {
    this.#transfer = null;
  }

  /** Nothing is known of it any more, and its transfer ends. */
  leave(): void {
    this.#move('gone');
    this.#weigh(0);
    this.#transfer?.abort();
    this.#transfer = null;
    this.#input = null;
  }

  // The claim

  /** The reservation expired. Until that is answered the queue does not give us the chunk again. */
  expired(isAnswered: boolean): void {
    this.#claim = isAnswered ? 'answered' : 'unanswered';
    this.#renewal = null;
  }

  /** The connection broke. */
  cut(): void {
    this.#claim = this.#claim === 'ours' || this.#claim === 'cut' ? 'cut' : 'answered';
    this.#renewal = null;
  }

  /** The queue has given it to us once more. */
  reservedAgain(message: ReservedChunkMessage): void {
    if (this.isOurs) throw new Error('a chunk that is reserved was reserved again');
    const isRenewal = this.#claim !== 'cut';
    this.#claim = isRenewal ? 'renewed' : 'ours';
    if (isRenewal) this.#renewal = message;
  }

  #move(to: ChunkState): void {
    const from = this.#state;
    if (!NEXT[from].includes(to)) throw new Error(`a chunk that is ${from} cannot become ${to}`);
    this.#state = to;
    this.feed.moved(from, to);
  }

  #weigh(bytes: number): void {
    if (bytes === this.#bytes) return;
    this.feed.weighed(bytes - this.#bytes);
    this.#bytes = bytes;
  }

  #beginTransfer(): AbortSignal {
    this.#transfer = new AbortController();
    return this.#transfer.signal;
  }
}

export function chunkKeyOf(chunk: ChunkId): string {
  return `${chunk.submissionId}/${chunk.chunkIndex}`;
}
