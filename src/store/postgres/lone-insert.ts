import { NO_CONTROL } from '../../model/control.ts';
import type { InsertMutation } from '../batch-plan.ts';
import { STATE, submissionColumns } from '../codec/submission-row.ts';
import type { Mutation } from '../store.ts';
import type { SqlStatement } from './counted-statement.ts';
import { Parameters } from './parameters.ts';
import { END_COLUMNS, type Fence, fencePart, INSERT_COLUMNS } from './segment.ts';

/** The only mutation of a batch that inserts a submission which is open and brings no bodies; null for any other batch. */
export function loneInsert(mutations: readonly Mutation[]): InsertMutation | null {
  const [mutation] = mutations;
  if (mutations.length !== 1 || mutation?.kind !== 'insert') return null;
  return mutation.end === undefined && mutation.directInputs === undefined ? mutation : null;
}

/**
 * What a producer waits for while the queue has little else to do. The statement is the same one every time, with a parameter for
 * each value: a segment of it, with an array for each column, takes longer to make than the database takes to insert the
 * row. It answers one row if it took place, else none, and fails if the id is there already.
 */
export function loneInsertStatement(insert: InsertMutation, fence: Fence): SqlStatement {
  const { record, control = NO_CONTROL, idempotencyKey = null } = insert;
  const { seq, highestId, shard, epoch, lastSeq } = fence;
  const columns = submissionColumns(record, control, null).slice(0, COLUMNS.length - 1);
  return { text: TEXT, values: [...columns, idempotencyKey, seq, highestId, shard, epoch, lastSeq, shard] };
}

/** The last one is the key. */
const COLUMNS = Object.entries(INSERT_COLUMNS).filter(([name]) => !(name in END_COLUMNS));
const TEXT = textOfInsert();

/** The values come in the order in which they are added here. */
function textOfInsert(): string {
  const p = new Parameters();
  const values = new Map(COLUMNS.map(([name, type]) => [name, p.add(null, type)]));
  const isNew = ['prefix', 'idempotency_key'].map(
    (name) => `NOT EXISTS (SELECT FROM submissions WHERE ${name} = ${values.get(name)})`,
  );
  const fence = fencePart(p, { seq: 0, highestId: 0n, shard: 0, epoch: 0, lastSeq: 0 }, isNew);
  return `WITH ${fence}
INSERT INTO submissions (${[...values.keys()].join(', ')}, state, shard)
SELECT ${[...values.values()].join(', ')}, ${STATE.open}, ${p.add(0, 'integer')} FROM fence RETURNING 1`;
}
