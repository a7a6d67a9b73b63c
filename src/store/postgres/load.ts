import { ChunkSet } from '../../model/chunk-set.ts';
import type { ShardId, SubmissionId } from '../../model/ids.ts';
import type { ChunkTries } from '../../model/submission.ts';
import { controlledRecordOf, RECORD_COLUMNS, type RecordRow, STATE } from '../codec/submission-row.ts';
import type { LoadedSubmission } from '../store.ts';
import { type PageRow, setPage } from './lookups.ts';
import type { SqlSession } from './session.ts';

const PIECE_SUBMISSIONS = 2000;
const PAGES_AT_ONCE = 2000;
const TRIES_AT_ONCE = 20_000;
/** Before every page and chunk. */
const BEFORE_ALL = -1n;
/** Above every id. */
export const ID_END = 1n << 63n;

interface Loading extends LoadedSubmission {
  readonly tries: Map<number, ChunkTries>;
}

/** How many rows each table has of some submissions. */
export interface RowCounts {
  submissions: number;
  pages: number;
  tries: number;
  failed_chunks: number;
}

export function noRows(): RowCounts {
  return { submissions: 0, pages: 0, tries: 0, failed_chunks: 0 };
}

export type Read = <T>(work: (session: SqlSession) => Promise<T>) => Promise<T>;

/** Open submissions of the shards, by id in each; each statement answers a bounded number of rows. */
export async function* loadOpen(
  read: Read,
  shards: readonly ShardId[],
): AsyncGenerator<readonly LoadedSubmission[]> {
  for (const shard of shards) yield* loadBetween(read, shard, 0n, ID_END);
}

/** Those of a shard with ids from `first` on, before `end`. @param counts all rows of theirs that are read are added to it */
export async function* loadBetween(
  read: Read,
  shard: ShardId,
  first: SubmissionId,
  end: SubmissionId,
  counts = noRows(),
): AsyncGenerator<readonly LoadedSubmission[]> {
  const submissionsAfter = (after: SubmissionId) => {
    const rows = read((session) =>
      session.query<RecordRow>(
        `SELECT ${RECORD_COLUMNS} FROM submissions WHERE state = ${STATE.open} AND shard = $3 AND id > $1 AND id <= $4
         ORDER BY id LIMIT $2`,
        [after, PIECE_SUBMISSIONS, shard, end - 1n],
      ),
    );
    // It is awaited later, or not at all if the caller needs no more.
    rows.catch(() => {});
    return rows;
  };
  const walks = new Walks(read);
  for (let next = submissionsAfter(first - 1n); ; ) {
    const rows = await next;
    const lastId = rows.at(-1)?.[0];
    if (lastId === undefined) return;
    const isLast = rows.length < PIECE_SUBMISSIONS;
    // The server gathers the next ones while these are worked on.
    if (!isLast) next = submissionsAfter(lastId);
    const piece = rows.map(loading);
    counts.submissions += piece.length;
    await addProgress(walks, piece, counts);
    yield piece;
    if (isLast) return;
  }
}

function loading(row: RecordRow): Loading {
  const { record, control } = controlledRecordOf(row);
  const { chunksTotal } = record;
  return {
    record,
    control,
    done: new ChunkSet(chunksTotal),
    tries: new Map(),
    failed: new ChunkSet(chunksTotal),
  };
}

/** What the other tables know of them. */
async function addProgress(walks: Walks, piece: readonly Loading[], counts: RowCounts): Promise<void> {
  const byId = new Map(piece.map((each) => [each.record.id, each]));
  const ids = [...byId.keys()];
  for await (const row of walks.of<PageRow>('pages', 'page', ', content, checksum', ids, PAGES_AT_ONCE)) {
    counts.pages++;
    const of = byId.get(row[0]);
    if (of !== undefined) setPage(of.done, row);
  }
  const isOpen = ({ done, failed }: Loading, index: number) =>
    index < done.size && !done.has(index) && !failed.has(index);
  // Before the tries: those of a chunk that is set aside are none.
  type FailedRow = readonly [id: bigint, chunkIndex: bigint];
  const failed = walks.of<FailedRow>('failed_chunks', 'chunk_index', '', ids, TRIES_AT_ONCE);
  for await (const [id, chunkIndex] of failed) {
    counts.failed_chunks++;
    const of = byId.get(id);
    if (of !== undefined && isOpen(of, Number(chunkIndex))) of.failed.add(Number(chunkIndex));
  }
  type TriesRow = readonly [id: bigint, chunkIndex: bigint, retries: bigint, disconnects: bigint];
  const tries = walks.of<TriesRow>('tries', 'chunk_index', ', retries, disconnects', ids, TRIES_AT_ONCE);
  for await (const [id, chunkIndex, retries, disconnects] of tries) {
    counts.tries++;
    const of = byId.get(id);
    const index = Number(chunkIndex);
    if (of !== undefined && isOpen(of, index))
      of.tries.set(index, { retries: Number(retries), disconnects: Number(disconnects) });
  }
}

/**
 * Rows of a table that belong to some submissions, by key. What is of other shards lies in between: where it is most of what
 * a walk comes by, the submissions are asked for one by one from then on.
 */
class Walks {
  readonly #read: Read;
  /** Tables that have more of other shards. */
  readonly #mixed = new Set<string>();

  constructor(read: Read) {
    this.#read = read;
  }

  /** @param ids in their order */
  async *of<Row extends readonly [bigint, bigint, ...unknown[]]>(
    table: string,
    key: string,
    columns: string,
    ids: readonly SubmissionId[],
    limit: number,
  ): AsyncGenerator<Row> {
    const lastId = ids.at(-1)!;
    const wanted = new Set(ids);
    let after: readonly [SubmissionId, bigint] = [ids[0]!, BEFORE_ALL];
    for (;;) {
      const [id, number] = after;
      const rows = this.#mixed.has(table)
        ? await this.#one<Row>(
            table,
            key,
            columns,
            ids.slice(ids.findIndex((each) => each >= id)),
            after,
            limit,
          )
        : await this.#read((session) =>
            session.query<Row>(
              `SELECT submission_id, ${key}${columns} FROM ${table}
               WHERE (submission_id, ${key}) > ($1, $2) AND submission_id <= $3 ORDER BY submission_id, ${key} LIMIT $4`,
              [id, number, lastId, limit],
            ),
          );
      const own = rows.filter((row) => wanted.has(row[0]));
      yield* own;
      const last = rows.at(-1);
      if (last === undefined || rows.length < limit) return;
      if (own.length < rows.length / 2) this.#mixed.add(table);
      after = [last[0], last[1]];
    }
  }

  /** A probe for each submission, from the row after that one on. */
  #one<Row extends readonly unknown[]>(
    table: string,
    key: string,
    columns: string,
    ids: readonly SubmissionId[],
    [id, number]: readonly [SubmissionId, bigint],
    limit: number,
  ): Promise<Row[]> {
    const from = ids.map((each) => (each === id ? number : BEFORE_ALL));
    return this.#read((session) =>
      session.query<Row>(
        `SELECT u.id, t.${key}${columns} FROM unnest($1::bigint[], $2::bigint[]) AS u (id, after)
         JOIN ${table} AS t ON t.submission_id = u.id AND t.${key} > u.after ORDER BY u.id, t.${key} LIMIT $3`,
        [`{${ids.join()}}`, `{${from.join()}}`, limit],
      ),
    );
  }
}
