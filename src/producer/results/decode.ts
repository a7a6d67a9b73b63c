import type { StandardSchema } from '../../contract/standard-schema.ts';
import { validate } from '../../contract/validation.ts';
import { isMap, isThenable } from '../../model/kinds.ts';
import { OP_ERROR_KEY, OpError } from '../../model/op-error.ts';
import type { OperationCodec } from '../../protocol/chunk/codec-options.ts';
import { orAborted } from '../../system/async/abort-signals.ts';
import type { Downloaded } from './download.ts';
import { contentError, type Outputs } from './outputs.ts';

/** One chunk of results and where it came from, to read it once more. */
export interface ReadChunk extends Downloaded {
  readonly outputs: Outputs;
}

/** One that is done. */
export interface DoneChunk extends ReadChunk {
  readonly content: Uint8Array;
}

/** What results are made of chunks. */
export interface Decoding {
  readonly codec: OperationCodec;
  /** What a result must be. */
  readonly schema: StandardSchema | null;
  /** Operations per chunk, where that is known. */
  readonly chunkSizeOps: number | null;
  readonly signal: AbortSignal;
}

/**
 * The results in a chunk, with OpErrors in their places. A chunk that cannot be decoded is fetched once more before that
 * is an error.
 *
 * @throws ChunkContentError, ContractViolationError
 */
export async function decodeChunk(
  chunk: DoneChunk,
  { codec, schema, chunkSizeOps, signal }: Decoding,
): Promise<unknown[]> {
  const values = await decoded(chunk, codec, signal);
  if (schema === null) return values;
  const firstIndex = chunkSizeOps === null ? null : chunk.chunkIndex * chunkSizeOps;
  const valid = validate({ what: 'result', schema, values, firstIndex });
  return isThenable(valid) ? orAborted(valid, signal) : valid;
}

async function decoded(chunk: DoneChunk, codec: OperationCodec, signal: AbortSignal): Promise<unknown[]> {
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
