import type { DatabaseSync } from 'node:sqlite';
import type { ChunkIndex, SubmissionId } from '../../../model/ids.ts';
import type { SetAsideChunk } from '../../store.ts';
import { BoundedDelete } from './bounded-delete.ts';
import { Statement } from './statement.ts';

/** Chunks that are set aside, with their failures. */
export class FailedChunksTable {
  readonly #put: Statement<never>;
  readonly #delete: Statement<never>;
  readonly #from: Statement<readonly [chunkIndex: bigint, failure: string]>;
  readonly #between: Statement<readonly [submissionId: bigint, chunkIndex: bigint]>;
  readonly deletion: BoundedDelete;

  constructor(database: DatabaseSync) {
    this.#put = new Statement(
      database,
      `INSERT INTO failed_chunks (submission_id, chunk_index, failure) VALUES (?, ?, ?)
       ON CONFLICT (submission_id, chunk_index) DO UPDATE SET failure = excluded.failure`,
    );
    this.#delete = new Statement(
      database,
      'DELETE FROM failed_chunks WHERE submission_id = ? AND chunk_index = ?',
    );
    this.#from = new Statement(
      database,
      `SELECT chunk_index, failure FROM failed_chunks
       WHERE submission_id = ? AND chunk_index >= ? ORDER BY chunk_index LIMIT ?`,
    );
    this.#between = new Statement(
      database,
      `SELECT submission_id, chunk_index FROM failed_chunks
       WHERE (submission_id, chunk_index) >= (?, ?) AND submission_id <= ? ORDER BY submission_id, chunk_index`,
    );
    this.deletion = new BoundedDelete(database, 'failed_chunks', 'chunk_index');
  }

  /** @param failure null: it is not set aside any more */
  put(id: SubmissionId, chunkIndex: ChunkIndex, failure: string | null): void {
    if (failure === null) this.#delete.run(id, chunkIndex);
    else this.#put.run(id, chunkIndex, failure);
  }

  /** Of one submission, from that chunk on. */
  *from(id: SubmissionId, from: ChunkIndex, limit: number): Generator<SetAsideChunk> {
    for (const [chunkIndex, failure] of this.#from.iterate(id, from, limit)) {
      yield { chunkIndex: Number(chunkIndex), failure };
    }
  }

  /** Of the submissions `firstId` (from `firstChunk` on) to `lastId`, in order, without the failures. */
  *between(firstId: SubmissionId, firstChunk: ChunkIndex, lastId: SubmissionId) {
    for (const [id, chunkIndex] of this.#between.iterate(firstId, firstChunk, lastId)) {
      yield { id, chunkIndex: Number(chunkIndex) };
    }
  }
}
