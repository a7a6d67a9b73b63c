/** What the clients of a queue were told, and what must therefore come back after a crash. */
import assert from 'node:assert/strict';
import type { ChunkIndex, SubmissionId } from '../../../src/model/ids.ts';
import type { SubmissionStatus } from '../../../src/model/submission.ts';
import type { ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';

/** A moment at which something became known; later ones are greater. */
export type Moment = number;

export const FACT_KINDS = ['inserted', 'cancelled', 'progress', 'done', 'ended'] as const;
export type FactKind = (typeof FACT_KINDS)[number];

/** One submission as its clients know it. What was only asked for may have happened or not. */
export interface Entry {
  /** The prefix, and the metadata: a consumer learns it from both kinds of submissions. */
  readonly name: string;
  readonly chunksTotal: number;
  readonly isDirect: boolean;
  /** Chunk 0 of it fails every time. */
  readonly isBad: boolean;
  /** Of the acknowledged insert. */
  id: SubmissionId | null;
  insertedAt: Moment | null;
  isCancelAsked: boolean;
  cancelledAt: Moment | null;
  /** The status of its end, byte for byte, once somebody saw it. */
  end: { readonly text: string; readonly at: Moment } | null;
  /** The largest `chunks_done` that somebody saw, at each moment at which it grew. */
  readonly doneCounts: { readonly count: number; readonly at: Moment }[];
  /** Chunks that somebody saw done. */
  readonly doneSeen: Map<ChunkIndex, Moment>;
  /** Completions that were sent; nobody acknowledges them. */
  readonly completionsSent: Set<ChunkIndex>;
  readonly failuresSent: Map<ChunkIndex, number>;
}

export class Ledger {
  readonly entries = new Map<string, Entry>();
  readonly byId = new Map<SubmissionId, Entry>();
  /** What was acknowledged or seen so far, if it was news. */
  facts = 0;
  readonly #now: () => Moment;
  readonly #waiting = new Set<(kind: FactKind) => void>();
  /** Who works on which chunk, and what was finished, since the queue was started the last time. */
  #taken = new Set<string>();
  #endedBefore = new Set<Entry>();

  /** @param now the time stamp of facts; by default they are all from the same moment */
  constructor(now: () => Moment = () => 0) {
    this.#now = now;
  }

  /** To be called before each start of the queue: what was reserved is free again. */
  restarted(): void {
    this.#taken = new Set();
    this.#endedBefore = new Set([...this.entries.values()].filter(({ end }) => end !== null));
  }

  asksInsert(wanted: Pick<Entry, 'name' | 'chunksTotal' | 'isDirect' | 'isBad'>): Entry {
    const entry: Entry = {
      ...wanted,
      id: null,
      insertedAt: null,
      isCancelAsked: false,
      cancelledAt: null,
      end: null,
      doneCounts: [],
      doneSeen: new Map(),
      completionsSent: new Set(),
      failuresSent: new Map(),
    };
    this.entries.set(entry.name, entry);
    return entry;
  }

  inserted(entry: Entry, id: SubmissionId): void {
    assert.ok(entry.id === null || entry.id === id, `${entry.name} has two ids: ${entry.id}, ${id}`);
    const other = this.byId.get(id);
    assert.ok(other === undefined || other === entry, `${entry.name} and ${other?.name} are both ${id}`);
    if (entry.id !== null) return;
    entry.id = id;
    entry.insertedAt = this.#now();
    this.byId.set(id, entry);
    this.#fact('inserted');
  }

  cancelled(entry: Entry): void {
    if (entry.cancelledAt !== null) return;
    entry.cancelledAt = this.#now();
    this.#fact('cancelled');
  }

  /** Somebody was told this status; `text` is what came over the wire. */
  sawStatus(entry: Entry, status: SubmissionStatus, text: string): void {
    if (status.state === 'in_progress') {
      assert.equal(entry.end, null, `${entry.name} has ended, and now is ${text}`);
      if (status.chunksDone <= doneAsOf(entry, Infinity)) return;
      entry.doneCounts.push({ count: status.chunksDone, at: this.#now() });
      this.#fact('progress');
    } else if (entry.end === null) {
      entry.end = { text, at: this.#now() };
      this.#fact('ended');
    } else assert.equal(text, entry.end.text, entry.name);
  }

  sawDone(entry: Entry, chunks: Iterable<ChunkIndex>): void {
    const before = entry.doneSeen.size;
    for (const chunk of chunks) {
      assert.ok(entry.completionsSent.has(chunk), `${entry.name}: nobody has completed chunk ${chunk}`);
      if (!entry.doneSeen.has(chunk)) entry.doneSeen.set(chunk, this.#now());
    }
    if (entry.doneSeen.size > before) this.#fact('done');
  }

  /** A consumer got this chunk. Whatever speaks against it is an error. */
  took({ chunk, retries, submission }: ReservedChunkMessage): Entry {
    const name = Buffer.from(submission.metadata ?? []).toString();
    const entry = this.entries.get(name);
    const what = `chunk ${chunk.chunkIndex} of ${name}`;
    assert.ok(entry, `${what}: nobody has asked for that submission`);
    assert.ok(entry.id === null || entry.id === chunk.submissionId, `${what}: another id`);
    assert.ok(chunk.chunkIndex < entry.chunksTotal, `${what}: there is no such chunk`);
    assert.ok(!entry.doneSeen.has(chunk.chunkIndex), `${what} runs again, and was seen done`);
    assert.ok(!this.#endedBefore.has(entry), `${what} is handed out: ${entry.end?.text}`);
    const taken = `${name} ${chunk.chunkIndex}`;
    assert.ok(!this.#taken.has(taken), `${what} is handed out twice`);
    assert.ok(retries <= (entry.failuresSent.get(chunk.chunkIndex) ?? 0), `${what}: ${retries} retries`);
    this.#taken.add(taken);
    return entry;
  }

  /** Before it is sent. */
  completes(entry: Entry, chunk: ChunkIndex): void {
    entry.completionsSent.add(chunk);
  }

  /** Before it is sent. */
  fails(entry: Entry, chunk: ChunkIndex): void {
    entry.failuresSent.set(chunk, (entry.failuresSent.get(chunk) ?? 0) + 1);
    this.#taken.delete(`${entry.name} ${chunk}`);
  }

  /** Resolves when there are so many facts, right after one of this kind. */
  async reaches(facts: number, kind: FactKind | null = null): Promise<void> {
    let last: FactKind | null = null;
    while (this.facts < facts || (kind !== null && last !== kind)) {
      last = await new Promise<FactKind>((resolve) => this.#waiting.add(resolve));
    }
  }

  #fact(kind: FactKind): void {
    this.facts++;
    for (const wake of this.#waiting) wake(kind);
    this.#waiting.clear();
  }
}

/** The most chunks that somebody had seen done by then. */
export function doneAsOf(entry: Entry, at: Moment): number {
  return entry.doneCounts.findLast((seen) => seen.at <= at)?.count ?? 0;
}
