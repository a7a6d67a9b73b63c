import type { SubmissionId } from '../../../src/model/ids.ts';
import type { MemoryDatabase } from '../../../src/store/memory/memory-store.ts';
import type { CommitBatch } from '../../../src/store/store.ts';
import type { Told } from '../work.ts';
import { Known } from './known.ts';
import { Life, type LifeOptions } from './life.ts';
import { must } from './violation.ts';

/**
 * Watches the server processes from outside - what arrives at them, what leaves them, what is on disk - and knows what
 * must hold. It shares no code with what it judges. What is said to one process, and what it says, goes to its {@link Life}.
 */
export class Oracle {
  readonly #known: Known;
  #life: Life | null = null;
  #epoch = 0;
  /** Of the batches that took place. */
  #lastSeq = 0;

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

  /** How often the store has had a new owner. */
  get takeovers(): number {
    return this.#epoch;
  }

  /** A process has taken over the store: from now on it is the only owner. */
  takenOver(options: Omit<LifeOptions, 'known'>): Life {
    const { epoch } = options;
    must(epoch > this.#epoch, `owner ${epoch} takes over from owner ${this.#epoch}`);
    this.#epoch = epoch;
    const life = new Life({ ...options, known: this.#known });
    this.#life = life;
    this.note(`owner ${epoch} takes over`);
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

  /** Acknowledged submissions of which something has failed, on disk. */
  failedOnDisk(): SubmissionId[] {
    return [...this.acknowledgedInserts.keys()].filter((id) => {
      const row = this.#known.database.rows.get(id);
      return row !== undefined && (row.failed.size > 0 || row.end?.state === 'failed');
    });
  }

  /** A batch took place, or had before if it is sent once more. */
  committed({ epoch, seq, mutations }: CommitBatch): void {
    must(epoch === this.#epoch, `a batch of owner ${epoch} takes place; it is ${this.#epoch} now`);
    if (seq <= this.#lastSeq) return;
    must(seq === this.#lastSeq + 1, `batch ${seq} follows batch ${this.#lastSeq}`);
    this.#lastSeq = seq;
    this.#life?.committed(mutations);
  }

  /** Wraps each clean-up that takes place. */
  cleaningUp(run: () => Promise<number>): Promise<number> {
    return this.#known.history.cleaningUp(run);
  }

  checkDisk(): void {
    this.#known.history.check();
  }
}
