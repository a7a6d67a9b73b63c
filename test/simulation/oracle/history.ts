import type { ChunkSet, PageContent } from '../../../src/model/chunk-set.ts';
import type { ChunkId, SubmissionId } from '../../../src/model/ids.ts';
import { isOutputOf, key, sameBytes, type Told } from '../work.ts';
import { allChunks, doneOf, isDoneOnDisk, nameOf, type Row, type Rows } from './rows.ts';
import { must } from './violation.ts';

/** An end that a retry takes back. */
function isFailure(state: string | undefined): boolean {
  return state === 'failed' || state === 'completed_with_failures';
}

/** The progress of a submission at the last look. */
interface Seen {
  readonly isCompleted: boolean;
  readonly pages: ReadonlyMap<number, PageContent>;
  readonly outputs: number;
}

/** What producers and consumers were ever told, and told the queue, against what is on disk: nothing lost, nothing made up. */
export class History {
  readonly #rows: Rows;
  /** Chunks whose completion arrived at any process. */
  readonly #completions = new Map<SubmissionId, Set<number>>();
  /** Chunks whose completion was on disk once. */
  readonly #done = new Map<SubmissionId, ChunkSet>();
  /** Of chunks that were done on disk. */
  readonly #outputs = new Map<string, Uint8Array>();
  readonly #seen = new Map<SubmissionId, Seen>();
  /** Inserts that were acknowledged, of what is not forgotten. */
  readonly inserts = new Map<SubmissionId, Told>();
  insertsTotal = 0;
  /** Ended, and then cleaned up. */
  readonly forgotten = new Set<SubmissionId>();
  readonly #ends = new Map<SubmissionId, string>();
  /** A retry of them was asked for, of any process. */
  readonly #everRetried = new Set<SubmissionId>();

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  completed({ submissionId, chunkIndex }: ChunkId): void {
    const chunks = this.#completions.get(submissionId);
    if (chunks === undefined) this.#completions.set(submissionId, new Set([chunkIndex]));
    else chunks.add(chunkIndex);
  }

  insertAcknowledged(id: SubmissionId, told: Told): void {
    const row = this.#rows.get(id);
    must(row !== undefined, `the insert of ${id} is acknowledged, but not on disk`);
    must(row?.record.queue === told.queue, `${told.name} is in the queue "${row?.record.queue}"`);
    const name = row === undefined ? null : nameOf(row);
    must(name === told.name, `the insert of ${told.name} is answered with the id ${id} of ${name}`);
    if (!this.inserts.has(id)) this.insertsTotal++;
    this.inserts.set(id, told);
  }

  cancelAcknowledged(id: SubmissionId): void {
    must(
      this.#rows.get(id)?.end?.state === 'cancelled',
      `the cancellation of ${id} is acknowledged, but not on disk`,
    );
    this.#ends.set(id, 'cancelled');
  }

