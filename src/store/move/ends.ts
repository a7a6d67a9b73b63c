import type { SubmissionId } from '../../model/ids.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { MovedRow, MovedTable } from './tables.ts';

export interface MoveContext {
  readonly logger: Logger;
  readonly clock: Clock;
}

/** How far the writing of a shard is. */
export interface MovedShard {
  readonly epoch: bigint;
  readonly lastSeq: bigint;
  readonly highestId: SubmissionId;
}

/**
 * How far every shard of the target is: stores have other numbers of them, so that a submission comes to another one. No id
 * is given out twice, and whoever wrote to the target before is fenced.
 */
export function furthest(shards: readonly MovedShard[]): MovedShard {
  const most = { epoch: 0n, lastSeq: 0n, highestId: 0n };
  for (const { epoch, lastSeq, highestId } of shards) {
    if (epoch > most.epoch) most.epoch = epoch;
    if (lastSeq > most.lastSeq) most.lastSeq = lastSeq;
    if (highestId > most.highestId) most.highestId = highestId;
  }
  return most;
}

/** How much of a table is read at once. */
export interface PageLimit {
  readonly rows: number;
  /** None follows those that have as many together, but one at least comes. */
  readonly bytes: number;
}

/** A store that no queue uses, kept from being used while it is moved. */
export interface MoveEnd {
  /** For errors and logs; no password. */
  readonly name: string;
  count(table: MovedTable): Promise<number>;
  /** Rows by their key, those after `after` (null: from the first on). */
  read(table: MovedTable, after: MovedRow | null, limit: PageLimit): Promise<readonly MovedRow[]>;
  shards(): Promise<readonly MovedShard[]>;
  /** Gives it free. A source that has been moved fences whoever used it and did not say so. */
  close(outcome: 'moved' | 'failed'): Promise<void>;
}

/** One that was empty. It is marked, so that no queue starts on it, until it is finished. */
export interface TargetEnd extends MoveEnd {
  write(table: MovedTable, rows: readonly MovedRow[]): Promise<void>;
  /** Makes it a store, at once, when all else is on disk. */
  finish(shards: readonly MovedShard[]): Promise<void>;
}

/** How an engine opens its end of a move. */
export interface MoveEnds {
  /** @throws IncorrectUsageError for a URL of which nothing can be moved */
  check(rest: string): void;
  /** @throws StoreError for one that is in use, incomplete, or of another schema than this version's */
  openSource(rest: string, context: MoveContext): Promise<MoveEnd>;
  /** @throws StoreError for one that holds something already, or is in use */
  openTarget(rest: string, context: MoveContext): Promise<TargetEnd>;
}

/** Why nobody may use a store. @param name of the store */
export function incompleteText(name: string): string {
  return `${name}: an opsqueue move into it has not come to its end: run the same opsqueue move again, which starts over`;
}
