import type { DatabaseSync } from 'node:sqlite';
import type { SubmissionId } from '../../../model/ids.ts';
import { chunksDoneIn, countChunks } from '../../codec/progress.ts';
import type { StoredSubmission } from '../../store.ts';
import { ControlsTable } from './controls.ts';
import { DirectContentsTable } from './direct-contents.ts';
import { FailedChunksTable } from './failed-chunks.ts';
import { PagesTable } from './pages.ts';
import { ShardsTable } from './shards.ts';
import { SubmissionsTable } from './submissions.ts';
import { TriesTable } from './tries.ts';

/** Every table of a database, its statements prepared. */
export class Tables {
  readonly shards: ShardsTable;
  readonly submissions: SubmissionsTable;
  readonly pages: PagesTable;
  readonly tries: TriesTable;
  readonly failedChunks: FailedChunksTable;
  readonly controls: ControlsTable;
  readonly inputs: DirectContentsTable;
  readonly outputs: DirectContentsTable;

  constructor(database: DatabaseSync) {
    this.shards = new ShardsTable(database);
    this.submissions = new SubmissionsTable(database);
    this.pages = new PagesTable(database);
    this.tries = new TriesTable(database);
    this.failedChunks = new FailedChunksTable(database);
    this.controls = new ControlsTable(database);
    this.inputs = new DirectContentsTable(database, 'input');
    this.outputs = new DirectContentsTable(database, 'output');
  }

  /** A submission with its progress. */
  stored(id: SubmissionId): StoredSubmission | null {
    const found = this.submissions.find(id);
    if (!found) return null;
    const { record, end, control } = found;
    const chunksDone = chunksDoneIn(record.chunksTotal, end, () => {
      let count = 0;
      for (const { page, content } of this.pages.between(id, 0, id)) {
        count += countChunks(record.chunksTotal, page, content);
      }
      return count;
    });
    return { record, end, chunksDone, control };
  }
}