  /** How it ended, if it had failed, is not its end any more. */
  retryAsked(id: SubmissionId): void {
    this.#everRetried.add(id);
    if (isFailure(this.#ends.get(id))) this.#ends.delete(id);
  }

  statusSeen(id: SubmissionId, state: string): void {
    // It may have been opened again since.
    if (this.#everRetried.has(id) && (isFailure(state) || state === 'in_progress')) return;
    const seen = this.#ends.get(id);
    must(seen === undefined || seen === state, `${id} was ${seen} and is ${state} now`);
    if (state === 'in_progress') return;
    must(this.#rows.get(id)?.end?.state === state, `${id} is told as ${state}, but that is not on disk`);
    this.#ends.set(id, state);
  }

  /** A producer is told that these chunks are done. */
  progressSeen(id: SubmissionId, chunks: Iterable<number>): void {
    for (const chunkIndex of chunks) {
      must(
        isDoneOnDisk(this.#rows, { submissionId: id, chunkIndex }),
        `${id}/${chunkIndex} is told as done, but that is not on disk`,
      );
    }
  }

  /** What has ended may be forgotten, nothing else. */
  async cleaningUp(run: () => Promise<number>): Promise<number> {
    const before = new Map(this.#rows);
    const count = await run();
    for (const [id, row] of before) {
      if (this.#rows.has(id)) continue;
      must(row.end !== null, `${id} is forgotten, but has not ended`);
      this.forgotten.add(id);
      this.inserts.delete(id);
    }
    return count;
  }

  check(): void {
    for (const [id, { name, chunks }] of this.inserts) {
      const row = this.#rows.get(id);
      must(row !== undefined, () => `the acknowledged submission ${id} is gone`);
      must(
        row !== undefined && nameOf(row) === name && row.record.chunksTotal === chunks,
        () => `the submission ${id} is another one now`,
      );
      const seen = this.#ends.get(id);
      must(
        seen === undefined || row?.end?.state === seen,
        () => `${id} was ${seen} and is ${row?.end?.state} on disk`,
      );
    }
    for (const [id, row] of this.#rows) {
      if (this.#isAsSeen(id, row)) continue;
      const done = row.end?.state === 'completed' ? allChunks(row) : doneOf(row);
      const before = this.#done.get(id);
      for (const chunkIndex of before ?? []) {
        must(done.has(chunkIndex), () => `the completion of ${id}/${chunkIndex} was on disk and is gone`);
      }
      for (const chunkIndex of done) if (before?.has(chunkIndex) !== true) this.#mustBeDone(id, chunkIndex);
      this.#done.set(id, done);
    }
  }

  /** Nothing of its progress has been written since the last look: a page that is written is another object. */
  #isAsSeen(id: SubmissionId, row: Row): boolean {
    const seen = this.#seen.get(id);
    const isCompleted = row.end?.state === 'completed';
    this.#seen.set(id, { isCompleted, pages: new Map(row.pages), outputs: row.outputs.size });
    if (seen === undefined || seen.isCompleted !== isCompleted || seen.outputs !== row.outputs.size)
      return false;
    if (seen.pages.size !== row.pages.size) return false;
    for (const [page, content] of row.pages) if (seen.pages.get(page) !== content) return false;
    return true;
  }

  /** The output of a chunk that is done is on disk for good: producers may have read it. */
  outputWritten(chunk: ChunkId, output: Uint8Array | null): void {
    const settled = this.#outputs.get(key(chunk));
    must(
      settled === undefined || sameBytes(output, settled),
      () => `${key(chunk)} is done, and gets another output`,
    );
  }

  #settleOutput(chunk: ChunkId, output: Uint8Array): void {
    this.outputWritten(chunk, output);
    this.#outputs.set(key(chunk), output);
  }

  /** No crash may leave a chunk that is done and has no output. */
  mustHaveOutputs(id: SubmissionId): void {
    const row = this.#rows.get(id);
    if (row === undefined || row.record.prefix !== null) return;
    for (const chunkIndex of doneOf(row)) this.#mustHaveOutput(id, chunkIndex);
  }

  #mustBeDone(id: SubmissionId, chunkIndex: number): void {
    must(
      this.#completions.get(id)?.has(chunkIndex) === true,
      () => `${id}/${chunkIndex} is done on disk, but nobody completed it`,
    );
    this.#mustHaveOutput(id, chunkIndex);
  }

  #mustHaveOutput(id: SubmissionId, chunkIndex: number): void {
    const row = this.#rows.get(id)!;
    if (row.record.prefix !== null) return;
    const output = row.outputs.get(chunkIndex);
    must(
      output !== undefined && output !== null && isOutputOf(output, row.inputs[chunkIndex]!),
      () => `${id}/${chunkIndex} is done on disk, but its output is not there`,
    );
    if (output) this.#settleOutput({ submissionId: id, chunkIndex }, output);
  }
}
