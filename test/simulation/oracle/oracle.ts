import type { ShardId, SubmissionId } from '../../../src/model/ids.ts';
import type { MemoryDatabase } from '../../../src/store/memory/memory-store.ts';
import type { CommitBatch } from '../../../src/store/store.ts';
import type { Told } from '../work.ts';
import { Known } from './known.ts';
import { Life, type LifeOptions } from './life.ts';
import { must, Violation } from './violation.ts';

interface OwnedShard {
  readonly life: Life;
  readonly epoch: number;
  /** Of the batches that took place. */
  lastSeq: number;
}

/**
 * Watches the server processes from outside - what arrives at them, what leaves them, what is on disk - and knows what
 * must hold. It shares no code with what it judges. What is said to one process, and what it says, goes to its {@link Life}.
 */
export class Oracle {
  readonly #known: Known;
  readonly #shards = new Map<ShardId, OwnedShard>();
  #takeovers = 0;

  constructor(database: MemoryDatabase, elapsedMs: () => number) {
    this.#known = new Known(database, elapsedMs);
  }

  /** What happened last, for the report of a failure. */
  get trace(): readonly string[] {
    return this.#known.trace.lines;
  }

  note(what: string | (() => string)): void {
    this.#known.trace.note(what);
  }

  /** How many chunks of a value of `licence` may be in flight, in a run where everybody keeps to that. */
  set licencesMax(max: number) {
    this.#known.licencesMax = max;
  }

  get handOuts(): number {
    return this.#known.handOuts;
  }

  get acknowledgedInserts(): ReadonlyMap<SubmissionId, Told> {
    return this.#known.history.inserts;
  }

  get insertsTotal(): number {
    return this.#known.history.insertsTotal;
  }

  get forgotten(): ReadonlySet<SubmissionId> {
    return this.#known.history.forgotten;
  }

  /** How often a shard has had a new owner. */
  get takeovers(): number {
    return this.#takeovers;
  }

  /** A process has taken over a shard: from now on it is its only owner. */
  takenOver(options: Omit<LifeOptions, 'known'>): Life {
    const { shard, epoch } = options;
    const before = this.#shards.get(shard);
    must(
      epoch > (before?.epoch ?? 0),
      `owner ${epoch} takes over shard ${shard} from owner ${before?.epoch}`,
    );
    const life = new Life({ ...options, known: this.#known });
    this.#shards.set(shard, { life, epoch, lastSeq: before?.lastSeq ?? 0 });
    this.#takeovers++;
    this.note(`owner ${epoch} takes over${shard === 0 ? '' : ` shard ${shard}`}`);
    this.checkDisk();
    return life;
  }

  /** A producer is about to insert it. */
  inserts({ name, queue }: Told): void {
    this.#known.queueOf.set(name, queue);
  }

  /** The server may end it from now on. */
  mayEnd(id: SubmissionId): void {
    this.#known.mayHaveEnded.add(id);
  }

  /** Somebody asks for a resume: from now on a pause of that cause need not hold. */
  resumeAsked(what: string, cause: string): void {
    this.note(`resume ${what} ${cause}`);
    this.#known.pauses.resumeAsked(what, cause);
  }

  resumesAskedOf(what: string, cause: string): number {
    return this.#known.pauses.resumesAskedOf(what, cause);
  }

  /** Of what is on disk. */
  hasDeadline(id: SubmissionId): boolean {
    return (this.#known.database.rows.get(id)?.control.deadlineMs ?? null) !== null;
  }

  /** Acknowledged submissions of which something has failed, on disk. */
  failedOnDisk(): SubmissionId[] {
    return [...this.acknowledgedInserts.keys()].filter((id) => {
      const row = this.#known.database.rows.get(id);
      return row !== undefined && (row.failed.size > 0 || row.end?.state === 'failed');
    });
  }

  /** A batch took place, or had before if it is sent once more. */
  committed({ shard, epoch, seq, mutations }: CommitBatch): void {
    const owned = this.#shards.get(shard);
    if (owned === undefined || epoch !== owned.epoch)
      throw new Violation(`a batch of owner ${epoch} takes place; it is ${owned?.epoch} now`);
    if (seq <= owned.lastSeq) return;
    must(seq === owned.lastSeq + 1, `batch ${seq} follows batch ${owned.lastSeq}`);
    owned.lastSeq = seq;
    owned.life.committed(mutations);
  }

  /** Wraps each clean-up that takes place. */
  cleaningUp(run: () => Promise<number>): Promise<number> {
    return this.#known.history.cleaningUp(run);
  }

  checkDisk(): void {
    this.#known.history.check();
  }
}
