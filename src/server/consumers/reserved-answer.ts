import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import {
  type EncodeOptions,
  encodeReserved,
  type ReservedItem,
  reservedItemSizeMax,
} from '../../protocol/consumer/codec.ts';
import type { Consumers } from '../../queue/consumers.ts';
import type { ConnectedConsumer } from '../../queue/peer.ts';
import type { HandedOutChunk, ReservationRequest } from '../../scheduler/types.ts';
import { StoreError } from '../../store/errors.ts';
import type { Logger } from '../../system/log/logger.ts';
import { type Clock, sleep } from '../../system/time/clock.ts';
import type { SharedBySessions } from './shared.ts';

export interface AnswerContext {
  readonly consumers: Consumers;
  readonly shared: SharedBySessions;
  readonly consumer: ConnectedConsumer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly encodeOptions: EncodeOptions;
  /** Bytes of one answer; a single chunk may have more. */
  readonly answerBytesMax: number;
  /** The consumer is to answer an expiry before the chunk may come to it again. */
  readonly answersExpiry: boolean;
  /** Whether the connection is still there. */
  isOpen(): boolean;
}

const RETRY_MS = 500;

/**
 * The answer to a reservation with inputs that lie in the store, or with more than fits into one answer. What does not fit
 * goes back to the schedule, uncounted; what is not held any more, because it expired, was done or ended while the
 * inputs were read, is left out. null: nothing is left, or the connection ended meanwhile.
 */
export async function lateAnswer(
  context: AnswerContext,
  request: ReservationRequest,
  chunks: readonly HandedOutChunk[],
): Promise<Uint8Array | null> {
  const inputsRead: (Uint8Array | null)[] = [];
  let bytes = 0;
  while (inputsRead.length < chunks.length && bytes < context.answerBytesMax) {
    const inputs = await readInputs(context, chunks.slice(inputsRead.length));
    if (inputs === null) return null;
    for (const input of inputs) {
      const { submission } = chunks[inputsRead.length]!;
      bytes += reservedItemSizeMax(context.shared.prepared(submission.record), input, context.encodeOptions);
      if (bytes > context.answerBytesMax && inputsRead.length > 0) break;
      inputsRead.push(input);
    }
  }
  // It may have ended while the last inputs came, and a consumer that is gone must not speak.
  if (!context.isOpen()) return null;
  // Before what is left over goes back: that may come to the same consumer again at once.
  if (context.answersExpiry) release(context, chunks, (chunk) => !chunk.isHeld);
  release(context, chunks.slice(inputsRead.length), (chunk) => chunk.isHeld);
  const items = inputsRead.flatMap((input, i) =>
    chunks[i]!.isHeld ? [itemOf(context.consumers, context.shared, chunks[i]!, input)] : [],
  );
  return items.length === 0 ? null : encodeReserved(request.nonce, items, context.encodeOptions);
}

function itemOf(
  consumers: Consumers,
  shared: SharedBySessions,
  chunk: HandedOutChunk,
  input: Uint8Array | null,
): ReservedItem {
  return shared.item(chunk, consumers.chunksCommitted(chunk.submission), input);
}

/** To release what it does not hold is a consumer's answer to the expiry: in its place, since it never heard of it. */
function release(
  { consumers, consumer }: AnswerContext,
  chunks: readonly HandedOutChunk[],
  which: (chunk: HandedOutChunk) => boolean,
): void {
  for (const chunk of chunks) {
    if (!which(chunk)) continue;
    consumers.release(consumer, { submissionId: chunk.submission.record.id, chunkIndex: chunk.chunkIndex });
  }
}

/** The answer's items if everything that they need is in memory and fits into one answer; else null. */
export function itemsAtHand(
  consumers: Consumers,
  shared: SharedBySessions,
  chunks: readonly HandedOutChunk[],
  options: EncodeOptions,
): readonly ReservedItem[] | null {
  const items: ReservedItem[] = [];
  let bytes = 0;
  for (const chunk of chunks) {
    const { submission, chunkIndex } = chunk;
    const isDirect = submission.record.prefix === null;
    const input = isDirect ? consumers.inputAtHand(submission, chunkIndex) : null;
    if (input === undefined) return null;
    const item = itemOf(consumers, shared, chunk, input);
    // The metadata of a submission stands in each item.
    bytes += reservedItemSizeMax(item.submission, input, options);
    if (bytes > ANSWER_BYTES_MAX && chunks.length > 1) return null;
    items.push(item);
  }
  return items;
}

/**
 * Of the first chunks, at least one: as many as the store reads at once. null where a chunk has no input; null altogether
 * if the connection ended. A store that does not answer is asked again.
 */
async function readInputs(
  { consumers, clock, logger, isOpen }: AnswerContext,
  chunks: readonly HandedOutChunk[],
): Promise<readonly (Uint8Array | null)[] | null> {
  const wanted = chunks
    .filter(({ submission }) => submission.record.prefix === null)
    .map(({ submission, chunkIndex }) => ({ submissionId: submission.record.id, chunkIndex }));
  if (wanted.length === 0) return chunks.map(() => null);
  while (isOpen()) {
    try {
      const found = await consumers.inputs(wanted);
      return isOpen() ? spread(found, chunks) : null;
    } catch (error) {
      const fields = error instanceof StoreError ? { error: error.message } : { err: error };
      logger.warn(fields, 'cannot read inputs from the store, trying again');
      await sleep(clock, RETRY_MS);
    }
  }
  return null;
}

/** Inputs of `Direct` chunks among those that have none, up to the first chunk whose input was not read. */
function spread(
  found: readonly (Uint8Array | null)[],
  chunks: readonly HandedOutChunk[],
): (Uint8Array | null)[] {
  const inputs: (Uint8Array | null)[] = [];
  let next = 0;
  for (const { submission } of chunks) {
    if (submission.record.prefix !== null) {
      inputs.push(null);
      continue;
    }
    if (next === found.length) break;
    inputs.push(found[next++] ?? null);
  }
  return inputs;
}
