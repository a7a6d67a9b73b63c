import type { ShardId, SubmissionId } from '../../model/ids.ts';
import {
  type BatchFacts,
  type Committed,
  failedCommit,
  insertResults,
  planBatch,
  type ShardState,
} from '../batch-plan.ts';
import { StoreError } from '../errors.ts';
import type { ShardGrant } from '../lease.ts';
import type { CommitBatch, CommitResult } from '../store.ts';
import type { Connections } from './connections.ts';
import type { SqlStatement } from './counted-statement.ts';
import { isSettled, isTaken } from './errors.ts';
import { loneInsert, loneInsertStatement } from './lone-insert.ts';
import { storedSubmissions } from './lookups.ts';
import { newerProblem } from './open.ts';
import { VERSION_TABLE } from './schema.ts';
import { Segment } from './segment.ts';
import type { SqlSession } from './session.ts';

export type ShardRow = readonly [shard: number, epoch: bigint, lastSeq: bigint, highestId: bigint];

/**
 * Applies batches. Nearly all of them are one statement, and so one round trip: the plan is made as if all prefixes and
 * keys were new, and the statement does nothing where they are not. Then, or if the shard is not where it was, a
 * transaction looks first.
 */
export class BatchWriter {
  readonly #connections: Connections;
  /** As the last answers told. */
  readonly #shards = new Map<ShardId, ShardState>();

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /** Fences former owners. */
  async acquire(shards: readonly ShardId[], holder: string): Promise<ShardGrant[]> {
    const rows = await this.#connections.write(async (session) => {
      const [found] = await session.query<readonly [number]>(`SELECT version FROM ${VERSION_TABLE}`);
      const problem = newerProblem(this.#connections, found?.[0] ?? 0);
      if (problem !== null) throw new StoreError('unusable', problem);
      return session.query<ShardRow>(
        `INSERT INTO shards (shard, epoch, holder, last_seq, highest_id)
         SELECT shard, 1, $2, 0, 0 FROM unnest($1::integer[]) AS shard
         ON CONFLICT (shard) DO UPDATE SET epoch = shards.epoch + 1, holder = excluded.holder,
           address = NULL, lease_ms = NULL, expires_at = NULL
         RETURNING shard, epoch, last_seq, highest_id`,
        [`{${shards.join()}}`, holder],
      );
    });
    const grants = rows.map(grantOf);
    for (const grant of grants) this.granted(grant);
    return shards.map((shard) => {
      const grant = grants.find((each) => each.shard === shard);
      if (grant === undefined) throw new StoreError('corrupt', `no row of shard ${shard} came back`);
      return grant;
    });
  }

  /** From here on batches of that epoch are expected. */
  granted({ shard, ...state }: ShardGrant): void {
    this.#shards.set(shard, state);
  }

  /** The shards that this store has been granted, and the epochs. */
  get grants(): readonly (readonly [ShardId, number])[] {
    return [...this.#shards].map(([shard, { epoch }]) => [shard, epoch]);
  }

  async commit(batch: CommitBatch): Promise<CommitResult> {
    let isConnected = false;
    try {
      const committed = await this.#connections.write(async (session) => {
        isConnected = true;
        return (await this.#commitAtOnce(session, batch)) ?? (await this.#commitAfterLook(session, batch));
      }, batch.shard);
      this.#connections.committed();
      return { kind: 'committed', inserts: insertResults(batch.mutations, committed) };
    } catch (error) {
      const isKnown = !isConnected || error instanceof StoreError || isSettled(error);
      return failedCommit(this.#connections.storeError(error, 'a commit failed'), isKnown);
    }
  }

  /** null: nothing took place, and one has to look. */
  async #commitAtOnce(session: SqlSession, batch: CommitBatch): Promise<Committed | null> {
    const { shard, epoch, seq } = batch;
    const state = this.#shards.get(shard);
    if (state === undefined || state.epoch !== epoch || state.lastSeq !== seq - 1) return null;
    const atOnce = statementAtOnce(batch, state);
    if (atOnce === null) return null;
    const { statement, highestId } = atOnce;
    let rows: number;
    try {
      rows = await session.execute(statement);
    } catch (error) {
      if (isTaken(error)) return null;
      throw error;
    }
    if (rows === 0) return null;
    this.#shards.set(shard, { epoch, lastSeq: seq, highestId });
    return { existing: [], gone: [] };
  }

  async #commitAfterLook(session: SqlSession, batch: CommitBatch): Promise<Committed> {
    const { shard, epoch, seq } = batch;
    let { highestId } = NOTHING_THERE;
    const committed = await session.transaction(async () => {
      const facts = await readFacts(session, batch);
      const plan = segmentsOf(batch, facts);
      ({ highestId } = plan);
      let lastSeq = seq - 1;
      for (const segment of plan.segments) {
        const statement = segment.statement({ shard, epoch, lastSeq, seq, highestId }, false);
        await session.execute(statement).catch((error: unknown) => {
          throw isTaken(error) ? new StoreError('transient', RACE) : error;
        });
        lastSeq = seq;
      }
      const found = await storedSubmissions(
        session,
        plan.existing.map(([, id]) => id),
      );
      const existing = plan.existing.map(([position, id]) => {
        const submission = found.get(id);
        if (submission === undefined) throw new StoreError('transient', RACE);
        return [position, submission] as const;
      });
      return { existing, gone: plan.gone };
    });
    this.#shards.set(shard, { epoch, lastSeq: seq, highestId });
    return committed;
  }
}

