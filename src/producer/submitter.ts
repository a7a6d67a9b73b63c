import { checkInteger } from '../model/check.ts';
import type { SubmissionId } from '../model/ids.ts';
import { messageOf } from '../model/thrown.ts';
import type { LinkedSignal } from '../system/signals.ts';
import { type CheckedCodec, checkChoice, checkCodec, checkSource, RESULTS_MODES } from './checks.ts';
import type { ClientContext } from './context.ts';
import type {
  DecodeOptions,
  DirectChunksOptions,
  DirectOptions,
  DoneChunk,
  InsertChunksOptions,
  InsertOptions,
  OperationsOptions,
  RawResultChunk,
  ResultChunk,
  ResultsOptions,
  RunChunksOptions,
  RunDirectOptions,
  RunOptions,
  TransferOptions,
  WatchOptions,
} from './options.ts';
import { statusOf, waitForEnd } from './results/completion.ts';
import {
  decodeChunk,
  insertedOf,
  type ReadChunk,
  type ReadOptions,
  type ResultFormat,
  readDone,
  readResults,
  throwIfBroken,
} from './results/read.ts';
import type { Results } from './results/results.ts';
import { resultsOf } from './session.ts';
import { chunkOperations, eachChunk } from './submit/chunking.ts';
import { deleteChunks } from './submit/delete-chunks.ts';
import {
  type ChunkFeed,
  checkCargo,
  checkStoredCargo,
  type Inserted,
  insertDirect,
  insertStored,
} from './submit/insert.ts';
import { OpenSource, type Source } from './submit/source.ts';
import { Tracing } from './tracing.ts';

/** Inserts a submission once its source is given, which is the last thing that a call does at once. */
interface Insert<T> {
  readonly source: Source<T>;
  run(source: OpenSource<T>, signal: AbortSignal | undefined, tracing: Tracing): Promise<Inserted>;
}
/** Makes the items of one chunk. */
type Shape<Item> = (chunk: ReadChunk, submission: Inserted, signal: AbortSignal) => Promise<readonly Item[]>;

/** Puts sources, uploads, inserts, waits and downloads together to what the client's methods do. */
export class Submitter {
  readonly #context: ClientContext;

  constructor(context: ClientContext) {
    this.#context = context;
  }

  run(operations: Source<unknown>, options: RunOptions): Results<unknown> {
    const format = this.#format(options);
    const shape: Shape<unknown> =
      options.results === 'unordered' ? asResultChunk(format, options.chunkSize) : asResults(format);
    return this.#run(this.#inserter(operations, options), options, shape);
  }

  runChunks(
    chunks: Source<Uint8Array>,
    options: RunChunksOptions,
  ): Results<Uint8Array> | Results<RawResultChunk> {
    const insert = this.#chunksInserter(chunks, options);
    return options.results === 'unordered'
      ? this.#run(insert, options, asRawChunk)
      : this.#run(insert, options, asContent);
  }

  runDirect(operations: Source<unknown>, options: RunDirectOptions): Results<unknown> {
    const format = this.#format(options);
    const shape: Shape<unknown> =
      options.results === 'unordered' ? asResultChunk(format, options.chunkSize) : asResults(format);
    const insert = this.#directInserter(operations, options);
    const { api } = this.#context;
    const run: Insert<unknown>['run'] = async (source, signal, tracing) => {
      // Nobody could read what comes of it.
      await api.require('direct_outputs', 'give out the results of a direct submission', signal);
      return insert.run(source, signal, tracing);
    };
    return this.#run({ ...insert, run }, options, shape);
  }

  insert(operations: Source<unknown>, options: InsertOptions): Promise<SubmissionId> {
    return this.#insert(this.#inserter(operations, options), options.signal);
  }

  insertChunks(chunks: Source<Uint8Array>, options: InsertChunksOptions): Promise<SubmissionId> {
    return this.#insert(this.#chunksInserter(chunks, options), options.signal);
  }

