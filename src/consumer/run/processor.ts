import { isPromise, isThenable, isUint8Array } from '../../model/kinds.ts';
import { OpError } from '../../model/op-error.ts';
import { messageOf } from '../../model/thrown.ts';
import type { OperationCodec } from '../../protocol/chunk/codec-options.ts';
import { ChunkUnencodableError } from '../../protocol/chunk/errors.ts';
import {
  andThen,
  type ChunkFormat,
  type ChunkPlace,
  checkedCallback,
  checkedValues,
} from '../content/format.ts';
import type { ChunkCallback, ChunkContext, RawChunkCallback } from '../types.ts';
import type { CallbackWatch } from './callback-watch.ts';
import { type OpWork, runOps } from './op-batch.ts';
import { ChunkShapeError, describe, ResultsUnencodableError, resultsOfCallback } from './results.ts';

/**
 * Makes the bytes of a result from the bytes of an input; synchronously where the callback is. The bytes are the
 * library's own, alone in their buffer: they are moved to another thread, while the callback may use its own again.
 */
export type Processor = (input: Uint8Array, context: ChunkContext) => Uint8Array | Promise<Uint8Array>;

export function rawProcessor(callback: RawChunkCallback, watch: CallbackWatch): Processor {
  const finish = (output: unknown): Uint8Array => {
    if (isUint8Array(output)) return copyOf(output);
    throw new ChunkShapeError(`the callback returned ${describe(output)} instead of a Uint8Array`);
  };
  return (input, context) => {
    const output = callback(input, context);
    if (!isThenable(output)) return finish(output);
    return watch.limited(context, Promise.resolve(output).then(finish));
  };
}

export function chunkProcessor(
  callback: ChunkCallback,
  format: ChunkFormat,
  watch: CallbackWatch,
): Processor {
  return (input, context) => {
    const ops = decode(format.codec, input, context);
    // The callback may do with its array what it likes.
    const total = ops.length;
    const encoded = andThen(
      andThen(
        andThen(checkedValues('operation', format.operation, ops, context), (checked) =>
          callback(checked, context),
        ),
        (results) => resultsOfCallback(results, total),
      ),
      (results) =>
        andThen(checkedValues('result', format.result, results, context), (values) =>
          encode(format.codec, values, context, false),
        ),
    );
    return isPromise(encoded) ? watch.limited(context, encoded) : encoded;
  };
}

/**
 * The operations of a chunk one by one.
 *
 * @param recorded called with how many of a chunk's operations have an error in the place of their result, and the last of these
 */
export function opProcessor(work: OpWork, format: ChunkFormat, recorded: OnRecorded): Processor {
  const checked = { ...work, callback: checkedCallback(work.callback, format) };
  return (input, context) => {
    const ops = decode(format.codec, input, context);
    return andThen(runOps(checked, ops, context), (results) => {
      if (work.isRecording) noteErrors(results, context, recorded);
      return encode(format.codec, results, context, work.isRecording);
    });
  };
}

export type OnRecorded = (context: ChunkContext, operations: number, error: string) => void;

function noteErrors(results: readonly unknown[], context: ChunkContext, recorded: OnRecorded): void {
  let operations = 0;
  let latest: OpError | null = null;
  for (const result of results) {
    if (!(result instanceof OpError)) continue;
    operations++;
    latest = result;
  }
  if (latest !== null) recorded(context, operations, latest.stack ?? latest.message);
}

/** @throws ChunkShapeError, which names the chunk */
export function decode(codec: OperationCodec, input: Uint8Array, context: ChunkPlace): unknown[] {
  let ops: unknown;
  try {
    ops = codec.decode(input);
  } catch (error) {
    throw new ChunkShapeError(
      `the input of ${nameOf(context)} (${input.length} bytes) could not be decoded (truncated, or another codec?): ${messageOf(error)}`,
      { cause: error },
    );
  }
  if (Array.isArray(ops)) return ops;
  throw new ChunkShapeError(
    `the input of ${nameOf(context)} is ${describe(ops)} instead of an array of operations`,
  );
}

/** @throws ResultsUnencodableError, which names the chunk */
export function encode(
  codec: OperationCodec,
  results: unknown[],
  context: ChunkPlace,
  mayHoldErrors: boolean,
): Uint8Array {
  const values = mayHoldErrors
    ? results.map((result) => (result instanceof OpError ? result.toWire() : result))
    : results;
  try {
    return codec.encode(values);
  } catch (error) {
    if (mayHoldErrors) {
      const encoded = encodeRest(codec, values);
      if (encoded !== null) return encoded;
    }
    throw new ResultsUnencodableError(
      `the results of ${nameOf(context)} cannot be encoded: ${messageOf(error)}`,
      error,
    );
  }
}

/** With an OpError in the place of each result that cannot be encoded; null if it is not these. */
function encodeRest(codec: OperationCodec, values: readonly unknown[]): Uint8Array | null {
  const encodable = values.map((value, index) => {
    try {
      codec.encode([value]);
      return value;
    } catch (error) {
      return OpError.from(inPlace(error, index)).toWire();
    }
  });
  try {
    return codec.encode(encodable);
  } catch {
    return null;
  }
}

/** What was wrong with the only value of a list, in the words for one of many. */
function inPlace(error: unknown, index: number): unknown {
  if (!(error instanceof ChunkUnencodableError)) return error;
  return new ChunkUnencodableError(error.path.replace('[0]', `[${index}]`), error.why, error);
}

/** Not `slice`, which is a view where the bytes are a Buffer. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** The object's key below the store's URL, or what comes closest to it. */
function nameOf({ submission, submissionId, chunkIndex }: ChunkPlace): string {
  const prefix = submission?.prefix ?? null;
  if (prefix === null) return `chunk ${chunkIndex} of submission ${submissionId}`;
  return `chunk ${prefix}/${chunkIndex}-in.bin`;
}
