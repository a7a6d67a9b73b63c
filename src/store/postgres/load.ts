import { ChunkSet } from '../../model/chunk-set.ts';
import { type ShardId, type SubmissionId, submissionIdShard } from '../../model/ids.ts';
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

interface Loading extends LoadedSubmission {
  readonly tries: Map<number, ChunkTries>;
}

type Read = <T>(work: (session: SqlSession) => Promise<T>) => Promise<T>;

/** Open submissions of the shards, by id; each statement answers a bounded number of rows. */
export async function* loadOpen(
  read: Read,
  shards: readonly ShardId[],
): AsyncGenerator<readonly LoadedSubmission[]> {
  const submissionsAfter = (after: SubmissionId) => {
    const rows = read((session) =>
      session.query<RecordRow>(
        `SELECT ${RECORD_COLUMNS} FROM submissions WHERE state = ${STATE.open} AND id > $1 ORDER BY id LIMIT $2`,
        [after, PIECE_SUBMISSIONS],
      ),
    );
    // It is awaited later, or not at all if the caller needs no more.
    rows.catch(() => {});
    return rows;
  };
  for (let next = submissionsAfter(-1n); ; ) {
    const rows = await next;
    const lastId = rows.at(-1)?.[0];
    if (lastId === undefined) return;
    const isLast = rows.length < PIECE_SUBMISSIONS;
    // The server gathers the next ones while these are worked on.
    if (!isLast) next = submissionsAfter(lastId);
    const piece = rows.filter(([id]) => shards.includes(submissionIdShard(id))).map(loading);
    await addProgress(read, piece, rows[0]![0], lastId);
    if (piece.length > 0) yield piece;
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
async function addProgress(
  read: Read,
  piece: readonly Loading[],
  firstId: SubmissionId,
  lastId: SubmissionId,
): Promise<void> {
  const byId = new Map(piece.map((each) => [each.record.id, each]));
  const pages = walk<PageRow>(read, 'pages', 'page', ', content, checksum', firstId, lastId, PAGES_AT_ONCE);
  for await (const row of pages) {
    const of = byId.get(row[0]);
    if (of !== undefined) setPage(of.done, row);
  }
  const isOpen = ({ done, failed }: Loading, index: number) =>
    index < done.size && !done.has(index) && !failed.has(index);
  // Before the tries: those of a chunk that is set aside are none.
  type FailedRow = readonly [id: bigint, chunkIndex: bigint];
  const failed = walk<FailedRow>(read, 'failed_chunks', 'chunk_index', '', firstId, lastId, TRIES_AT_ONCE);
  for await (const [id, chunkIndex] of failed) {
    const of = byId.get(id);
    if (of !== undefined && isOpen(of, Number(chunkIndex))) of.failed.add(Number(chunkIndex));
  }
  type TriesRow = readonly [id: bigint, chunkIndex: bigint, retries: bigint, disconnects: bigint];
  const columns = ', retries, disconnects';
  const tries = walk<TriesRow>(read, 'tries', 'chunk_index', columns, firstId, lastId, TRIES_AT_ONCE);
  for await (const [id, chunkIndex, retries, disconnects] of tries) {
    const of = byId.get(id);
    const index = Number(chunkIndex);
    if (of !== undefined && isOpen(of, index))
      of.tries.set(index, { retries: Number(retries), disconnects: Number(disconnects) });
  }
}

/** Rows of a table from the first submission to the last one, by key. */
async function* walk<Row extends readonly [bigint, bigint, ...unknown[]]>(
  read: Read,
  table: string,
  key: string,
  columns: string,
  firstId: SubmissionId,
  lastId: SubmissionId,
  limit: number,
): AsyncGenerator<Row> {
  let after: readonly [SubmissionId, bigint] = [firstId, BEFORE_ALL];
  for (;;) {
    const [id, number] = after;
    const rows = await read((session) =>
      session.query<Row>(
        `SELECT submission_id, ${key}${columns} FROM ${table}
         WHERE (submission_id, ${key}) > ($1, $2) AND submission_id <= $3 ORDER BY submission_id, ${key} LIMIT $4`,
        [id, number, lastId, limit],
      ),
    );
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < limit) return;
    after = [last[0], last[1]];
  }
}
