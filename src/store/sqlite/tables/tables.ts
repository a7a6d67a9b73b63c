import type { DatabaseSync } from 'node:sqlite';
import type { SubmissionId } from '../../../model/ids.ts';
import type { StoredSubmission } from '../../store.ts';
import { DirectContentsTable } from './direct-contents.ts';
import { countChunks, PagesTable } from './pages.ts';
import { ShardsTable } from './shards.ts';
import { SubmissionsTable } from './submissions.ts';
import { TriesTable } from './tries.ts';

/** Every table of a database, its statements prepared. */
export class Tables {
  readonly shards: ShardsTable;
  readonly submissions: SubmissionsTable;
  readonly pages: PagesTable;
  readonly tries: TriesTable;
  readonly inputs: DirectContentsTable;
  readonly outputs: DirectContentsTable;

  constructor(database: DatabaseSync) {
    this.shards = new ShardsTable(database);
    this.submissions = new SubmissionsTable(database);
    this.pages = new PagesTable(database);
    this.tries = new TriesTable(database);
    this.inputs = new DirectContentsTable(database, 'input');
    this.outputs = new DirectContentsTable(database, 'output');
  }

  /** A submission with its progress. */
  stored(id: SubmissionId): StoredSubmission | null {
    const found = this.submissions.find(id);
    if (!found) return null;
    const { record, end } = found;
    switch (end?.state) {
      case 'completed':
        return { record, end, chunksDone: record.chunksTotal };
      case 'failed':
      case 'cancelled':
        return { record, end, chunksDone: end.chunksDone };
      case undefined: {
        let chunksDone = 0;
        for (const { page, content } of this.pages.between(id, 0, id)) {
          chunksDone += countChunks(record.chunksTotal, page, content);
        }
        return { record, end, chunksDone };
      }
    }
  }
}
