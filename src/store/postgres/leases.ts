import { SERVER_SCOPE } from '../../model/control.ts';
import type { ShardId } from '../../model/ids.ts';
import { scopeControlOrPause } from '../codec/values.ts';
import type { LeaseClaim, LeaseName, LeaseSight, ShardGrant, StoreLeases } from '../lease.ts';
import { incompleteText } from '../move/ends.ts';
import { type BatchWriter, grantOf, type ShardRow } from './batch-writer.ts';
import type { Connections } from './connections.ts';
import { migrateWith, newerProblem } from './open.ts';
import { Parameters } from './parameters.ts';
import { INCOMPLETE_TABLE, POSTGRES_SCHEMA_VERSION, RENEWED, VERSION_TABLE } from './schema.ts';
import type { SqlSession } from './session.ts';

/** Leases are columns of the table `shards`. The times in it are the server's. */
export class PostgresLeases implements StoreLeases {
  readonly #connections: Connections;
  readonly #writer: BatchWriter;

  constructor(connections: Connections, writer: BatchWriter) {
    this.#connections = connections;
    this.#writer = writer;
  }

  look(node: LeaseClaim | null, renew: readonly LeaseName[] = []): Promise<LeaseSight> {
    return this.#connections.lease(async (session) => {
      const { text, values } = lookStatement(node, renew);
      const [row] = await session.query<LookRow>(text, values);
      const [version = 0, isIncomplete = false, json = '{}', server = null, isNew = false] = row ?? [];
      if (isNew) {
        await session.query('DELETE FROM nodes WHERE expires_at <= now()');
        await this.#connections.tellOfLease(session);
      }
      const { name } = this.#connections.location;
      const sight = JSON.parse(json) as Pick<LeaseSight, 'leases' | 'free' | 'nodes' | 'renewed'>;
      if (sight.renewed.length > 0) this.#connections.committed();
      return {
        ...sight,
        server: server === null ? null : scopeControlOrPause(SERVER_SCOPE, server),
        reason: isIncomplete ? incompleteText(name) : newerProblem(this.#connections, version),
      };
    });
  }

  take(free: readonly LeaseName[], claim: LeaseClaim): Promise<readonly ShardGrant[]> {
    return this.#connections.lease(async (session) => {
      let rows = await takeFree(session, free, claim);
      if (rows.length === 0 && (await this.#isOlder(session))) {
        await this.#connections.write((own) => migrateWith(this.#connections, own, async () => {}));
        rows = await takeFree(session, free, claim);
      }
      if (rows.length === 0) return [];
      this.#connections.committed();
      const grants = rows.map(([, ...row]) => grantOf(row));
      // A node that had none may have been cut off, and has had no reason to find out.
      if (rows.some(([hadSome]) => hadSome)) this.#connections.interrupt(grants.map(({ shard }) => shard));
      else this.#connections.interruptAll();
      for (const grant of grants) this.#writer.granted(grant);
      await this.#connections.tellOfLease(session);
      return grants;
    });
  }

  give(leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    return this.#change(GIVE, leases);
  }

  leave(holder: string): Promise<void> {
    return this.#connections.lease(async (session) => {
      await session.query('DELETE FROM nodes WHERE holder = $1', [holder]);
      await this.#connections.tellOfLease(session);
    });
  }

  ready(leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    return this.#change(READY, leases);
  }

  /**
   * The table of nodes is not logged: nothing that is written there waits for a standby. A lock on a row is logged, refused where nothing
   * may be written, and, of this kind, many have it at the same time: no node waits for another one that waits for a standby.
   */
  proveCommit(): Promise<void> {
    return this.#connections.lease(async (session) => {
      await session.query(`SELECT FROM ${VERSION_TABLE} FOR KEY SHARE`);
      this.#connections.committed();
    });
  }

  onNews(listener: () => void): () => void {
    return this.#connections.onLeaseNews(listener);
  }

  /** Returns those that could not be changed at once. */
  #change(statement: string, leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    return this.#connections.lease(async (session) => {
      const rows = await session.query<readonly [ShardId]>(statement, namesOf(leases));
      const left = new Set(rows.map(([shard]) => shard));
      if (left.size < leases.length) await this.#connections.tellOfLease(session);
      return leases.filter(({ shard }) => left.has(shard));
    });
  }

  async #isOlder(session: SqlSession): Promise<boolean> {
    const [row] = await session.query<readonly [number]>(`SELECT version FROM ${VERSION_TABLE}`);
    return (row?.[0] ?? 0) < POSTGRES_SCHEMA_VERSION;
  }
}

/** In the words of the sessions' search path. */
const IS_INCOMPLETE = `to_regclass('${INCOMPLETE_TABLE}') IS NOT NULL`;

/** Whether this version may take shards. */
const IS_OURS = `(SELECT version FROM ${VERSION_TABLE}) = ${POSTGRES_SCHEMA_VERSION} AND NOT (${IS_INCOMPLETE})`;

const LEFT_MS = 'extract(epoch FROM expires_at - now())::double precision * 1000';

type LookRow = readonly [
  version: number,
  isIncomplete: boolean,
  json: string,
  server: string | null,
  isNew: boolean,
];

