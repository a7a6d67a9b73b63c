import { ChunkSet, PAGE_CHUNKS } from '../../model/chunk-set.ts';
import type { Scope, ScopeControl } from '../../model/control.ts';
import { type ChunkId, type ShardId, SUBMISSION_ID_MAX, type SubmissionId } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import { END_STATES, type EndState } from '../../model/submission.ts';
import { PageChecksum } from '../codec/page-checksum.ts';
import { allChunks, chunksDoneIn, setStoredPage } from '../codec/progress.ts';
import {
  type Blob,
  COLUMNS,
  controlledRecordOf,
  endOf,
  IS_ENDED,
  STATE,
  type SubmissionRow,
} from '../codec/submission-row.ts';
import { scopeControlOrPause } from '../codec/values.ts';
import { StoreError } from '../errors.ts';
import type {
  DuePage,
  DueSubmission,
  EndedPage,
  FailedChunksPage,
  SetAsideChunk,
  StoredSubmission,
} from '../store.ts';
import type { SqlSession } from './session.ts';

type CountedRow = readonly [...SubmissionRow, chunksInPages: bigint];

/** A row of `pages`. */
export type PageRow = readonly [id: bigint, page: bigint, content: Blob | null, checksum: bigint];

const CHECKSUM = new PageChecksum();

/** With how many chunks are done in the pages of an open one: the others' ends say it. */
const COUNTED_COLUMNS = `${COLUMNS}, CASE state WHEN ${STATE.open} THEN (
  SELECT coalesce(sum(CASE WHEN content IS NULL THEN least(${PAGE_CHUNKS}, chunks_total - page * ${PAGE_CHUNKS})
    ELSE bit_count(content) END), 0)::bigint FROM pages WHERE submission_id = submissions.id) ELSE 0 END`;

/** Those of the ids that are known, in any state. */
export async function storedSubmissions(
  session: SqlSession,
  ids: readonly SubmissionId[],
): Promise<Map<SubmissionId, StoredSubmission>> {
  if (ids.length === 0) return new Map();
  const rows = await session.query<CountedRow>(
    `SELECT ${COUNTED_COLUMNS} FROM submissions WHERE id = ANY ($1::bigint[]) AND state <> ${STATE.forgotten}`,
    [`{${ids.join()}}`],
  );
  return new Map(rows.map((row) => [row[0], storedSubmission(row)]));
}

/** Of each prefix the oldest submission. */
export async function idsByPrefix(
  session: SqlSession,
  prefixes: readonly string[],
): Promise<Map<string, SubmissionId>> {
  return new Map(
    await session.query<readonly [string, bigint]>(
      'SELECT prefix, min(id) FROM submissions WHERE prefix = ANY ($1::text[]) GROUP BY prefix',
      [prefixes],
    ),
  );
}

/** The first of the bodies, up to `bytesMax` together. */
export async function directContents(
  session: SqlSession,
  part: 'input' | 'output',
  chunks: readonly ChunkId[],
  bytesMax: number,
): Promise<(Uint8Array | null)[]> {
  if (chunks.length === 0) return [];
  const rows = await session.query<readonly [content: Blob | null]>(
    `SELECT content FROM (
       SELECT r.position, d.content, coalesce(sum(octet_length(d.content)) OVER (
         ORDER BY r.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
       FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS r (id, chunk_index, position)
       LEFT JOIN direct_${part}s AS d ON d.submission_id = r.id AND d.chunk_index = r.chunk_index) AS c
     WHERE bytes_before < $3::bigint OR position = 1 ORDER BY position`,
    [
      `{${chunks.map(({ submissionId }) => submissionId).join()}}`,
      `{${chunks.map(({ chunkIndex }) => chunkIndex).join()}}`,
      bytesMax,
    ],
  );
  return rows.map(([content]) => content);
}

export async function countEnded(session: SqlSession, queue: string, state: EndState): Promise<number> {
  const [row] = await session.query<readonly [bigint]>(
    'SELECT count FROM ended_counts WHERE queue = $1 AND state = $2',
    [queue, STATE[state]],
  );
  return Number(row?.[0] ?? 0n);
}

export async function endedQueues(session: SqlSession, state: EndState): Promise<string[]> {
  const rows = await session.query<readonly [string]>(
    'SELECT queue FROM ended_counts WHERE state = $1 AND count > 0',
    [STATE[state]],
  );
  return rows.map(([queue]) => queue);
}

/** The newest first. One short walk in each state: a single one by id would have to pass every open submission. */
export async function endedSubmissions(
  session: SqlSession,
  { queue, state, before, limit }: EndedPage,
): Promise<StoredSubmission[]> {
  const walks = (state === undefined ? END_STATES : [state]).map(
    (each) =>
      `(SELECT id FROM submissions WHERE ${IS_ENDED} AND queue = $1 AND state = ${STATE[each]} AND id <= $2 ORDER BY id DESC LIMIT $3)`,
  );
  const rows = await session.query<CountedRow>(
    `SELECT ${COUNTED_COLUMNS} FROM submissions WHERE id = ANY (ARRAY(
       SELECT id FROM (${walks.join(' UNION ALL ')}) AS w ORDER BY id DESC LIMIT $3)) ORDER BY id DESC`,
    [queue, before === undefined ? SUBMISSION_ID_MAX : before - 1n, limit],
  );
  return rows.map(storedSubmission);
}

