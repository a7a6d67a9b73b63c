import type { ShardId, SubmissionId } from '../../model/ids.ts';
import { STATE } from '../codec/submission-row.ts';
import type { LoadedSubmission } from '../store.ts';
import { ID_END, loadBetween, type Read } from './load.ts';

/** Open submissions that are read, or read again, together. */
const BLOCK_SUBMISSIONS = 2_000;

/**
 * What is loaded, read while another node still acts. Once nobody else writes, each block is compared with what is stored,
 * by the versions that PostgreSQL gives its rows (`xmin`), and read again if anything of it has changed. So it costs a
 * little memory and work if it was for nothing, and is right whatever has happened meanwhile.
 */
export class Preparation {
  readonly #read: Read;
  readonly #shard: ShardId;
  /** The first ids of all blocks but the first, which has what is before. */
  readonly #starts: readonly SubmissionId[];
  readonly #versions: Versions;
  readonly #blocks: readonly (readonly LoadedSubmission[])[];

  static async make(read: Read, shard: ShardId): Promise<Preparation> {
    const starts = await blockStarts(read, shard);
    // First: what changes while it is read is taken to have changed.
    const versions = await versionsOf(read, shard, starts);
    const blocks: LoadedSubmission[][] = [];
    for (let block = 0; block <= starts.length; block++) {
      const piece = await Array.fromAsync(loadBetween(read, shard, ...boundsOf(starts, block)));
      blocks.push(piece.flat());
    }
    return new Preparation(read, shard, starts, versions, blocks);
  }

  private constructor(
    read: Read,
    shard: ShardId,
    starts: readonly SubmissionId[],
    versions: Versions,
    blocks: readonly (readonly LoadedSubmission[])[],
  ) {
    this.#read = read;
    this.#shard = shard;
    this.#starts = starts;
    this.#versions = versions;
    this.#blocks = blocks;
  }

  /** As it is stored now, if nobody else writes; only once, for what it gives out is changed by whoever gets it. */
  async *load(): AsyncGenerator<readonly LoadedSubmission[]> {
    const now = await versionsOf(this.#read, this.#shard, this.#starts);
    const isSameServer = now.server === this.#versions.server;
    for (const [block, piece] of this.#blocks.entries()) {
      if (!isSameServer || now.byBlock.get(block) !== this.#versions.byBlock.get(block))
        yield* loadBetween(this.#read, this.#shard, ...boundsOf(this.#starts, block));
      else if (piece.length > 0) yield piece;
    }
  }
}

/** Ids of a block: from the first on, before the second. */
function boundsOf(starts: readonly SubmissionId[], block: number): [SubmissionId, SubmissionId] {
  return [starts[block - 1] ?? 0n, starts[block] ?? ID_END];
}

async function blockStarts(read: Read, shard: ShardId): Promise<SubmissionId[]> {
  const rows = await read((session) =>
    session.query<readonly [bigint]>(
      `SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM submissions
         WHERE state = ${STATE.open} AND shard = $1) AS numbered
       WHERE number % $2 = 0 ORDER BY id`,
      [shard, BLOCK_SUBMISSIONS],
    ),
  );
  return rows.map(([id]) => id);
}

interface Versions {
  /** Numbers of transactions are a server's, as long as it runs. */
  readonly server: string;
  /** Another text when any row of the block is another one. Blocks without rows are left out. */
  readonly byBlock: ReadonlyMap<number, string>;
}

const IS_OPEN = `state = ${STATE.open} AND shard = $2`;
const VERSION = 'xmin::text::bigint';
const VERSIONS = [
  versionsIn('submissions', 'id', `hashint8extended(id, ${VERSION})`, IS_OPEN),
  ...['pages/page', 'tries/chunk_index', 'failed_chunks/chunk_index'].map((each) => {
    const [table = '', key = ''] = each.split('/');
    const hash = `hashint8extended(submission_id, hashint8extended(${key}, ${VERSION}))`;
    const isOpen = `EXISTS (SELECT FROM submissions WHERE id = submission_id AND ${IS_OPEN})`;
    return versionsIn(table, 'submission_id', hash, isOpen);
  }),
].join(' UNION ALL ');

function versionsIn(table: string, id: string, hash: string, condition: string): string {
  return `SELECT width_bucket(${id}, $1::bigint[]), '${table} ' || count(*) || ' ' || bit_xor(${hash})
    FROM ${table} WHERE ${condition} GROUP BY 1`;
}

async function versionsOf(read: Read, shard: ShardId, starts: readonly SubmissionId[]): Promise<Versions> {
  return read(async (session) => {
    const [row] = await session.query<readonly [string]>('SELECT pg_postmaster_start_time()::text');
    const rows = await session.query<readonly [block: number, versions: string]>(VERSIONS, [
      `{${starts.join()}}`,
      shard,
    ]);
    const byBlock = new Map<number, string>();
    // Of each table one row; they come in any order.
    for (const [block, versions] of rows.toSorted(([, a], [, b]) => (a < b ? -1 : 1)))
      byBlock.set(block, `${byBlock.get(block) ?? ''} ${versions}`);
    return { server: row?.[0] ?? '', byBlock };
  });
}
