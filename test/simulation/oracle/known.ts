import type { ShardId, SubmissionId } from '../../../src/model/ids.ts';
import type { MemoryDatabase } from '../../../src/store/memory/memory-store.ts';
import { History } from './history.ts';
import { Pauses } from './pauses.ts';
import { Trace } from './trace.ts';

/** What is known of all processes together. */
export class Known {
  readonly database: MemoryDatabase;
  /** Time as it passes for the store. */
  readonly elapsedMs: () => number;
  readonly trace = new Trace();
  readonly history: History;
  readonly pauses = new Pauses();
  /** The queue of each connection, and of each submission by its name. */
  readonly queueOf = new Map<number | string, string>();
  handOuts = 0;
  /** How many chunks of a value of `licence` may be in flight, in a run where everybody keeps to that. */
  licencesMax: number | null = null;
  /** The server may have ended them, and taken back their chunks, although that is not on disk yet. */
  readonly mayHaveEnded = new Set<SubmissionId>();
  /** The last owner of each shard that has said anything. */
  readonly spoken = new Map<ShardId, number>();
  /** The highest id of each shard that was on disk when a process took it over. */
  readonly highestIds = new Map<ShardId, SubmissionId>();

  constructor(database: MemoryDatabase, elapsedMs: () => number) {
    this.database = database;
    this.elapsedMs = elapsedMs;
    this.history = new History(database.rows);
  }
}
