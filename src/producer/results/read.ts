import { checkChoice } from '../../model/check.ts';
import { ChunksFailedError, SubmissionCancelledError, SubmissionFailedError } from '../../model/errors.ts';
import type { SubmissionStatus } from '../../model/submission.ts';
import { messageOf } from '../../model/thrown.ts';
import type { LinkedSignal } from '../../system/async/abort-signals.ts';
import type { CallTransferLimits, ClientContext } from '../context.ts';
import type { ResultChunk, ResultsOptions, WatchOptions } from '../options.ts';
import { deleteSubmission } from '../submit/delete-chunks.ts';
import type { Inserted } from '../submit/insert.ts';
import type { OpenSource } from '../submit/source.ts';
import { SubmissionTracing } from '../tracing.ts';
import { statusOf, waitForEnd } from './completion.ts';
import { decodeChunk, type ReadChunk } from './decode.ts';
import { doneChunks } from './done-tracker.ts';
import { type ChunkPlan, Downloader, everyChunk } from './download.ts';
import { errorsOf, FailedChunks, FailedOutput } from './failed-chunks.ts';
import { DirectOutputReader, isMissing, StoredOutputs } from './outputs.ts';
import { ProgressMeter } from './progress.ts';
import { BatchedResults, type Results } from './results.ts';
import { Session } from './session.ts';

/** A slow reader asks for the status this often, which extends the submission's retention. */
const INTEREST_EVERY_MS = 60_000;

/** Which chunks are given out, when, and in which order. */
export type ReadMode = 'all-done' | 'as-completed' | 'any-order' | 'now';

/** How results are to be read: checked. */
export interface Reading {
  readonly mode: ReadMode;
  readonly limits: CallTransferLimits;
  readonly isCleanedUp: boolean;
  readonly onFailedChunk: 'record' | 'throw';
  readonly onProgress: WatchOptions['onProgress'];
  readonly signal: AbortSignal | undefined;
}

/** What results are made of. */
export interface ResultsOf<Item> {
  readonly reading: Reading;
  /** Makes the items of one chunk. */
  readonly shape: (chunk: ReadChunk, read: ReadContext) => Promise<readonly Item[]>;
  readonly span: 'run_submission' | 'stream_submission';
  /** What `submission` will read. */
  readonly source: OpenSource<unknown> | null;
  /** Inserts the submission, or looks it up. */
  readonly submission: (signal: AbortSignal, tracing: SubmissionTracing) => Promise<Inserted>;
}

/** What all chunks of one reading have in common. */
export interface ReadContext {
  readonly context: ClientContext;
  readonly submission: Inserted;
  readonly signal: AbortSignal;
}

/** @throws IncorrectUsageError */
export function checkReading(context: ClientContext, options: ResultsOptions, mode?: ReadMode): Reading {
  const when = checkChoice('when', options.when, ['all-done', 'as-completed']) ?? 'all-done';
  return {
    mode: mode ?? when,
    limits: context.limits(options),
    isCleanedUp: checkChoice('cleanup', options.cleanup, ['after-results']) !== undefined,
    onFailedChunk: checkChoice('onFailedChunk', options.onFailedChunk, ['record', 'throw']) ?? 'record',
    onProgress: options.onProgress,
    signal: options.signal,
  };
}

/** The results of a submission. Nothing happens before the first `next`. */
export function resultsOf<Item>(context: ClientContext, o: ResultsOf<Item>): Results<Item> {
  const { reading, source } = o;
  const tracing = new SubmissionTracing(o.span);
  const generate = async function* ({ signal, abort }: LinkedSignal) {
    const submission = await o.submission(signal, tracing);
    tracing.inserted(submission.id);
    const read = { context, submission, signal, tracing };
    const onProgress = abortingIfItThrows(reading.onProgress, abort);
    let hasFailed = false;
    for await (const chunk of readChunks(read, { ...reading, onProgress })) {
      if (chunk.content instanceof FailedOutput) hasFailed = true;
      yield await o.shape(chunk, read);
    }
    if (reading.isCleanedUp && !hasFailed) await cleanUp(read);
  };
  return new BatchedResults(new Session({ context, signal: reading.signal, tracing, generate, source }));
}

/** The results in a chunk, one by one. */
export function resultsOfChunk<Result>(chunk: ReadChunk, read: ReadContext): Promise<readonly Result[]> {
  const { contract, codec } = read.context;
  const { submission, signal } = read;
  const { content, chunkIndex, outputs } = chunk;
  // The type is that of the contract, or of the type arguments, which have OpError where there may be one.
  if (content instanceof FailedOutput) {
    const count = (input: Uint8Array) => codec.decode(input).length;
    const input = () => outputs.fetchInput(chunkIndex, signal);
    return errorsOf(content, { submission, count, input }) as Promise<readonly Result[]>;
  }
  const { chunkSizeOps } = submission;
  const decoding = { codec, schema: contract.result, chunkSizeOps, signal };
  return decodeChunk({ ...chunk, content }, decoding) as Promise<readonly Result[]>;
}

/** The results in a chunk together, with their place. */
export async function resultChunk<Result>(
  chunk: ReadChunk,
  read: ReadContext,
): Promise<readonly ResultChunk<Result>[]> {
  const { chunkIndex } = chunk;
  const { chunkSizeOps } = read.submission;
  const operationIndex = chunkSizeOps === null ? null : chunkIndex * chunkSizeOps;
  return [{ chunkIndex, operationIndex, results: await resultsOfChunk<Result>(chunk, read) }];
}

