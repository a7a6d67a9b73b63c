import type { DatabaseSync } from 'node:sqlite';
import type { ShardId, SubmissionId } from '../../../model/ids.ts';
import type { ShardState } from '../../batch-plan.ts';
import { Statement } from './statement.ts';

type ShardRow = readonly [epoch: bigint, lastSeq: bigint, highestId: bigint];

/** An owner that is to be written down. */
export interface Claim {
  readonly epoch: number;
  readonly holder: string;
}

const SCHEMA_COOKIE = '(SELECT schema_version FROM pragma_schema_version)';

/** Who owns a shard, and how far it is. */
export class ShardsTable {
  readonly #claim: Statement<never>;
  readonly #find: Statement<ShardRow>;
  readonly #advance: Statement<never>;

  constructor(database: DatabaseSync) {
    this.#claim = new Statement(
      database,
      `INSERT INTO shards (shard, epoch, holder, last_seq, highest_id, schema_cookie)
       VALUES (?, ?, ?, 0, 0, ${SCHEMA_COOKIE})
       ON CONFLICT (shard) DO UPDATE
       SET epoch = excluded.epoch, holder = excluded.holder, schema_cookie = excluded.schema_cookie`,
    );
    this.#find = new Statement(database, 'SELECT epoch, last_seq, highest_id FROM shards WHERE shard = ?');
    this.#advance = new Statement(
      database,
      `UPDATE shards SET last_seq = ?, highest_id = ?, schema_cookie = ${SCHEMA_COOKIE} WHERE shard = ?`,
    );
  }

  /** Whoever comes with an earlier epoch is fenced from now on. */
  claim(shard: ShardId, { epoch, holder }: Claim): void {
    this.#claim.run(shard, epoch, holder);
  }

  find(shard: ShardId): ShardState | null {
    const row = this.#find.get(shard);
    return row ? shardState(row) : null;
  }

  advance(shard: ShardId, lastSeq: number, highestId: SubmissionId): void {
    this.#advance.run(lastSeq, highestId, shard);
  }
}

function shardState([epoch, lastSeq, highestId]: ShardRow): ShardState {
  return { epoch: Number(epoch), lastSeq: Number(lastSeq), highestId };
}
