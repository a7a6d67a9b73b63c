import type { LogStats } from '../../system/log/logger.ts';
import type { Clock, Timer } from '../../system/time/clock.ts';

/** Where a {@link LogSink} writes. Must neither block the caller nor throw. */
export interface LogWriter {
  /**
   * Writes some of it, one call at a time.
   *
   * @param done how many bytes were written; or an error, and then none of them
   */
  write(bytes: Uint8Array, done: (result: number | LogWriteError) => void): void;
}

export interface LogWriteError {
  /** Nobody will ever read it. Else it may work later. */
  readonly isFinal: boolean;
  /** It works as soon as there is room, which is looked for often. */
  readonly isFull: boolean;
}

export interface LogSinkOptions {
  readonly writer: LogWriter;
  readonly clock: Clock;
  /** Lines that cannot be written wait, up to this many bytes in all; further ones are lost. Default 256 KiB. */
  readonly pendingBytesMax?: number | undefined;
  /** Lines are written again after `lines` were lost; something to be logged, perhaps. */
  readonly recovered?: ((lines: number) => void) | undefined;
}

const PENDING_BYTES_MAX = 256 * 1024;
/** A write that failed is tried again after this time, one that found no room after {@link FULL_RETRY_MS}. */
const RETRY_MS = 1_000;
const FULL_RETRY_MS = 50;

/**
 * Takes the lines of a log and has them written in the background: a disk that is full, a pipe that is not read hold
 * up nobody. What cannot be written waits, up to a limit, and is lost beyond it.
 */
export class LogSink implements LogStats {
  bytesWritten = 0;
  bytesPending = 0;
  linesLost = 0;
  readonly #o: LogSinkOptions;
  readonly #pendingBytesMax: number;
  #lines: Buffer[] = [];
  /** What is being written, or could not be: the rest of a piece. */
  #piece: Uint8Array = Buffer.alloc(0);
  #linesInPiece = 0;
  #isWriting = false;
  #retry: Timer | null = null;
  #isOver = false;
  #linesLostTold = 0;
  #whenIdle: (() => void) | null = null;

  constructor(options: LogSinkOptions) {
    this.#o = options;
    this.#pendingBytesMax = options.pendingBytesMax ?? PENDING_BYTES_MAX;
  }

  /** Takes a line, its line feed included. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#isOver || this.bytesPending + bytes.length > this.#pendingBytesMax) {
      this.linesLost++;
      return;
    }
    this.bytesPending += bytes.length;
    this.#lines.push(bytes);
    if (this.#retry === null) this.#pump();
  }

  /** Resolves when everything is written, or is known to be unwritable for now; after `graceMs` at the latest. */
  async flush(graceMs: number): Promise<void> {
    this.#retry?.cancel();
    this.#retry = null;
    this.#pump();
    if (!this.#isWriting && this.#retry === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#o.clock.after(graceMs, resolve);
    this.#whenIdle = resolve;
    await promise;
    timer.cancel();
    this.#whenIdle = null;
  }

  #pump(): void {
    if (this.#isWriting || this.#isOver) return;
    if (this.#piece.length === 0) {
      if (this.#lines.length === 0) return;
      this.#piece = Buffer.concat(this.#lines);
      this.#linesInPiece = this.#lines.length;
      this.#lines = [];
    }
    this.#isWriting = true;
    this.#o.writer.write(this.#piece, (result) => {
      this.#isWriting = false;
      if (typeof result === 'number') this.#written(result);
      else this.#failed(result);
    });
  }

  #written(bytes: number): void {
    this.#piece = this.#piece.subarray(bytes);
    this.bytesPending -= bytes;
    this.bytesWritten += bytes;
    const lost = this.linesLost - this.#linesLostTold;
    if (lost > 0) {
      // Before the call: it may write a line.
      this.#linesLostTold = this.linesLost;
      this.#o.recovered?.(lost);
    }
    this.#pump();
    if (!this.#isWriting) this.#whenIdle?.();
  }

  #failed({ isFinal, isFull }: LogWriteError): void {
    if (isFinal) {
      this.#isOver = true;
      this.linesLost += this.#lines.length + this.#linesInPiece;
      this.bytesPending = 0;
      this.#lines = [];
      this.#piece = Buffer.alloc(0);
    } else {
      const again = () => {
        this.#retry = null;
        this.#pump();
      };
      this.#retry = this.#o.clock.after(isFull ? FULL_RETRY_MS : RETRY_MS, again, { unref: true });
    }
    // Nothing is gained by waiting for a disk that is full; a reader may only be slow.
    if (!isFull) this.#whenIdle?.();
  }
}