  insertDirect(operations: Source<unknown>, options: DirectOptions): Promise<SubmissionId> {
    return this.#insert(this.#directInserter(operations, options), options.signal);
  }

  insertDirectChunks(chunks: Source<Uint8Array>, options: DirectChunksOptions): Promise<SubmissionId> {
    checkSource(chunks);
    const cargo = checkCargo(options, options.chunkSize);
    const feed = this.#chunksFeed();
    const insert: Insert<Uint8Array> = {
      source: chunks,
      run: (source, signal, tracing) => insertDirect(this.#context, cargo, { source, feed }, tracing, signal),
    };
    return this.#insert(insert, options.signal);
  }

  stream(id: SubmissionId, options: DecodeOptions & WatchOptions): Results<unknown> {
    return this.#stream(id, options, asResults(this.#format(options)));
  }

  streamChunks(id: SubmissionId, options: TransferOptions & WatchOptions): Results<Uint8Array> {
    return this.#stream(id, options, asContent);
  }

  streamDone(id: SubmissionId, options: DecodeOptions): Results<DoneChunk<unknown>> {
    return this.#streamDone(id, options, asDoneChunk(this.#format(options)));
  }

  streamDoneChunks(id: SubmissionId, options: TransferOptions): Results<RawResultChunk> {
    return this.#streamDone(id, options, asRawChunk);
  }

  #codec(options: Pick<DecodeOptions, 'codec'>): CheckedCodec {
    return options.codec === undefined ? this.#context.codec : checkCodec(options.codec);
  }

  #format(options: Pick<DecodeOptions, 'codec'>): ResultFormat {
    return { codec: this.#codec(options), schema: this.#context.contract.result };
  }

  #inserter(operations: Source<unknown>, options: InsertOptions): Insert<unknown> {
    const feed = this.#operationsFeed(operations, options);
    return this.#storedInserter(operations, feed, options);
  }

  #chunksInserter(chunks: Source<Uint8Array>, options: InsertChunksOptions): Insert<Uint8Array> {
    checkSource(chunks);
    return this.#storedInserter(chunks, this.#chunksFeed(), options);
  }

  #storedInserter<T>(source: Source<T>, feed: ChunkFeed<T>, options: InsertChunksOptions): Insert<T> {
    const cargo = checkStoredCargo(this.#context, options, options.chunkSize);
    return {
      source,
      run: (opened, signal, tracing) =>
        insertStored(this.#context, cargo, { source: opened, feed }, tracing, signal),
    };
  }

  #directInserter(operations: Source<unknown>, options: DirectOptions): Insert<unknown> {
    const cargo = checkCargo(options, options.chunkSize);
    const feed = this.#operationsFeed(operations, options);
    return {
      source: operations,
      run: (source, signal, tracing) => insertDirect(this.#context, cargo, { source, feed }, tracing, signal),
    };
  }

  #operationsFeed(operations: Source<unknown>, options: OperationsOptions): ChunkFeed<unknown> {
    checkSource(operations);
    const chunkSize = checkInteger('chunkSize', options.chunkSize, 1);
    const codec = this.#codec(options);
    const { clock } = this.#context;
    const cut = { chunkSizeOps: chunkSize, codec, schema: this.#context.contract.operation };
    return (source, sink, signal) => chunkOperations(source, cut, sink, clock, signal);
  }

  #chunksFeed(): ChunkFeed<Uint8Array> {
    return async (source, sink, signal) => {
      await eachChunk(source, sink, this.#context.clock, signal);
      return null;
    };
  }

  async #insert<T>(insert: Insert<T>, signal: AbortSignal | undefined): Promise<SubmissionId> {
    const source = new OpenSource(insert.source, signal);
    try {
      const { id } = await this.#context.work(insert.run(source, signal, new Tracing(null)));
      return id;
    } finally {
      source.discard();
    }
  }

  #run<T, Item>(
    insert: Insert<T>,
    options: ResultsOptions & TransferOptions,
    shape: Shape<Item>,
  ): Results<Item> {
    const context = this.#context;
    const mode = checkChoice('results', options.results, RESULTS_MODES) ?? 'when-complete';
    const cleanup = checkChoice('cleanup', options.cleanup, ['after-results']);
    const tracing = new Tracing('run_submission');
    const limits = context.limits(options);
    const { onProgress, signal: caller } = options;
    const source = new OpenSource(insert.source, caller);
    const generate = async function* ({ signal, abort }: LinkedSignal) {
      const read: ReadOptions = { mode, limits, tracing, onProgress: abortingIfItThrows(onProgress, abort) };
      const submission = await insert.run(source, signal, tracing);
      for await (const chunk of readResults(context, submission, read, signal)) {
        yield await shape(chunk, submission, signal);
      }
      if (cleanup === 'after-results') await cleanUp(context, submission, signal);
    };
    return resultsOf(context, caller, tracing, generate, source);
  }

  #stream<Item>(
    id: SubmissionId,
    options: TransferOptions & WatchOptions,
    shape: Shape<Item>,
  ): Results<Item> {
    const context = this.#context;
    const tracing = new Tracing('stream_submission');
    const limits = context.limits(options);
    const read: ReadOptions = { mode: 'when-complete', limits, tracing };
    const { onProgress } = options;
    return resultsOf(context, options.signal, tracing, async function* ({ signal }) {
      const { api, clock } = context;
      tracing.inserted(id);
      const status = await waitForEnd({ api, clock, id, signal, isKnown: false, onProgress });
      throwIfBroken(status);
      const submission = insertedOf(status);
      for await (const chunk of readResults(context, submission, read, signal)) {
        yield await shape(chunk, submission, signal);
      }
    });
  }

  #streamDone<Item>(id: SubmissionId, options: TransferOptions, shape: Shape<Item>): Results<Item> {
    const context = this.#context;
    const tracing = new Tracing('stream_submission');
    const read: ReadOptions = { mode: 'when-complete', limits: context.limits(options), tracing };
    return resultsOf(context, options.signal, tracing, async function* ({ signal }) {
      tracing.inserted(id);
      const status = await statusOf(context.api, id, false, signal);
      const submission = insertedOf(status);
      for await (const chunk of readDone(context, status, read, signal)) {
        yield await shape(chunk, submission, signal);
      }
    });
  }
}