/** What a status has of a submission that another client, or an earlier run, has inserted. */
export function insertedOf({ record }: SubmissionStatus): Inserted {
  const { id, prefix, chunksTotal, chunkSizeOps } = record;
  return { id, prefix, chunksTotal, chunkSizeOps, opsTotal: null };
}

interface Read extends ReadContext {
  readonly tracing: SubmissionTracing;
}

/** The chunks of results, by mode. Throws if the submission fails or is cancelled, unless they are those of now. */
async function* readChunks(read: Read, reading: Reading): AsyncGenerator<ReadChunk, void> {
  const { context, submission, signal } = read;
  const { api, clock } = context;
  const { id, chunksTotal, chunkSizeOps, opsTotal } = submission;
  const { onProgress } = reading;
  const wait = { api, clock, id, signal, isKnown: true, chunkSizeOps, opsTotal };
  if (submission.isForgotten) {
    yield* download(read, reading, { plan: everyChunk(chunksTotal), order: 'planned' });
    const counts = { chunksDone: chunksTotal, chunksFailed: 0, chunksTotal };
    onProgress?.(new ProgressMeter(clock, chunkSizeOps, opsTotal).read('completed', counts));
    return;
  }
  if (reading.mode === 'now') return yield* chunksOfNow(read, reading);
  let { mode } = reading;
  let hasEnded = false;
  if (mode !== 'all-done' && !(await api.supports('chunks_done', signal))) {
    context.warnOnce('this queue does not report which chunks are done: results come when all are done');
    mode = 'all-done';
  }
  if (mode === 'all-done') {
    const status = await waitForEnd({ ...wait, onProgress });
    throwIfBroken(status);
    if (status.state === 'completed') {
      yield* download(read, reading, { plan: everyChunk(chunksTotal), order: 'planned' });
      return;
    }
    mode = 'as-completed';
    hasEnded = true;
  }
  const watching = onProgress && !hasEnded ? waitForEnd({ ...wait, onProgress }) : Promise.resolve(null);
  // Its failure is thrown below, or by the results themselves.
  watching.catch(() => {});
  const plan = doneChunks({
    api,
    clock,
    id,
    chunksTotal,
    mode: mode === 'any-order' ? 'unordered' : 'ordered',
    onBroken: async () => throwIfBroken(await waitForEnd(wait)),
  });
  yield* download(read, reading, { plan, order: mode === 'any-order' ? 'arrival' : 'planned' });
  await watching;
  if (reading.onFailedChunk !== 'throw') return;
  const status = await waitForEnd(wait);
  if (status.state === 'completed_with_failures') throw new ChunksFailedError(status);
}

/** What is done of a submission now, in whatever state it is. */
async function* chunksOfNow(read: Read, reading: Reading): AsyncGenerator<ReadChunk, void> {
  const { context, submission, signal } = read;
  const { api, clock } = context;
  const { id, chunksTotal, prefix } = submission;
  const { state } = await statusOf({ api, id, signal, isKnown: true });
  const isComplete = state === 'completed';
  if (isComplete || (prefix !== null && !(await api.supports('chunks_done', signal)))) {
    // A queue that does not report it: whatever is in the object store is done.
    const plan = everyChunk(chunksTotal);
    yield* download(read, reading, { plan, order: 'planned', skipMissing: !isComplete });
    return;
  }
  await api.require('chunks_done', signal);
  const onBroken = async () => {};
  const plan = doneChunks({ api, clock, id, chunksTotal, mode: 'snapshot', withFailed: false, onBroken });
  yield* download(read, reading, { plan, order: 'planned' });
}

/** Which chunks are read, and how. */
interface Download {
  readonly plan: ChunkPlan;
  readonly order: 'planned' | 'arrival';
  /** A chunk that has no output is passed over. */
  readonly skipMissing?: boolean;
}

async function* download(
  { context, submission, signal, tracing }: Read,
  { limits, onFailedChunk }: Reading,
  { plan, order, skipMissing = false }: Download,
): AsyncGenerator<ReadChunk, void> {
  const { api, clock } = context;
  const { id, prefix } = submission;
  const outputs =
    prefix === null
      ? new DirectOutputReader(api, id, { isInOrder: order === 'planned' })
      : new StoredOutputs({ api, store: context.requireStore(), id, prefix, tracing });
  const failed = new FailedChunks(api, id);
  const fetch = async (index: number, until: AbortSignal) => {
    if (skipMissing) return outputs.fetch(index, until).catch(nullIfMissing);
    if (!plan.isFailed(index)) return outputs.fetch(index, until);
    return onFailedChunk === 'throw' ? null : failed.fetch(index, until);
  };
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

function throwIfBroken(status: SubmissionStatus): void {
  if (status.state === 'failed') throw new SubmissionFailedError(status);
  if (status.state === 'cancelled') throw new SubmissionCancelledError(status);
}

/** Whatever the reading does when the callback throws, it ends with its error. */
function abortingIfItThrows(
  onProgress: WatchOptions['onProgress'],
  abort: LinkedSignal['abort'],
): WatchOptions['onProgress'] {
  if (onProgress === undefined) return undefined;
  return (progress) => {
    try {
      onProgress(progress);
    } catch (error) {
      abort(error);
      throw error;
    }
  };
}

async function cleanUp({ context, submission, signal }: ReadContext): Promise<void> {
  const { prefix, chunksTotal } = submission;
  if (prefix === null) return;
  try {
    await deleteSubmission(context.requireStore(), { prefix, chunks: chunksTotal, signal });
  } catch (error) {
    // The reader has all results: chunks that stay behind do not fail the submission.
    context.logger.warn({ prefix, error: messageOf(error) }, 'could not remove the chunks of a submission');
  }
}
