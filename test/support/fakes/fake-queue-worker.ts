import { chunkKey } from '../../../src/objects/keys.ts';
import type { ObjectStore } from '../../../src/objects/object-store.ts';
import { cborChunkCodec } from '../../../src/protocol/chunk/codec.ts';
import { decompressChunk, isCompressedChunk } from '../../../src/protocol/chunk/compression.ts';
import type { FakeQueue, FakeSubmission } from './fake-queue-http.ts';

const codec = cborChunkCodec();

/** Does one chunk of a FakeQueue's submission, as a consumer would. */
export async function workChunk(
  queue: FakeQueue,
  store: ObjectStore | null,
  submission: FakeSubmission,
  index: number,
  operation: (op: unknown) => unknown,
): Promise<void> {
  const { prefix } = submission.record;
  if (prefix === null || store === null) {
    const results = codec.decode(submission.inputs[index]!).map(operation);
    return queue.complete(submission, index, codec.encode(results));
  }
  const input = await store.get(chunkKey(prefix, index, 'in'));
  const content = isCompressedChunk(input) ? await decompressChunk(input) : input;
  await store.put(chunkKey(prefix, index, 'out'), codec.encode(codec.decode(content).map(operation)));
  queue.complete(submission, index);
}

/** An `onInsert` that does every chunk, in the given order of indexes. */
export function workEverything(
  store: ObjectStore | null,
  operation: (op: unknown) => unknown,
  order: (indexes: number[]) => number[] = (indexes) => indexes,
): (submission: FakeSubmission, queue: FakeQueue) => void {
  return (submission, queue) => {
    const indexes = Array.from({ length: submission.record.chunksTotal }, (_, index) => index);
    const work = async () => {
      for (const index of order(indexes)) await workChunk(queue, store, submission, index, operation);
    };
    work().catch((error: unknown) => queue.fail(submission, 0, String(error)));
  };
}
