import { createHash } from 'node:crypto';
import { IncorrectUsageError } from '../../model/errors.ts';
import { type Logger, silentLogger } from '../../system/log/logger.ts';
import { type Clock, systemClock } from '../../system/time/clock.ts';
import { StoreError } from '../errors.ts';
import { parseStoreUrl } from '../open.ts';
import type { MoveEnd, MoveEnds, PageLimit, TargetEnd } from './ends.ts';
import { MOVED_TABLES, type MovedRow, type MovedTable } from './tables.ts';

/** A page: what is in memory at a time. */
const PAGE: PageLimit = { rows: 1_000, bytes: 4 * 1024 * 1024 };

export interface MoveOptions {
  /** URL of the store that is moved; it is left as it is. */
  readonly from: string;
  /** URL of the one that is made: a file or schema that does not exist or holds nothing. */
  readonly to: string;
  /** Called after each page. */
  readonly onProgress?: ((progress: MoveProgress) => void) | undefined;
  /** Ends it between two pages: it rejects with the signal's reason, and the target stays incomplete. */
  readonly signal?: AbortSignal | undefined;
  /** @defaultValue none: nothing is logged */
  readonly logger?: Logger | undefined;
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock | undefined;
}

/** How far a move is. */
export interface MoveProgress {
  readonly rowsDone: number;
  readonly rowsTotal: number;
}

/** What was moved. */
export interface MoveReport {
  /** Names of the stores, without passwords. */
  readonly from: string;
  readonly to: string;
  /** Rows, by table. */
  readonly rows: Readonly<Record<string, number>>;
  /** Submissions in progress among them. */
  readonly submissionsOpen: number;
}

/**
 * Copies all that a store holds into another one, of whatever kind, a page at a time. Each page is read back and compared
 * with what was read from the source, and so are the counts at the end. No queue may use either of them meanwhile, nor can one start
 * on the target until all of it is there; one that was interrupted is started over by the same call.
 *
 * @throws IncorrectUsageError for a URL that makes no sense; StoreError for stores that cannot be moved, or differ afterwards
 */
export async function moveStore(options: MoveOptions): Promise<MoveReport> {
  const { onProgress = () => {}, signal, logger = silentLogger, clock = systemClock } = options;
  const from = schemeOf(options.from, 'from');
  const to = schemeOf(options.to, 'to');
  const context = { logger, clock };
  const [sources, targets] = [await from.moveEnds(), await to.moveEnds()];
  // Before anything is done with the source.
  targets.check(to.rest);
  const source = await sources.openSource(from.rest, context);
  let outcome: 'moved' | 'failed' = 'failed';
  try {
    const target = await targets.openTarget(to.rest, context);
    try {
      const report = await copy(source, target, { onProgress, signal });
      outcome = 'moved';
      return report;
    } finally {
      await target.close(outcome);
    }
  } finally {
    await source.close(outcome);
  }
}

function schemeOf(url: string, name: string): { moveEnds(): Promise<MoveEnds>; readonly rest: string } {
  const { scheme, rest } = parseStoreUrl(url, name);
  const { moveEnds } = scheme;
  if (moveEnds === undefined)
    throw new IncorrectUsageError(`${name}: a store of ${scheme.form} cannot be moved: it keeps nothing`);
  return { moveEnds, rest };
}

interface Copying {
  readonly onProgress: (progress: MoveProgress) => void;
  readonly signal: AbortSignal | undefined;
}

async function copy(
  source: MoveEnd,
  target: TargetEnd,
  { onProgress, signal }: Copying,
): Promise<MoveReport> {
  let rowsTotal = 0;
  for (const table of MOVED_TABLES) rowsTotal += await source.count(table);
  let rowsDone = 0;
  let submissionsOpen = 0;
  const moved: Record<string, number> = {};
  onProgress({ rowsDone, rowsTotal });
  for (const table of MOVED_TABLES) {
    const before = rowsDone;
    for (let after: MovedRow | null = null; ; ) {
      signal?.throwIfAborted();
      const rows: readonly MovedRow[] = await source.read(table, after, PAGE);
      if (rows.length === 0) break;
      await target.write(table, rows);
      await compare(target, table, after, rows);
      after = rows.at(-1)!;
      rowsDone += rows.length;
      if (table.name === 'submissions') submissionsOpen += rows.filter(isOpen).length;
      onProgress({ rowsDone, rowsTotal });
    }
    moved[table.name] = rowsDone - before;
    await compareCounts(source, target, table, rowsDone - before);
  }
  await target.finish(await source.shards());
  return { from: source.name, to: target.name, rows: moved, submissionsOpen };
}

const STATE_COLUMN = Object.keys(MOVED_TABLES[0]!.columns).indexOf('state');

function isOpen(row: MovedRow): boolean {
  return row[STATE_COLUMN] === 0n;
}

/** Reads a page back. */
async function compare(
  target: MoveEnd,
  table: MovedTable,
  after: MovedRow | null,
  rows: readonly MovedRow[],
): Promise<void> {
  const found = await target.read(table, after, { rows: rows.length, bytes: Infinity });
  if (digestOf(found) === digestOf(rows)) return;
  const at = rows.findIndex((row, index) => digestOf([row]) !== digestOf(found.slice(index, index + 1)));
  const key = rows[at]?.slice(0, table.keyColumns).join(', ');
  throw new StoreError(
    'corrupt',
    `${target.name}: what was read back differs from what was written: ${table.name} (${key})`,
  );
}

async function compareCounts(
  source: MoveEnd,
  target: MoveEnd,
  table: MovedTable,
  count: number,
): Promise<void> {
  for (const end of [source, target]) {
    const found = await end.count(table);
    if (found === count) continue;
    throw new StoreError('corrupt', `${end.name}: ${table.name} has ${found} rows, ${count} were moved`);
  }
}

/** The same for the same rows, whichever engine gave them out. */
function digestOf(rows: readonly MovedRow[]): string {
  const digest = createHash('sha256');
  let text = '';
  for (const row of rows) {
    for (const cell of row) {
      if (cell === null) text += '-';
      else if (typeof cell === 'string') text += `t${cell.length}:${cell}`;
      else if (typeof cell !== 'object') text += `${typeof cell === 'bigint' ? 'i' : 'r'}${cell};`;
      else {
        digest.update(`${text}b${cell.length}:`).update(cell);
        text = '';
      }
    }
    text += '\n';
  }
  return digest.update(text).digest('hex');
}
