import type { ShardId } from '../../model/ids.ts';
import { StoreError } from '../errors.ts';
import type { LeaseAnswer, LeaseClaim, LeaseHolder, StoreLeases } from '../lease.ts';
import { incompleteText } from '../move/ends.ts';
import { type BatchWriter, grantOf, type ShardRow } from './batch-writer.ts';
import type { Connections } from './connections.ts';
import { migrateWith, newerProblem } from './open.ts';
import { INCOMPLETE_TABLE, POSTGRES_SCHEMA_VERSION, RENEWED, VERSION_TABLE } from './schema.ts';
import type { SqlSession } from './session.ts';

interface Seen {
  readonly version: number;
  /** A move into the schema has not come to its end. */
  readonly isIncomplete: boolean;
  /** null: the shard has no row yet. */
  readonly epoch: bigint | null;
  /** Whose lease is on. */
  readonly by: LeaseHolder | null;
}

/** Leases are columns of the table `shards`. The times in it are the server's. */
export class PostgresLeases implements StoreLeases {
  readonly #connections: Connections;
  readonly #writer: BatchWriter;

  constructor(connections: Connections, writer: BatchWriter) {
    this.#connections = connections;
    this.#writer = writer;
  }

  take(shard: ShardId, claim: LeaseClaim): Promise<LeaseAnswer> {
    return this.#connections.lease(async (session) => {
      // Only who can have it writes: the active node's row is not to be locked by those that stand by.
      const seen = await look(session, shard);
      const told = this.#unlessFree(seen, claim);
      if (told !== null) return told;
      if (seen.version < POSTGRES_SCHEMA_VERSION)
        await this.#connections.write((own) => migrateWith(this.#connections, own, async () => {}));
      if (seen.epoch === null) await session.query(FIRST_ROW, [shard]);
      const { holder, address, leaseMs } = claim;
      const values = [shard, holder, address, leaseMs, POSTGRES_SCHEMA_VERSION, seen.epoch];
      const [row] = await session.query<ShardRow>(TAKE, values);
      if (row === undefined) {
        const after = this.#unlessFree(await look(session, shard), claim);
        if (after !== null) return after;
        throw new StoreError('transient', 'the lease was taken and is free again');
      }
      this.#connections.interrupt();
      this.#writer.granted(grantOf(row));
      await this.#connections.tellOfLease(session);
      return { kind: 'taken', grant: grantOf(row) };
    });
  }

  renew(shard: ShardId, epoch: number): Promise<boolean> {
    return this.#connections.lease(async (session) => {
      const rows = await session.query(
        `UPDATE shards SET expires_at = ${RENEWED} WHERE shard = $1 AND epoch = $2 RETURNING 1`,
        [shard, epoch],
      );
      return rows.length > 0;
    });
  }

  give(shard: ShardId, epoch: number): Promise<void> {
    return this.#connections.lease(async (session) => {
      // Without a length: a batch that is still on its way must not renew it.
      await session.query(
        'UPDATE shards SET expires_at = now(), lease_ms = NULL WHERE shard = $1 AND epoch = $2',
        [shard, epoch],
      );
      await this.#connections.tellOfLease(session);
    });
  }

  onNews(listener: () => void): () => void {
    return this.#connections.onLeaseNews(listener);
  }

  /** null: the claim's node may have it. */
  #unlessFree({ version, isIncomplete, by }: Seen, { holder }: LeaseClaim): LeaseAnswer | null {
    const { name } = this.#connections.location;
    const reason = isIncomplete ? incompleteText(name) : newerProblem(this.#connections, version);
    if (reason !== null) return { kind: 'refused', reason, by };
    return by === null || by.holder === holder ? null : { kind: 'held', by };
  }
}

/** In the words of the sessions' search path. */
const IS_INCOMPLETE = `to_regclass('${INCOMPLETE_TABLE}') IS NOT NULL`;

const LOOK = `SELECT version, ${IS_INCOMPLETE}, epoch, holder, address, extract(epoch FROM expires_at - now())::double precision * 1000
  FROM ${VERSION_TABLE} LEFT JOIN shards ON shard = $1`;

const FIRST_ROW = `INSERT INTO shards (shard, epoch, holder, last_seq, highest_id) VALUES ($1, 0, '', 0, 0)
  ON CONFLICT (shard) DO NOTHING`;

/** Not if it has been taken since the look, by this node as well: a claim whose answer was lost may come late. */
const TAKE = `UPDATE shards SET epoch = epoch + 1, holder = $2, address = $3, lease_ms = $4,
    expires_at = now() + $4 * interval '1 ms'
  WHERE shard = $1 AND (expires_at IS NULL OR expires_at <= now() OR holder = $2)
    AND (SELECT version FROM ${VERSION_TABLE}) = $5 AND NOT (${IS_INCOMPLETE}) AND epoch = coalesce($6::bigint, 0)
  RETURNING shard, epoch, last_seq, highest_id`;

async function look(session: SqlSession, shard: ShardId): Promise<Seen> {
  type Row = readonly [
    version: number,
    isIncomplete: boolean,
    epoch: bigint | null,
    holder: string | null,
    address: string | null,
    leftMs: number | null,
  ];
  const [row] = await session.query<Row>(LOOK, [shard]);
  const [version = 0, isIncomplete = false, epoch = null, holder = '', address = '', leftMs = null] =
    row ?? [];
  const isOn = leftMs !== null && leftMs > 0;
  const by = isOn ? { holder: holder ?? '', address: address ?? '', epoch: Number(epoch), leftMs } : null;
  return { version, isIncomplete, epoch, by };
}