/** What was done in a submission, from one look at it and its pages. */
export async function chunksDone(session: SqlSession, id: SubmissionId): Promise<ChunkSet | null> {
  type Row = readonly [chunksTotal: bigint, state: bigint, ...PageRow];
  const rows = await session.query<Row>(
    `SELECT s.chunks_total, s.state, s.id, p.page, p.content, p.checksum FROM submissions AS s
     LEFT JOIN pages AS p ON p.submission_id = s.id AND s.state <> ${STATE.completed}
     WHERE s.id = $1 AND s.state <> ${STATE.forgotten}`,
    [id],
  );
  const [first] = rows;
  if (first === undefined) return null;
  const chunksTotal = Number(first[0]);
  if (first[1] === BigInt(STATE.completed)) return allChunks(chunksTotal);
  const done = new ChunkSet(chunksTotal);
  for (const [, , ...row] of rows) if (row[1] !== null) setPage(done, row);
  return done;
}

/** @throws StoreError `corrupt`, naming the submission */
export function setPage(done: ChunkSet, [id, page, content, checksum]: PageRow): void {
  if (Number(checksum) !== CHECKSUM.of(id, Number(page), content)) {
    throw new StoreError(
      'corrupt',
      `the database is damaged: submission ${id}, page ${page} of its finished chunks has a wrong checksum`,
    );
  }
  setStoredPage(done, id, Number(page), content ?? 'full');
}

/** Of the failures only the first ones, up to `bytesMax` together. */
export async function failedChunks(
  session: SqlSession,
  { id, from, limit, bytesMax = ANSWER_BYTES_MAX }: FailedChunksPage,
): Promise<SetAsideChunk[]> {
  const rows = await session.query<readonly [chunkIndex: bigint, failure: string]>(
    `SELECT chunk_index, failure FROM (
       SELECT chunk_index, failure, coalesce(sum(char_length(failure) - 2) OVER (
         ORDER BY chunk_index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS chars_before
       FROM (SELECT chunk_index, failure FROM failed_chunks WHERE submission_id = $1 AND chunk_index >= $2
         ORDER BY chunk_index LIMIT $3) AS f) AS c
     WHERE chars_before < $4::bigint OR chars_before = 0 ORDER BY chunk_index`,
    [id, from, limit, bytesMax],
  );
  return rows.map((row) => ({ chunkIndex: Number(row[0]), failure: JSON.parse(row[1]) as string }));
}

/** One short walk in each shard. */
export async function dueSubmissions(
  session: SqlSession,
  { shards, endedBeforeMs, after, limit }: DuePage,
): Promise<DueSubmission[]> {
  const { endedAtMs, id } = after ?? { endedAtMs: Number.NEGATIVE_INFINITY, id: 0n };
  const rows = await session.query<readonly [bigint, number]>(
    `SELECT d.id, d.ended_at_ms FROM unnest($5::integer[]) AS s (shard) CROSS JOIN LATERAL (
       SELECT id, ended_at_ms FROM submissions WHERE shard = s.shard AND ended_at_ms IS NOT NULL
         AND (ended_at_ms, id) > ($1::double precision, $2::bigint) AND ended_at_ms < $3::double precision
       ORDER BY ended_at_ms, id LIMIT $4::bigint) AS d
     ORDER BY d.ended_at_ms, d.id LIMIT $4::bigint`,
    [endedAtMs, id, endedBeforeMs, limit, `{${shards.join()}}`],
  );
  return rows.map((row) => ({ id: row[0], endedAtMs: row[1] }));
}

export async function scopeControls(session: SqlSession): Promise<Map<Scope, ScopeControl>> {
  const rows = await session.query<readonly [string, string]>('SELECT scope, control FROM controls');
  return new Map(rows.map(([scope, control]) => [scope, scopeControlOrPause(scope, control)]));
}

export async function lastSeq(session: SqlSession, shard: ShardId): Promise<number> {
  const [row] = await session.query<readonly [bigint]>('SELECT last_seq FROM shards WHERE shard = $1', [
    shard,
  ]);
  return Number(row?.[0] ?? 0n);
}

/** Of all tables with their indexes. */
export async function sizeBytes(session: SqlSession): Promise<number> {
  const [row] = await session.query<readonly [bigint]>(
    `SELECT coalesce(sum(pg_catalog.pg_total_relation_size(oid)), 0)::bigint FROM pg_catalog.pg_class
     WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`,
  );
  return Number(row?.[0] ?? 0n);
}

function storedSubmission(row: CountedRow): StoredSubmission {
  const submission = row.slice(0, -1) as unknown as SubmissionRow;
  const { record, control } = controlledRecordOf(submission);
  const end = endOf(withTexts(submission));
  const done = chunksDoneIn(record.chunksTotal, end, () => Number(row.at(-1)));
  return { record, end, chunksDone: done, control };
}

/** `failure` and `ended_by` are JSON: PostgreSQL's text holds no U+0000. */
function withTexts(row: SubmissionRow): SubmissionRow {
  const [failure, by] = row
    .slice(-2)
    .map((text) => (text === null ? null : (JSON.parse(String(text)) as string)));
  return [...row.slice(0, -2), failure, by] as unknown as SubmissionRow;
}
