import type { DatabaseSync } from 'node:sqlite';
import type { PageContent } from '../../../model/chunk-set.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import { PageChecksum } from '../../codec/page-checksum.ts';
import type { Blob } from '../../codec/submission-row.ts';
import { StoreError } from '../../errors.ts';
import { BoundedDelete } from './bounded-delete.ts';
import { Statement } from './statement.ts';

type PageRow = readonly [submissionId: bigint, page: bigint, content: Blob | null, checksum: bigint];

export interface StoredPage {
  readonly id: SubmissionId;
  readonly page: number;
  readonly content: Exclude<PageContent, 'empty'>;
}

/** Which chunks are done. An empty page has no row; a full one has no content. */
export class PagesTable {
  readonly #put: Statement<never>;
  readonly #delete: Statement<never>;
  readonly #between: Statement<PageRow>;
  readonly deletion: BoundedDelete;
  readonly #checksum = new PageChecksum();

  constructor(database: DatabaseSync) {
    this.#put = new Statement(
      database,
      `INSERT INTO pages (submission_id, page, content, checksum) VALUES (?, ?, ?, ?)
       ON CONFLICT (submission_id, page) DO UPDATE SET content = excluded.content, checksum = excluded.checksum`,
    );
    this.#delete = new Statement(database, 'DELETE FROM pages WHERE submission_id = ? AND page = ?');
    this.#between = new Statement(
      database,
      `SELECT submission_id, page, content, checksum FROM pages
       WHERE (submission_id, page) >= (?, ?) AND submission_id <= ? ORDER BY submission_id, page`,
    );
    this.deletion = new BoundedDelete(database, 'pages', 'page');
  }

  put(id: SubmissionId, page: number, content: PageContent): void {
    if (content === 'empty') {
      this.#delete.run(id, page);
      return;
    }
    const bytes = content === 'full' ? null : content;
    this.#put.run(id, page, bytes, this.#checksum.of(id, page, bytes));
  }

  /**
   * Pages of the submissions `firstId` (from `firstPage` on) to `lastId`, in order.
   *
   * @throws StoreError `corrupt`, naming the submission, at the first one whose checksum is wrong
   */
  *between(firstId: SubmissionId, firstPage: number, lastId: SubmissionId): Generator<StoredPage> {
    for (const [id, page, content, checksum] of this.#between.iterate(firstId, firstPage, lastId)) {
      if (Number(checksum) !== this.#checksum.of(id, Number(page), content)) {
        throw new StoreError(
          'corrupt',
          `the database is damaged: submission ${id}, page ${page} of its finished chunks has a wrong checksum`,
        );
      }
      yield { id, page: Number(page), content: content ?? 'full' };
    }
  }
}
