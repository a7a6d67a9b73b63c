import { IncorrectUsageError } from '../../model/errors.ts';
import type { ChunkIndex } from '../../model/ids.ts';
import { CHUNKS_PER_SUBMISSION_MAX } from '../../model/limits.ts';
import type { BoundedStore } from '../../objects/bounded-store.ts';
import { chunkKey } from '../../objects/keys.ts';
import { type ChunkCompression, compressChunk } from '../../protocol/chunk/compression.ts';
import { linkedSignal } from '../../system/async/abort-signals.ts';
import type { Clock } from '../../system/time/clock.ts';
import { Gate } from '../gate.ts';
import type { SubmissionTracing } from '../tracing.ts';
import { deleteInputs } from './delete-chunks.ts';

/** Decides of a chunk, given in their order, whether it has to be put into the store. `put` resolves to the bytes it took there. */
export interface UploadGuard {
  chunk(
    index: ChunkIndex,
    content: Uint8Array,
    put: () => Promise<number>,
    signal: AbortSignal,
  ): Promise<void>;
}

export interface UploaderOptions {
  readonly store: BoundedStore;
  readonly prefix: string;
  /** Uploads at a time. */
  readonly transfersMax: number;
  /** Bytes that are on their way at a time; a single larger chunk travels alone. */
  readonly memoryBytesMax: number;
  readonly compression: ChunkCompression | null;
  /** null: all chunks are put. */
  readonly guard: UploadGuard | null;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly tracing: SubmissionTracing;
}

/** Removing what was uploaded may not hold up the error for longer, in milliseconds. */
const DISCARD_MS_MAX = 300_000;
/** An upload that was stopped ends soon, unless the disk hangs: then what is there would be removed no sooner. */
const STOP_MS_MAX = 3_000;

/** Takes the contents of chunks 0, 1, 2, ... and puts them into the object store, some at a time. */
export class Uploader {
  readonly #o: UploaderOptions;
  readonly #changed = new Gate();
  readonly #linked;
  #chunks = 0;
  #running = 0;
  #bytes = 0;
  #failure: { readonly error: unknown } | null = null;

  constructor(options: UploaderOptions) {
    this.#o = options;
    this.#linked = linkedSignal(options.signal);
  }

  /** Fires when it cannot go on: the caller's signal, or an upload that failed (its error is the reason). */
  get signal(): AbortSignal {
    return this.#linked.signal;
  }

  /** Chunks handed over so far. */
  get chunks(): number {
    return this.#chunks;
  }

  /**
   * Starts the upload of the next chunk. Returns nothing where the next one may come at once, else a promise of
   * that moment. Borrowed content is copied, unless it is uploaded before that moment.
   *
   * @throws whatever an earlier upload failed with; the signal's reason
   */
  add(content: Uint8Array, isBorrowed: boolean): Promise<void> | undefined {
    this.#check();
    if (this.#chunks === CHUNKS_PER_SUBMISSION_MAX) {
      throw new IncorrectUsageError(`a submission of more than ${CHUNKS_PER_SUBMISSION_MAX} chunks`);
    }
    const body = isBorrowed && !this.#isRoomTakenBy(content) ? new Uint8Array(content) : content;
    // A borrowed buffer can be transferred, and is empty then.
    const bytes = body.length;
    const index = this.#chunks++;
    this.#running++;
    this.#bytes += bytes;
    this.#put(index, body)
      .catch((error: unknown) => {
        this.#failure ??= { error };
        // The others are not worth finishing.
        this.#linked.abort(error);
      })
      .finally(() => {
        this.#running--;
        this.#bytes -= bytes;
        this.#changed.open();
      });
    return this.#isFull() ? this.#room() : undefined;
  }

  /** All that was handed over is in the store. Returns the number of chunks. */
  async finish(): Promise<number> {
    while (this.#running > 0) await this.#changed.wait();
    this.#check();
    this.#linked[Symbol.dispose]();
    return this.#chunks;
  }

  /** Stops what is under way; what arrived stays. Never throws. */
  async stop(): Promise<void> {
    this.#linked.abort(new Error('stopped'));
    while (this.#running > 0) await this.#changed.wait();
  }

  /** Takes everything back: stops what is under way and removes what arrived. Never throws; false if something stays. */
  async discard(): Promise<boolean> {
    await this.stop();
    const { store, prefix, clock } = this.#o;
    if (!(await store.settles(STOP_MS_MAX))) return false;
    using limit = linkedSignal();
    const timer = clock.after(DISCARD_MS_MAX, () => limit.abort(new Error('took too long')));
    const removed = deleteInputs(store, { prefix, chunks: this.#chunks, signal: limit.signal });
    const isGone = await removed.then(
      () => true,
      () => false,
    );
    timer.cancel();
    return isGone;
  }

  #isFull(): boolean {
    return this.#running >= this.#o.transfersMax || this.#bytes >= this.#o.memoryBytesMax;
  }

  /** Whether nothing else has room until it is uploaded. */
  #isRoomTakenBy(content: Uint8Array): boolean {
    return this.#o.transfersMax === 1 || content.length >= this.#o.memoryBytesMax;
  }

  async #room(): Promise<void> {
    while (this.#isFull()) await this.#changed.wait();
    this.#check();
  }

  #check(): void {
    // What an abort makes of an upload differs from store to store: the caller gets the signal's reason.
    this.#o.signal.throwIfAborted();
    if (this.#failure !== null) throw this.#failure.error;
    this.#linked.signal.throwIfAborted();
  }

  async #put(index: number, content: Uint8Array): Promise<void> {
    const { store, prefix, compression, tracing, guard } = this.#o;
    const { signal } = this.#linked;
    const key = chunkKey(prefix, index, 'in');
    const put = async () => {
      const body = compression === null ? content : await compressChunk(content);
      // A store may transfer the buffer, which is empty then.
      const { length } = body;
      await tracing.transfer('upload_chunk', index, () => store.put(key, body, { signal }));
      return length;
    };
    await (guard === null ? put() : guard.chunk(index, content, put, signal));
  }
}
