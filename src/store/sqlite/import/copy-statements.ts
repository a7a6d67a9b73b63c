import { STATE } from '../../codec/submission-row.ts';

/*
 * The original opsqueue has a table of submissions for each state and a row for each chunk: in `chunks` while it is to
 * be done, then in `chunks_completed` or, with its submission, in `chunks_failed`. Times are Julian days.
 */

const UNIX_EPOCH_JULIAN_DAY = 2440587.5;
const unixMs = (column: string) => `(julianday(${column}) - ${UNIX_EPOCH_JULIAN_DAY}) * 86400000.0`;
/** As tables/submissions.ts writes it: an array of pairs, the values as text. */
const strategicMetadata = `(
  SELECT CASE WHEN count(*) = 0 THEN NULL ELSE json_group_array(json_array(metadata_key, value)) END FROM (
    SELECT metadata_key, CAST(metadata_value AS TEXT) AS value FROM submissions_metadata
    WHERE submission_id = s.id ORDER BY metadata_key))`;
const COLUMNS = `id, state, prefix, chunks_total, chunk_size_ops, metadata, strategic_metadata, otel_trace_carrier,
  retry_delay_ms, ended_at_ms, chunks_done, failed_chunk_index, failed_chunk_input, failure`;
// It takes 0 and negative chunk sizes, which mean nothing, and ones that are no exact number here.
const chunkSize = `min(max(coalesce(s.chunk_size, 1), 1), ${Number.MAX_SAFE_INTEGER})`;
// It forgets the chunk size of what has ended: 0 is unknown.
const endedChunkSize = '0';
const metadata = 'CAST(metadata AS BLOB)';
const traceCarrier = "nullif(s.otel_trace_carrier, '{}')";
const isDirect = 'SELECT id FROM submissions WHERE prefix IS NULL';

// Nothing would ever end an open submission without chunks. An id begins with the time of its insert.
const openState = `CASE chunks_total WHEN 0 THEN ${STATE.completed} ELSE ${STATE.open} END`;
const openEnd = 'CASE chunks_total WHEN 0 THEN CAST(id >> 22 AS REAL) END';

/** Run in this order, after the tables of ours were made and `submissions` of the original was renamed. */
export const COPY_STATEMENTS: readonly string[] = [
  `INSERT INTO submissions (${COLUMNS})
   SELECT id, ${openState}, prefix, chunks_total, ${chunkSize}, ${metadata}, ${strategicMetadata}, ${traceCarrier},
     0, ${openEnd}, NULL, NULL, NULL, NULL FROM reference_submissions AS s`,
  `INSERT INTO submissions (${COLUMNS})
   SELECT id, ${STATE.completed}, prefix, chunks_total, ${endedChunkSize}, ${metadata}, ${strategicMetadata}, ${traceCarrier},
     0, ${unixMs('completed_at')}, NULL, NULL, NULL, NULL FROM submissions_completed AS s`,
  `INSERT INTO submissions (${COLUMNS})
   SELECT id, ${STATE.failed}, prefix, chunks_total, ${endedChunkSize}, ${metadata}, ${strategicMetadata}, ${traceCarrier},
     0, ${unixMs('s.failed_at')},
     coalesce(chunks_done, (SELECT count(*) FROM chunks_completed AS d WHERE d.submission_id = s.id)),
     failed_chunk_id, CAST(c.input_content AS BLOB), coalesce(CAST(c.failure AS TEXT), '')
   FROM submissions_failed AS s
   LEFT JOIN chunks_failed AS c ON c.submission_id = s.id AND c.chunk_index = s.failed_chunk_id`,
  `INSERT INTO submissions (${COLUMNS})
   SELECT id, ${STATE.cancelled}, prefix, chunks_total, ${endedChunkSize}, ${metadata}, ${strategicMetadata}, NULL,
     0, ${unixMs('cancelled_at')}, chunks_done, NULL, NULL, NULL FROM submissions_cancelled AS s`,
  `INSERT INTO tries (submission_id, chunk_index, retries, disconnects)
   SELECT submission_id, chunk_index, retries, 0 FROM chunks
   WHERE retries > 0 AND submission_id IN (SELECT id FROM reference_submissions)`,
  // Inputs of finished chunks are not kept by the original.
  ...['chunks', 'chunks_failed'].map(
    (table) =>
      `INSERT INTO direct_inputs (submission_id, chunk_index, content)
       SELECT submission_id, chunk_index, CAST(input_content AS BLOB) FROM ${table}
       WHERE input_content IS NOT NULL AND submission_id IN (${isDirect})`,
  ),
  `INSERT INTO direct_outputs (submission_id, chunk_index, content)
   SELECT submission_id, chunk_index, CAST(output_content AS BLOB) FROM chunks_completed
   WHERE output_content IS NOT NULL AND submission_id IN (${isDirect})`,
  `INSERT INTO shards (shard, epoch, holder, last_seq, highest_id)
   SELECT 0, 0, 'the original opsqueue', 0, coalesce(max(id), 0) FROM submissions`,
];

/** Finished chunks in order, of submissions that keep their pages. */
export const DONE_CHUNKS = `
  SELECT s.id, d.chunk_index, s.chunks_total, s.state
  FROM submissions AS s CROSS JOIN chunks_completed AS d ON d.submission_id = s.id
  WHERE s.state <> ${STATE.completed} ORDER BY s.id, d.chunk_index`;

export const COUNTS = 'SELECT state, count(*), sum(chunks_total) FROM submissions GROUP BY state';

/** The original server numbers everything as instance 0, which is our shard 0. */
export const FOREIGN_ID = [
  'reference_submissions',
  'submissions_completed',
  'submissions_failed',
  'submissions_cancelled',
]
  .map((table) => `SELECT id FROM ${table} WHERE id < 0 OR (id >> 12) & 1023 <> 0`)
  .join(' UNION ALL ');

/** The highest chunk is enough: indexes are never negative. */
export const WRONG_CHUNK = ['reference_submissions', 'submissions_failed', 'submissions_cancelled']
  .flatMap((table) => [
    { table, chunks: 'chunks' },
    { table, chunks: 'chunks_completed' },
  ])
  .map(
    ({ table, chunks }) => `
    SELECT s.id, d.chunk_index FROM ${table} AS s CROSS JOIN ${chunks} AS d
    ON d.submission_id = s.id
      AND d.chunk_index = (SELECT max(chunk_index) FROM ${chunks} WHERE submission_id = s.id)
    WHERE d.chunk_index >= s.chunks_total`,
  )
  .join(' UNION ALL ');

export const DROP_STATEMENTS: readonly string[] = [
  'reference_submissions',
  'submissions_completed',
  'submissions_failed',
  'submissions_cancelled',
  'submissions_metadata',
  'chunks',
  'chunks_completed',
  'chunks_failed',
  '_sqlx_migrations',
].map((table) => `DROP TABLE ${table}`);