const RACE = 'what an insert found was changed meanwhile, for another shard';

const NOTHING_THERE = {
  highestId: 0n,
  shard: () => null,
  idByPrefix: () => null,
  idByIdempotencyKey: () => null,
  has: () => false,
};

/** The one statement of a batch as if all its prefixes and keys were new; null if it takes more than one. */
function statementAtOnce(
  batch: CommitBatch,
  state: ShardState,
): { readonly statement: SqlStatement; readonly highestId: SubmissionId } | null {
  const { shard, epoch, seq, mutations } = batch;
  const fence = { shard, epoch, lastSeq: seq - 1, seq };
  const lone = loneInsert(mutations);
  if (lone !== null) {
    let { highestId } = state;
    if (lone.record.id > highestId) highestId = lone.record.id;
    return { statement: loneInsertStatement(lone, { ...fence, highestId }), highestId };
  }
  const { segments, existing, highestId } = segmentsOf(batch, { ...NOTHING_THERE, shard: () => state });
  const [segment] = segments;
  if (segment === undefined || segments.length > 1 || existing.length > 0) return null;
  return { statement: segment.statement({ ...fence, highestId }, true), highestId };
}

interface PlannedBatch {
  /** One at least for a batch that takes place, none for one that is sent again. */
  readonly segments: readonly Segment[];
  readonly existing: readonly (readonly [position: number, id: SubmissionId])[];
  readonly gone: number[];
  readonly highestId: SubmissionId;
}

/** @throws StoreError as {@link planBatch} */
function segmentsOf(batch: CommitBatch, facts: BatchFacts): PlannedBatch {
  const segments: Segment[] = [];
  const existing: [number, SubmissionId][] = [];
  const gone: number[] = [];
  let highestId = facts.shard(batch.shard)?.highestId ?? 0n;
  for (const step of planBatch(batch, facts)) {
    switch (step.kind) {
      case 'exists':
        existing.push([step.position, step.id]);
        break;
      case 'gone':
        gone.push(step.position);
        break;
      case 'advance':
        ({ highestId } = step);
        if (segments.length === 0) segments.push(new Segment());
        break;
      default: {
        if (segments.at(-1)?.add(step) === true) break;
        const next = new Segment();
        next.add(step);
        segments.push(next);
      }
    }
  }
  return { segments, existing, gone, highestId };
}

/**
 * What is stored, as far as the batch depends on it. Nobody else writes the shard until the transaction ends; prefixes and
 * keys may be of other shards.
 */
async function readFacts(session: SqlSession, { shard, mutations }: CommitBatch): Promise<BatchFacts> {
  const [row] = await session.query<ShardRow>(
    'SELECT shard, epoch, last_seq, highest_id FROM shards WHERE shard = $1 FOR UPDATE',
    [shard],
  );
  const state = row === undefined ? null : stateOf(row);
  const inserts = mutations.filter((mutation) => mutation.kind === 'insert');
  const byPrefix = new Map(
    await session.query<readonly [string, bigint]>(
      'SELECT prefix, min(id) FROM submissions WHERE prefix = ANY ($1::text[]) GROUP BY prefix',
      [inserts.flatMap(({ record: { prefix } }) => prefix ?? [])],
    ),
  );
  const byKey = new Map(
    await session.query<readonly [string, bigint]>(
      'SELECT idempotency_key, id FROM submissions WHERE idempotency_key = ANY ($1::text[])',
      [inserts.flatMap(({ idempotencyKey }) => idempotencyKey ?? [])],
    ),
  );
  const ids = new Set(
    (
      await session.query<readonly [bigint]>(
        'SELECT id FROM submissions WHERE id = ANY ($1::bigint[]) AND state <> 4',
        [`{${inserts.map(({ record: { id } }) => id).join()}}`],
      )
    ).map(([id]) => id),
  );
  return {
    shard: () => state,
    idByPrefix: (prefix) => byPrefix.get(prefix) ?? null,
    idByIdempotencyKey: (key) => byKey.get(key) ?? null,
    has: (id) => ids.has(id),
  };
}

export function grantOf(row: ShardRow): ShardGrant {
  return { shard: row[0], ...stateOf(row) };
}

function stateOf([, epoch, lastSeq, highestId]: ShardRow): ShardState {
  return { epoch: Number(epoch), lastSeq: Number(lastSeq), highestId };
}
