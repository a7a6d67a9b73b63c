import type { ShardId, SubmissionId } from '../../model/ids.ts';
import { STATE } from '../codec/submission-row.ts';
import type { LoadedBlock, Preparation } from '../store.ts';
import { ID_END, loadBetween, noRows, type Read, type RowCounts } from './load.ts';

/** Open submissions that are read, or read again, together. */
const BLOCK_SUBMISSIONS = 2_000;

/** What a block has rows in beside `submissions`. */
const TABLES = ['pages', 'tries', 'failed_chunks'] as const;
type Table = (typeof TABLES)[number];

/**
 * Once nobody else writes, each block is looked at once more: one that has a row of a transaction that was not over when reading
 * began (`xmin`), or another number of rows than was read of it, is read again. What has no such row is left as it was before
 * reading began, and has been read: so if there are as many, nothing has come and gone meanwhile either.
 */
export class PostgresPreparation implements Preparation {
  readonly #read: Read;
  readonly #shard: ShardId;
  #before: Before | null = null;
  /** Of each block, what was read of it. */
  readonly #counts: RowCounts[] = [];

  constructor(read: Read, shard: ShardId) {
    this.#read = read;
    this.#shard = shard;
  }

  async *read(): AsyncGenerator<LoadedBlock> {
    this.#before = await lookBefore(this.#read, this.#shard);
    const { blocks } = this.#before;
    for (let block = 0; block < blocks.length; block++) yield await this.#block(blocks, block);
  }

  async *changed(): AsyncGenerator<LoadedBlock> {
    const { blocks, snapshot, look } = this.#before!;
    const isSame = (await snapshotOf(this.#read)).server === snapshot.server;
    const now = await look();
    for (let block = 0; block < blocks.length; block++) {
      const { counts, isNew } = now[block]!;
      if (!isSame || isNew || !isEqual(counts, this.#counts[block]!)) yield await this.#block(blocks, block);
    }
  }

  async #block(blocks: readonly Bounds[], block: number): Promise<LoadedBlock> {
    const counts = noRows();
    const pieces = await Array.fromAsync(loadBetween(this.#read, this.#shard, ...blocks[block]!, counts));
    this.#counts[block] = counts;
    return { block, submissions: pieces.flat() };
  }
}

function isEqual(a: RowCounts, b: RowCounts): boolean {
  return a.submissions === b.submissions && TABLES.every((table) => a[table] === b[table]);
}

/** Ids: from the first on, before the second. All blocks together have all. */
type Bounds = readonly [first: SubmissionId, end: SubmissionId];

/** Which transactions are over. Their numbers are a server's, as long as it runs. */
interface Snapshot {
  readonly server: string;
  /** The first that may not be. */
  readonly xmin: string;
}

/** As a block is stored. */
interface Rows {
  readonly counts: RowCounts;
  /** It has a row of a later transaction. */
  isNew: boolean;
}

interface Before {
  readonly snapshot: Snapshot;
  readonly blocks: readonly Bounds[];
  /** At each block. */
  look(): Promise<readonly Rows[]>;
}

async function lookBefore(read: Read, shard: ShardId): Promise<Before> {
  const snapshot = await snapshotOf(read);
  const { starts, submissions } = await startsOf(read, shard);
  const blocks = Array.from(
    { length: starts.length + 1 },
    (_, i): Bounds => [starts[i - 1] ?? 0n, starts[i] ?? ID_END],
  );
  const scanned = await smallTables(read, submissions);
  const statement = rowsStatement(scanned);
  const values = [
    `{${blocks.map(([first]) => first).join()}}`,
    `{${blocks.map(([, end]) => end - 1n).join()}}`,
    shard,
    snapshot.xmin,
  ];
  const look = () =>
    read(async (session) => {
      type Row = readonly [block: bigint, table: keyof RowCounts, count: bigint, isNew: boolean];
      const found = blocks.map((): Rows => ({ counts: noRows(), isNew: false }));
      for (const [number, table, count, isNew] of await session.query<Row>(statement, values)) {
        const rows = found[Number(number) - 1]!;
        rows.counts[table] = Number(count);
        rows.isNew ||= isNew;
      }
      return found;
    });
  return { snapshot, blocks, look };
}

function snapshotOf(read: Read): Promise<Snapshot> {
  return read(async (session) => {
    const [row] = await session.query<readonly [server: string, xmin: string]>(
      'SELECT pg_postmaster_start_time()::text, pg_snapshot_xmin(pg_current_snapshot())::xid::text',
    );
    const [server = '', xmin = ''] = row ?? [];
    return { server, xmin };
  });
}

/** The first ids of all blocks but the first, which has what is before. */
async function startsOf(read: Read, shard: ShardId) {
  const rows = await read((session) =>
    session.query<readonly [id: bigint, number: bigint]>(
      `SELECT id, number FROM (SELECT id, row_number() OVER (ORDER BY id) AS number, count(*) OVER () AS count
         FROM submissions WHERE state = ${STATE.open} AND shard = $1) AS numbered
       WHERE number % $2 = 0 OR number = count ORDER BY id`,
      [shard, BLOCK_SUBMISSIONS],
    ),
  );
  const starts = rows.flatMap(([id, number]) => (Number(number) % BLOCK_SUBMISSIONS === 0 ? id : []));
  return { starts, submissions: Number(rows.at(-1)?.[1] ?? 0n) };
}

/** Tables that have fewer rows, of all shards together, than there are submissions to look for. */
function smallTables(read: Read, submissions: number): Promise<ReadonlySet<Table>> {
  return read(async (session) => {
    const small = new Set<Table>();
    for (const table of TABLES) {
      const [row] = await session.query<readonly [bigint]>(
        `SELECT count(*) FROM (SELECT FROM ${table} LIMIT $1) AS first`,
        [submissions],
      );
      if (Number(row?.[0]) < submissions) small.add(table);
    }
    return small;
  });
}

/** As a statement's first two parameters, the ends included. */
const BLOCKS = 'unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS b (first, last, number)';
const IS_OPEN = `s.state = ${STATE.open} AND s.shard = $3`;

/** @param scanned tables that are gone through; in the others, the rows of each submission are looked for */
function rowsStatement(scanned: ReadonlySet<Table>): string {
  const parts = TABLES.map((table) =>
    scanned.has(table)
      ? // No join: it would be turned round.
        rowsOf(
          't',
          table,
          `${table} AS t`,
          't.submission_id',
          `(SELECT ${IS_OPEN} FROM submissions AS s WHERE s.id = t.submission_id)`,
        )
      : rowsOf('t', table, `submissions AS s JOIN ${table} AS t ON t.submission_id = s.id`, 's.id', IS_OPEN),
  );
  return [rowsOf('s', 'submissions', 'submissions AS s', 's.id', IS_OPEN), ...parts].join('\nUNION ALL ');
}

function rowsOf(alias: string, name: string, from: string, id: string, condition: string): string {
  return `SELECT b.number, '${name}', r.count, r.is_new FROM ${BLOCKS} CROSS JOIN LATERAL (
    SELECT count(*) AS count, coalesce(bool_or(age(${alias}.xmin) <= age($4::text::xid)), false) AS is_new
    FROM ${from} WHERE ${id} BETWEEN b.first AND b.last AND ${condition}) AS r`;
}
