import type { DatabaseSync } from 'node:sqlite';
import type { ShardId, SubmissionId } from '../../../model/ids.ts';
import type { ShardGrant } from '../../store.ts';
import { Statement } from '../statement.ts';

type ShardRow = readonly [epoch: bigint, lastSeq: bigint, highestId: bigint];

export interface ShardState {
  readonly epoch: number;
  readonly lastSeq: number;
  readonly highestId: SubmissionId;
}

/** Who owns a shard, and how far it is. */
export class ShardsTable {
  readonly #acquire: Statement<ShardRow>;
  readonly #find: Statement<ShardRow>;
  readonly #advance: Statement<never>;

  constructor(database: DatabaseSync) {
    this.#acquire = new Statement(
      database,
      `INSERT INTO shards (shard, epoch, holder, last_seq, highest_id) VALUES (?, 1, ?, 0, 0)
       ON CONFLICT (shard) DO UPDATE SET epoch = epoch + 1, holder = excluded.holder
       RETURNING epoch, last_seq, highest_id`,
    );
    this.#find = new Statement(database, 'SELECT epoch, last_seq, highest_id FROM shards WHERE shard = ?');
    this.#advance = new Statement(database, 'UPDATE shards SET last_seq = ?, highest_id = ? WHERE shard = ?');
  }

  acquire(shard: ShardId, holder: string): ShardGrant {
    // `all`, because `get` would leave the statement unfinished and its transaction open.
    const [row] = this.#acquire.all(shard, holder);
    if (!row) throw new Error(`shard ${shard} was not acquired`);
    return { shard, ...shardState(row) };
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
