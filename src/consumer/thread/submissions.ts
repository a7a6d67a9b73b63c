import type { SubmissionFacts } from '../../model/submission.ts';
import type { HeldChunk, TransportEvent } from './protocol.ts';

/** Records that both threads remember, the latest ones. */
const SLOTS = 256;

interface PackedChunk extends Omit<HeldChunk, 'submission'> {
  readonly slot: number;
  /** What is in the slot from this chunk on; null: what was there before. */
  readonly record: SubmissionFacts | null;
}

/** An event as it crosses the threads. */
export type PackedEvent =
  | Exclude<TransportEvent, { kind: 'ready' }>
  | { readonly kind: 'packed'; readonly feed: number; readonly chunks: readonly PackedChunk[] };

/** Sends the record of a submission, whose metadata may be large, once for many chunks. */
export class SubmissionSender {
  readonly #slots = new Map<SubmissionFacts, number>();

  pack(event: TransportEvent): PackedEvent {
    if (event.kind !== 'ready') return event;
    return { kind: 'packed', feed: event.feed, chunks: event.chunks.map((chunk) => this.#chunk(chunk)) };
  }

  #chunk({ submission, handle, chunk, retries, input, download }: HeldChunk): PackedChunk {
    const known = this.#slots.get(submission);
    const slot = known ?? this.#take(submission);
    const record = known === undefined ? submission : null;
    return { handle, chunk, retries, input, download, slot, record };
  }

  /** A new slot; where all are taken the oldest one. */
  #take(record: SubmissionFacts): number {
    let slot = this.#slots.size;
    const [oldest] = this.#slots;
    if (slot === SLOTS && oldest !== undefined) {
      this.#slots.delete(oldest[0]);
      slot = oldest[1];
    }
    this.#slots.set(record, slot);
    return slot;
  }
}

/** The other end of a {@link SubmissionSender}. */
export class SubmissionReceiver {
  readonly #records: SubmissionFacts[] = [];

  unpack(event: PackedEvent): TransportEvent {
    if (event.kind !== 'packed') return event;
    return { kind: 'ready', feed: event.feed, chunks: event.chunks.map((chunk) => this.#chunk(chunk)) };
  }

  #chunk({ slot, record, handle, chunk, retries, input, download }: PackedChunk): HeldChunk {
    if (record !== null) this.#records[slot] = record;
    const submission = this.#records[slot];
    if (submission === undefined) throw new Error(`no submission was sent for slot ${slot}`);
    return { handle, chunk, submission, retries, input, download };
  }
}
