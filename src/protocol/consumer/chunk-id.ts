import type { ChunkId } from '../../model/ids.ts';
import type { CborReader } from '../cbor/reader.ts';
import { type CborWriter, encodedNames, encodedRun, HEAD_BYTES_MAX } from '../cbor/writer.ts';

const SUBMISSION_ID = encodedRun({ map: 2 }, 'submission_id');
const CHUNK_INDEX = encodedRun('chunk_index');
const FIELDS = encodedNames('submission_id', 'chunk_index');

/** The most bytes that {@link writeChunkId} writes. */
export const CHUNK_ID_SIZE_MAX = SUBMISSION_ID.length + CHUNK_INDEX.length + 2 * HEAD_BYTES_MAX;

export function writeChunkId(writer: CborWriter, chunk: ChunkId): void {
  writer.raw(SUBMISSION_ID);
  writer.int(chunk.submissionId);
  writer.raw(CHUNK_INDEX);
  writer.uint(chunk.chunkIndex);
}

/** An id as a client names it. An index beyond 2^53 - 1, legal on the wire, is clamped: there is no such chunk either. */
export function readChunkId(reader: CborReader, field: string): ChunkId {
  let submissionId: bigint | null = null;
  let chunkIndex = -1;
  for (let left = reader.openMap(field); reader.more(left); left--) {
    switch (reader.key(FIELDS, field)) {
      case 0:
        if (submissionId !== null) throw reader.error(field, 'submission_id is given twice');
        submissionId = reader.uint63(field);
        break;
      case 1:
        if (chunkIndex !== -1) throw reader.error(field, 'chunk_index is given twice');
        chunkIndex = reader.uintClamped(field);
        break;
      default:
        reader.skip(field);
    }
  }
  if (submissionId === null) throw reader.error(field, 'submission_id is missing');
  if (chunkIndex === -1) throw reader.error(field, 'chunk_index is missing');
  return { submissionId, chunkIndex };
}