/** It waits for no batch: what one is written under is renewed by it, and must not keep the other leases from being renewed. */
function lookStatement(node: LeaseClaim | null, renew: readonly LeaseName[]) {
  const p = new Parameters();
  const parts: string[] = [];
  let renewed = `'[]'::json`;
  if (renew.length > 0) {
    const asked = p.table(
      { shard: 'integer', epoch: 'bigint' },
      renew.map(({ shard, epoch }) => [shard, epoch]),
    );
    parts.push(
      `asked AS ${asked}`,
      `at_hand AS (
  SELECT s.shard FROM shards AS s JOIN asked AS a ON a.shard = s.shard AND a.epoch = s.epoch
  FOR NO KEY UPDATE OF s SKIP LOCKED)`,
      `renewed AS (
  UPDATE shards AS s SET expires_at = ${RENEWED} FROM at_hand AS h WHERE h.shard = s.shard RETURNING s.shard)`,
    );
    renewed = `(SELECT coalesce(json_agg(shard), '[]') FROM renewed)`;
  }
  let present = 'SELECT holder, address, expires_at, avoids FROM nodes WHERE expires_at > now()';
  let isNew = 'false';
  if (node !== null) {
    const holder = p.add(node.holder, 'text');
    const avoids = p.add(`{${(node.avoids ?? []).join()}}`, 'integer[]');
    parts.push(`present AS (
  INSERT INTO nodes (holder, address, expires_at, avoids)
  SELECT ${holder}, ${p.add(node.address, 'text')}, now() + ${p.add(node.leaseMs, 'double precision')} * interval '1 ms', ${avoids}
  WHERE ${IS_OURS}
  ON CONFLICT (holder) DO UPDATE SET address = excluded.address, expires_at = excluded.expires_at, avoids = excluded.avoids
  RETURNING holder, address, expires_at, avoids)`);
    // The rest sees the table as it was before.
    present = `${present} AND holder <> ${holder} UNION ALL SELECT holder, address, expires_at, avoids FROM present`;
    isNew = `EXISTS (SELECT FROM present) AND NOT EXISTS (SELECT FROM nodes WHERE holder = ${holder} AND expires_at > now() AND avoids = ${avoids})`;
  }
  const text = `${parts.length === 0 ? '' : `WITH ${parts.join(',\n')}\n`}SELECT version, ${IS_INCOMPLETE}, json_build_object(
    'leases', (SELECT coalesce(json_agg(json_build_object(
        'shard', shard, 'epoch', epoch, 'holder', holder, 'address', address, 'leaseMs', lease_ms, 'isAwaited', is_awaited, 'leftMs', ${LEFT_MS})
        ORDER BY shard), '[]')
      FROM shards WHERE expires_at > now()),
    'free', (SELECT coalesce(json_agg(json_build_object('shard', shard, 'epoch', epoch) ORDER BY shard), '[]')
      FROM shards WHERE expires_at IS NULL OR expires_at <= now()),
    'nodes', (SELECT coalesce(json_agg(json_build_object(
        'holder', holder, 'address', address, 'leftMs', ${LEFT_MS}, 'avoids', avoids) ORDER BY holder COLLATE "C"), '[]')
      FROM (${present}) AS n),
    'renewed', ${renewed})::text,
  (SELECT control FROM controls WHERE scope = '${SERVER_SCOPE}'), ${isNew}
FROM ${VERSION_TABLE}`;
  return { text, values: p.values };
}

/** With whether the node had one already. */
type TakenRow = readonly [hadSome: boolean, ...ShardRow];

/** As a statement's first two parameters. */
const NAMED = 'unnest($1::integer[], $2::bigint[]) AS n (shard, epoch)';

/**
 * Not what has been taken since the look, by this node as well: a claim whose answer was lost may come late. One that a batch
 * is being written under is not free, or not yet.
 */
const TAKE = `WITH free AS (
    SELECT s.shard FROM shards AS s JOIN ${NAMED} ON n.shard = s.shard AND n.epoch = s.epoch
    WHERE (expires_at IS NULL OR expires_at <= now() OR holder = $3) AND ${IS_OURS}
    FOR NO KEY UPDATE OF s SKIP LOCKED)
  UPDATE shards AS s SET epoch = s.epoch + 1, holder = $3, address = $4, lease_ms = $5, is_awaited = false,
    expires_at = now() + $5 * interval '1 ms'
  FROM free WHERE s.shard = free.shard
  RETURNING EXISTS (SELECT FROM shards WHERE holder = $3 AND expires_at > now()),
    s.shard, s.epoch, s.last_seq, s.highest_id`;

function takeFree(
  session: SqlSession,
  free: readonly LeaseName[],
  { holder, address, leaseMs }: LeaseClaim,
): Promise<TakenRow[]> {
  return session.query<TakenRow>(TAKE, [...namesOf(free), holder, address, leaseMs]);
}

/** Answers with those that a batch is being written under: it waits for none. */
const changeOf = (columns: string) => `WITH at_hand AS (
    SELECT s.shard FROM shards AS s JOIN ${NAMED} ON n.shard = s.shard AND n.epoch = s.epoch
    FOR NO KEY UPDATE OF s SKIP LOCKED),
  changed AS (
    UPDATE shards AS s SET ${columns} FROM at_hand AS h WHERE h.shard = s.shard RETURNING s.shard)
  SELECT s.shard FROM shards AS s JOIN ${NAMED} ON n.shard = s.shard AND n.epoch = s.epoch
  WHERE s.shard NOT IN (SELECT shard FROM changed)`;

/** Without a length: a batch that is still on its way must not renew it. */
const GIVE = changeOf('expires_at = now(), lease_ms = NULL');

const READY = changeOf('is_awaited = true');

function namesOf(leases: readonly LeaseName[]): [string, string] {
  return [`{${leases.map(({ shard }) => shard).join()}}`, `{${leases.map(({ epoch }) => epoch).join()}}`];
}
