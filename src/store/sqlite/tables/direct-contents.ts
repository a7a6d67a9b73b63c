import type { DatabaseSync } from 'node:sqlite';
import type { ChunkIndex, SubmissionId } from '../../../model/ids.ts';
import type { Blob } from '../../codec/submission-row.ts';
import { BoundedDelete } from './bounded-delete.ts';
import { Statement } from './statement.ts';

/** Bodies of `Direct` submissions: the inputs or the outputs. A content of null has no row. */
export class DirectContentsTable {
  readonly #put: Statement<never>;
  readonly #find: Statement<readonly [content: Blob]>;
  readonly #delete: Statement<never>;
  readonly deletion: BoundedDelete;

  constructor(database: DatabaseSync, part: 'input' | 'output') {
    const table = `direct_${part}s`;
    this.#put = new Statement(
      database,
      `INSERT INTO ${table} (submission_id, chunk_index, content) VALUES (?, ?, ?)
       ON CONFLICT (submission_id, chunk_index) DO UPDATE SET content = excluded.content`,
    );
    this.#find = new Statement(
      database,
      `SELECT content FROM ${table} WHERE submission_id = ? AND chunk_index = ?`,
    );
    this.#delete = new Statement(
      database,
      `DELETE FROM ${table} WHERE submission_id = ? AND chunk_index = ?`,
    );
    this.deletion = new BoundedDelete(database, table, 'chunk_index');
  }

  put(id: SubmissionId, chunkIndex: ChunkIndex, content: Uint8Array | null): void {
    if (content === null) this.#delete.run(id, chunkIndex);
    else this.#put.run(id, chunkIndex, content);
  }

  find(id: SubmissionId, chunkIndex: ChunkIndex): Uint8Array | null {
    return this.#find.get(id, chunkIndex)?.[0] ?? null;
  }
}
