import { bounded, messageOf, traceOf } from '../../model/thrown.ts';
import type { ChunkBodies } from '../content/bodies.ts';
import type { ChunkResult, Failure, Receipt, TransferTimes, TransportEvent } from '../thread/protocol.ts';
import type { Chunks } from './chunks.ts';
import type { Dialect } from './dialect/dialect.ts';
import type { FeedChunk } from './feed.ts';
import type { GiveBack } from './give-back.ts';
import type { Intake } from './intake.ts';
import type { ReportOutbox } from './outbox.ts';
import type { QueueLink, Reservations } from './reservations.ts';

export interface ResultsParts {
  readonly link: QueueLink;
  readonly chunks: Chunks;
  readonly reservations: Reservations;
  readonly giveBacks: GiveBack;
  readonly intake: Intake;
  readonly outbox: ReportOutbox;
  /** null: the calling thread writes the bodies. */
  readonly bodies: ChunkBodies | null;
  readonly emit: (event: TransportEvent) => void;
}

/** The way of a result, or a failure, from the calling thread to the queue. */
export class ResultDelivery {
  readonly #p: ResultsParts;
  /** Results of chunks that are not held, on their way. */
  #unheld = 0;

  constructor(parts: ResultsParts) {
    this.#p = parts;
  }

  /** Whether a result of a chunk that is not held is on its way. */
  get isSendingUnheld(): boolean {
    return this.#unheld > 0;
  }

  complete(result: ChunkResult) {
    const { chunks, reservations } = this.#p;
    const chunk = chunks.find(result.handle, result.chunk);
    // Its run knows that it is lost.
    if (chunk === undefined && result.handle !== null) return this.#settle(result.receipt, null);
    if (chunk === undefined) this.#unheld++;
    else this.#noteResult(chunk, result);
    void this.#send(result, chunk);
    if (chunk !== undefined) reservations.look(chunk.feed);
  }

  fail(failure: Failure) {
    const { chunks, outbox, giveBacks, intake } = this.#p;
    const { handle, receipt, retryable, delayMs } = failure;
    const chunk = chunks.find(handle, failure.chunk);
    if (chunk === undefined && handle !== null) return this.#settle(receipt, null);
    if (chunk !== undefined && chunk.renewal !== null && retryable) return this.#beginAgain(chunk, receipt);
    const isAwaited = receipt?.when === 'sent';
    // Only the holder's failure counts, and without a connection this consumer holds nothing.
    const isWanted = outbox.queue === null ? isAwaited : chunk === undefined || chunk.mayFail;
    if (isWanted) {
      const text = bounded(failure.failure);
      const send = (queue: Dialect) => queue.fail(failure.chunk, text, { retryable, delayMs });
      outbox.send({ send, waiter: this.#waiter(receipt, null) });
    }
    if (chunk !== undefined) {
      giveBacks.noteProgress(chunk.feed);
      chunks.remove(chunk);
      intake.progress(chunk.feed);
    }
    if (!isWanted || !isAwaited) this.#settle(receipt, null);
  }

  #noteResult(chunk: FeedChunk, { body, computeMs }: ChunkResult): void {
    const bytes = body?.length ?? 0;
    const { feed } = chunk;
    chunk.resultCame(bytes);
    feed.noteResult(bytes, computeMs);
    this.#p.giveBacks.noteProgress(feed);
    this.#p.intake.progress(feed);
  }

  async #send(result: ChunkResult, chunk: FeedChunk | undefined): Promise<void> {
    const { bodies, chunks, intake, link, outbox } = this.#p;
    const { receipt, prefix, body } = result;
    let upload: TransferTimes | null = null;
    if (prefix !== null && body !== null && bodies !== null) {
      const signal = chunk?.beginUpload() ?? NEVER;
      const address = { prefix, chunkIndex: result.chunk.chunkIndex };
      try {
        upload = await bodies.write(address, body, result.compression, signal);
      } catch (error) {
        if (!signal.aborted) return this.#uploadFailed(result, chunk, error);
      }
      if (signal.aborted) return this.#settle(receipt, null);
      chunk?.uploaded();
    }
    if (chunk === undefined) this.#unheld--;
    const outputContent = prefix === null ? body : null;
    const send = () => link.send({ kind: 'complete', chunk: result.chunk, outputContent });
    outbox.send({ send, waiter: this.#waiter(receipt, upload) });
    if (chunk !== undefined) {
      chunks.remove(chunk);
      intake.progress(chunk.feed);
    }
    // A run goes on meanwhile.
    if (receipt?.when !== 'sent') this.#settle(receipt, null, upload);
    else outbox.queue?.afterResult();
  }

  #uploadFailed(result: ChunkResult, chunk: FeedChunk | undefined, error: unknown): void {
    const failure = traceOf(error);
    if (chunk?.mayFail !== false) this.#p.outbox.queue?.fail(result.chunk, failure, null);
    const hadResult = result.receipt?.when !== 'sent';
    this.#p.emit({ kind: 'failed', chunk: result.chunk, failure, hadResult });
    if (chunk === undefined) this.#unheld--;
    else this.#p.chunks.remove(chunk);
    this.#settle(result.receipt, messageOf(error));
  }

  /** The expiry was the failed try of what has failed just now. This is the next one. */
  #beginAgain(chunk: FeedChunk, receipt: Receipt | null): void {
    const { feed, renewal } = chunk;
    if (renewal !== null && !feed.takesNothing) this.#p.intake.take([renewal], feed);
    else this.#p.outbox.queue?.giveBack([chunk.id]);
    this.#p.chunks.remove(chunk);
    this.#p.intake.progress(feed);
    this.#settle(receipt, null);
  }

  #waiter(receipt: Receipt | null, upload: TransferTimes | null) {
    if (receipt?.when !== 'sent') return null;
    return {
      sent: () => this.#settle(receipt, null, upload),
      givenUp: () => this.#p.emit({ kind: 'unsent', receipt: receipt.id }),
    };
  }

  #settle(receipt: Receipt | null, error: string | null, upload: TransferTimes | null = null): void {
    if (receipt !== null) this.#p.emit({ kind: 'settled', receipt: receipt.id, error, upload });
    this.#p.outbox.queue?.afterResult();
  }
}

/** Of an upload that nothing takes back. */
const NEVER = new AbortController().signal;
