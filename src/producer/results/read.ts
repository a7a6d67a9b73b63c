import type { StandardSchema } from '../../contract/standard-schema.ts';
import { validate } from '../../contract/validation.ts';
import { SubmissionCancelledError, SubmissionFailedError } from '../../model/errors.ts';
import { isMap } from '../../model/kinds.ts';
import { OP_ERROR_KEY, OpError } from '../../model/op-error.ts';
import type { SubmissionStatus } from '../../model/submission.ts';
import type { OperationCodec } from '../../protocol/chunk/codec-options.ts';
import type { ClientContext, TransferLimits } from '../context.ts';
import type { Progress, ResultsMode } from '../options.ts';
import type { Inserted } from '../submit/insert.ts';
import type { Tracing } from '../tracing.ts';
import { waitForEnd } from './completion.ts';
import { doneChunks } from './done-tracker.ts';
import { type ChunkPlan, type Downloaded, Downloader, everyChunk } from './download.ts';
import { contentError, DirectOutputs, isMissing, type Outputs, StoredOutputs } from './outputs.ts';

/** A reader who takes his time asks for the status this often, which tells the queue not to forget the submission yet. */
const INTEREST_EVERY_MS = 60_000;

export interface ReadOptions {
  readonly mode: ResultsMode;
  readonly limits: TransferLimits;
  readonly tracing: Tracing;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** One chunk of results and where it came from, to read it once more. */
export interface ReadChunk extends Downloaded {
  readonly outputs: Outputs;
}

/** The results of a submission that was inserted, given out as `mode` says. Throws if it fails or is cancelled. */
export async function* readResults(
  context: ClientContext,
  submission: Inserted,
  options: ReadOptions,
  signal: AbortSignal,
): AsyncGenerator<ReadChunk, void> {
  const { api, clock } = context;
  const { id, chunksTotal, chunkSizeOps, opsTotal } = submission;
  const wait = { api, clock, id, signal, isKnown: true, chunkSizeOps, opsTotal };
  let { mode } = options;
  if (mode !== 'when-complete' && !(await api.supports('chunks_done', signal))) {
    context.warnOnce(`this queue does not tell which chunks are done: results come when all are done`);
    mode = 'when-complete';
  }
  if (mode === 'when-complete') {
    throwIfBroken(await waitForEnd({ ...wait, onProgress: options.onProgress }));
    yield* readChunks(
      context,
      submission,
      { plan: everyChunk(chunksTotal), order: 'planned' },
      options,
      signal,
    );
    return;
  }
  const watching = options.onProgress
    ? waitForEnd({ ...wait, onProgress: options.onProgress })
    : Promise.resolve(null);
  // Its failure is told below, or by the results themselves.
  watching.catch(() => {});
  const plan = doneChunks({
    api,
    clock,
    id,
    chunksTotal,
    mode: mode === 'unordered' ? 'unordered' : 'ordered',
    onBroken: async () => throwIfBroken(await waitForEnd(wait)),
  });
  const order = mode === 'unordered' ? 'arrival' : 'planned';
  yield* readChunks(context, submission, { plan, order }, options, signal);
  await watching;
}

/** What is done of a submission now, in whatever state it is. */
export async function* readDone(
  context: ClientContext,
  status: SubmissionStatus,
  options: ReadOptions,
  signal: AbortSignal,
): AsyncGenerator<ReadChunk, void> {
  const { api, clock } = context;
  const submission = insertedOf(status);
  const { id, chunksTotal, prefix } = submission;
  const isComplete = status.state === 'completed';
  if (isComplete || (prefix !== null && !(await api.supports('chunks_done', signal)))) {
    // A queue that does not tell: whatever is in the object store is done.
    const plan = everyChunk(chunksTotal);
    const skipMissing = !isComplete;
    yield* readChunks(context, submission, { plan, order: 'planned', skipMissing }, options, signal);
    return;
  }
  await api.require('chunks_done', 'tell which chunks are done', signal);
  const plan = doneChunks({ api, clock, id, chunksTotal, mode: 'snapshot', onBroken: async () => {} });
  yield* readChunks(context, submission, { plan, order: 'planned' }, options, signal);
}

/** What a status tells of a submission that another client, or an earlier run, has inserted. */
export function insertedOf({ record }: SubmissionStatus): Inserted {
  const { id, prefix, chunksTotal, chunkSizeOps } = record;
  return { id, prefix, chunksTotal, chunkSizeOps, opsTotal: null };
}

export function throwIfBroken(status: SubmissionStatus): void {
  if (status.state === 'failed') throw new SubmissionFailedError(status);
  if (status.state === 'cancelled') throw new SubmissionCancelledError(status);
}

/** Which chunks are read, and how. */
interface Reading {
  readonly plan: ChunkPlan;
  readonly order: 'planned' | 'arrival';
  /** A chunk that has no output is passed over. */
  readonly skipMissing?: boolean;
}

async function* readChunks(
  context: ClientContext,
  submission: Inserted,
  { plan, order, skipMissing = false }: Reading,
  { limits, tracing }: ReadOptions,
  signal: AbortSignal,
): AsyncGenerator<ReadChunk, void> {
  const { api, clock } = context;
  const { id, prefix } = submission;
  const outputs =
    prefix === null
      ? new DirectOutputs(api, id, order === 'planned')
      : new StoredOutputs({ api, store: await context.store(), id, prefix, tracing });
  const fetch = skipMissing
    ? (index: number, until: AbortSignal) => outputs.fetch(index, until).catch(nullIfMissing)
    : (index: number, until: AbortSignal) => outputs.fetch(index, until);
  const downloader = new Downloader({ plan, fetch, order, ...limits, signal });
  let interestMs = clock.monotonicMs();
  for (;;) {
    signal.throwIfAborted();
    const chunk = await downloader.next();
    if (chunk === null) return;
    if (clock.monotonicMs() - interestMs > INTEREST_EVERY_MS) {
      interestMs = clock.monotonicMs();
      // Whether it still knows the submission does not matter as long as the chunks are there.
      api.status(id, {}, signal).catch(() => {});
    }
    yield { chunkIndex: chunk.chunkIndex, content: chunk.content, outputs };
  }
}

function nullIfMissing(error: unknown): null {
  if (isMissing(error)) return null;
  throw error;
}

/** What results are made of chunks. */
export interface ResultFormat {
  readonly codec: OperationCodec;
  /** What a result must be. */
  readonly schema: StandardSchema | null;
}

/**
 * The results in a chunk, with OpErrors in their places. A chunk that makes no sense is fetched once more before that
 * is an error.
 *
 * @param chunkSizeOps operations per chunk, where that is known
 * @throws ChunkContentError, ContractViolationError
 */
export async function decodeChunk(
  chunk: ReadChunk,
  { codec, schema }: ResultFormat,
  chunkSizeOps: number | null,
  signal: AbortSignal,
): Promise<unknown[]> {
  const values = await decoded(chunk, codec, signal);
  if (schema === null) return values;
  const firstIndex = chunkSizeOps === null ? null : chunk.chunkIndex * chunkSizeOps;
  return validate({ what: 'result', schema, values, firstIndex });
}

async function decoded(chunk: ReadChunk, codec: OperationCodec, signal: AbortSignal): Promise<unknown[]> {
  const { chunkIndex, outputs } = chunk;
  try {
    return decodeResults(chunk.content, codec);
  } catch {
    const again = await outputs.fetch(chunkIndex, signal);
    try {
      return decodeResults(again, codec);
    } catch (cause) {
      throw contentError(outputs.keyOf(chunkIndex), cause);
    }
  }
}

function decodeResults(content: Uint8Array, codec: OperationCodec): unknown[] {
  const results = codec.decode(content);
  if (!Array.isArray(results)) throw new TypeError('the decoded chunk is not an array');
  for (let at = 0; at < results.length; at++) {
    const result: unknown = results[at];
    if (typeof result !== 'object' || result === null) continue;
    if (!isMap(result) && !(OP_ERROR_KEY in result)) continue;
    results[at] = OpError.fromWire(result) ?? result;
  }
  return results;
}