/** Whatever the run does when the callback throws, it ends with its error. */
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

async function cleanUp(context: ClientContext, { prefix, chunksTotal }: Inserted, signal: AbortSignal) {
  if (prefix === null) return;
  try {
    await deleteChunks(await context.store(), prefix, chunksTotal, ['in', 'out'], signal);
  } catch (error) {
    // The reader has all results: that its chunks lie about is no failure of the submission.
    const text = messageOf(error);
    context.logger.warn({ prefix, error: text }, 'could not remove the chunks of a submission');
  }
}

function asResults(format: ResultFormat): Shape<unknown> {
  return (chunk, { chunkSizeOps }, signal) => decodeChunk(chunk, format, chunkSizeOps, signal);
}

function asResultChunk(format: ResultFormat, chunkSizeOps: number): Shape<ResultChunk<unknown>> {
  return async (chunk, _submission, signal) => {
    const { chunkIndex } = chunk;
    const results = await decodeChunk(chunk, format, chunkSizeOps, signal);
    return [{ chunkIndex, operationIndex: chunkIndex * chunkSizeOps, results }];
  };
}

function asDoneChunk(format: ResultFormat): Shape<DoneChunk<unknown>> {
  return async (chunk, { chunkSizeOps }, signal) => {
    const results = await decodeChunk(chunk, format, chunkSizeOps, signal);
    return [{ chunkIndex: chunk.chunkIndex, results }];
  };
}

async function asContent(chunk: ReadChunk): Promise<readonly Uint8Array[]> {
  return [chunk.content];
}

async function asRawChunk({ chunkIndex, content }: ReadChunk): Promise<readonly RawResultChunk[]> {
  return [{ chunkIndex, content }];
}
