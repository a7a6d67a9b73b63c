import type { ShardId, SubmissionId } from '../../model/ids.ts';
import { IS_ENDED, STATE } from '../codec/submission-row.ts';
import type { SqlSession } from './session.ts';

/** Rows that one statement of the clean-up deletes: commits go in between. */
const SWEEP_ROWS = 5000;
/** Tables with rows of a submission, and the second half of their keys. */
const PARTS = [
  ['direct_outputs', 'chunk_index'],
  ['direct_inputs', 'chunk_index'],
  ['pages', 'page'],
  ['tries', 'chunk_index'],
  ['failed_chunks', 'chunk_index'],
] as const;

/**
 * The first half of the clean-up: nobody finds these submissions any more. Returns how many had ended.
 *
 * @param grants those of a shard of which the grant is not valid any more are left: which are due, a later owner may see
 *   otherwise. So are those of a shard that a batch is being written for: waiting for it would keep the other shards locked
 */
export async function forget(
  session: SqlSession,
  ids: readonly SubmissionId[],
  grants: readonly (readonly [ShardId, number])[],
): Promise<number> {
  // Nothing is left of a completed one but its row, unless it was a direct one.
  // Locked: a retry that was about to reopen one, from another session, is over then, or waits.
  const [row] = await session.query<readonly [forgotten: bigint]>(
    `WITH held AS MATERIALIZED (
       SELECT s.shard FROM shards AS s JOIN unnest($2::integer[], $3::bigint[]) AS g (shard, epoch)
         ON g.shard = s.shard AND g.epoch = s.epoch
       WHERE s.shard IN (SELECT shard FROM submissions WHERE id = ANY ($1::bigint[])) FOR SHARE OF s SKIP LOCKED),
     ended AS (
       SELECT id, queue, state, state = ${STATE.completed} AND prefix IS NOT NULL AS is_bare FROM submissions
       WHERE id = ANY ($1::bigint[]) AND ${IS_ENDED} AND shard = ANY (ARRAY(SELECT shard FROM held))
       ORDER BY id FOR UPDATE),
     deleted AS (
       DELETE FROM submissions AS s USING ended AS e WHERE s.id = e.id AND e.is_bare RETURNING e.queue, e.state),
     marked AS (
       UPDATE submissions AS s
       SET state = ${STATE.forgotten}, ended_at_ms = NULL, prefix = NULL, idempotency_key = NULL
       FROM ended AS e WHERE s.id = e.id AND NOT e.is_bare RETURNING e.queue, e.state),
     gone AS (SELECT * FROM deleted UNION ALL SELECT * FROM marked),
     counted AS (
       INSERT INTO ended_counts (queue, state, count)
       SELECT queue, state, -count(*) FROM gone GROUP BY queue, state
       ON CONFLICT (queue, state) DO UPDATE SET count = ended_counts.count + excluded.count)
     SELECT count(*) FROM gone`,
    [
      `{${ids.join()}}`,
      `{${grants.map(([shard]) => shard).join()}}`,
      `{${grants.map(([, epoch]) => epoch).join()}}`,
    ],
  );
  return Number(row?.[0] ?? 0n);
}

/**
 * The second half: deletes some of what belongs to forgotten submissions; returns whether there is more. Leaves the one
 * that another node is at: it would find nothing in a table that the other one has not emptied yet.
 */
export function sweep(session: SqlSession): Promise<boolean> {
  return session.transaction(async () => {
    const [row] = await session.query<readonly [bigint]>(
      `SELECT id FROM submissions WHERE state = ${STATE.forgotten} ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`,
    );
    if (row === undefined) return false;
    const [id] = row;
    for (const [table, column] of PARTS) {
      const [deleted] = await session.query<readonly [bigint]>(
        `WITH deleted AS (
           DELETE FROM ${table} WHERE submission_id = $1 AND ${column} < coalesce(
             (SELECT ${column} FROM ${table} WHERE submission_id = $1 ORDER BY ${column} OFFSET ${SWEEP_ROWS} LIMIT 1),
             9223372036854775807) RETURNING 1)
         SELECT count(*) FROM deleted`,
        [id],
      );
      if (Number(deleted?.[0] ?? 0n) >= SWEEP_ROWS) return true;
    }
    await session.query('DELETE FROM submissions WHERE id = $1', [id]);
    return true;
  });
}
