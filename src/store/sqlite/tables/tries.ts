import type { DatabaseSync } from 'node:sqlite';
import type { ChunkIndex, SubmissionId } from '../../../model/ids.ts';
import type { ChunkTries } from '../../../model/submission.ts';
import { BoundedDelete } from './bounded-delete.ts';
import { Statement } from './statement.ts';

type TriesRow = readonly [submissionId: bigint, chunkIndex: bigint, retries: bigint, disconnects: bigint];

export interface StoredTries {
  readonly id: SubmissionId;
  readonly chunkIndex: ChunkIndex;
  readonly tries: ChunkTries;
}

/** Chunks that were handed out in vain. */
export class TriesTable {
  readonly #put: Statement<never>;
  readonly #between: Statement<TriesRow>;
  readonly deletion: BoundedDelete;

  constructor(database: DatabaseSync) {
    this.#put = new Statement(
      database,
      `INSERT INTO tries (submission_id, chunk_index, retries, disconnects) VALUES (?, ?, ?, ?)
       ON CONFLICT (submission_id, chunk_index)
       DO UPDATE SET retries = excluded.retries, disconnects = excluded.disconnects`,
    );
    this.#between = new Statement(
      database,
      `SELECT submission_id, chunk_index, retries, disconnects FROM tries
       WHERE (submission_id, chunk_index) >= (?, ?) AND submission_id <= ? ORDER BY submission_id, chunk_index`,
    );
    this.deletion = new BoundedDelete(database, 'tries', 'chunk_index');
  }

  put(id: SubmissionId, chunkIndex: ChunkIndex, tries: ChunkTries): void {
    this.#put.run(id, chunkIndex, tries.retries, tries.disconnects);
  }

  /** Of the submissions `firstId` (from `firstChunk` on) to `lastId`, in order. */
  *between(firstId: SubmissionId, firstChunk: ChunkIndex, lastId: SubmissionId): Generator<StoredTries> {
    for (const [id, chunkIndex, retries, disconnects] of this.#between.iterate(firstId, firstChunk, lastId)) {
      const tries = { retries: Number(retries), disconnects: Number(disconnects) };
      yield { id, chunkIndex: Number(chunkIndex), tries };
    }
  }
}
