import { ChunkSet } from '../../model/chunk-set.ts';
import type { ChunkIndex, SubmissionId } from '../../model/ids.ts';
import type { InsertResult, Mutation } from '../../store/store.ts';

/** A submission whose pages are persisted: the scheduler's own object. */
export interface PagedSubmission {
  readonly record: { readonly id: SubmissionId };
  readonly done: ChunkSet;
}

/** Where the result of an insert goes. */
export interface InsertWaiter {
  resolve(result: InsertResult): void;
  reject(error: Error): void;
}

export interface BatchLimits {
  /** Mutations of one batch. Default 4096. */
  readonly mutationsMax: number;
  /** Estimated bytes of one batch; a single larger mutation still goes, alone. Default 8 MiB. */
  readonly bytesMax: number;
}

/** What one commit takes along. */
export interface Batch {
  readonly mutations: readonly Mutation[];
  /** One for each insert among the mutations, in order. */
  readonly waiters: readonly InsertWaiter[];
  /** Everything added up to this number is in this batch or an earlier one. */
  readonly lastNumber: number;
  /** How many chunks of submissions are done on disk when the batch is. */
  readonly progress: ReadonlyMap<PagedSubmission, number>;
}

interface PlainEntry {
  readonly kind: 'plain';
  readonly mutation: Mutation;
  readonly bytes: number;
  readonly waiter: InsertWaiter | null;
  /** It goes into the same batch as the one before. */
  readonly isJoined: boolean;
  /** It is in a batch, possibly ahead of its turn (see `#emitPage`). */
  gone: boolean;
}

interface PageEntry {
  readonly kind: 'page';
  readonly submission: PagedSubmission;
  readonly page: number;
  readonly bytes: number;
}

interface TriesEntry {
  readonly kind: 'tries';
  mutation: Extract<Mutation, { readonly kind: 'tries' }>;
  readonly bytes: number;
}

type Entry = PlainEntry | PageEntry | TriesEntry;

const ROW_BYTES = 64;
const PAGE_ROW_BYTES = 576;
/** With a history of some length. */
const CONTROL_ROW_BYTES = 2_048;

/**
 * What waits for the next commit, in the order in which it was added. Changes of the same page are one entry,
 * whose content is taken when the batch is cut: a thousand completions become a handful of pages. So are changes
 * of the tries of one chunk.
 */
export class Backlog {
  #entries: Entry[] = [];
  #bytes = 0;
  #inserts = 0;
  /** How many entries were cut so far. */
  #cut = 0;
  #pages = new Map<ChunkSet, Set<number>>();
  #tries = new Map<SubmissionId, Map<ChunkIndex, TriesEntry>>();
  #outputs = new Map<SubmissionId, PlainEntry[]>();
  // A burst of completions mostly hits one page: comparing two fields is cheaper than two look-ups.
  #lastDone: ChunkSet | null = null;
  #lastPage = -1;

  get length(): number {
    return this.#entries.length;
  }

  /** Inserts among them, each of which somebody waits for. */
  get inserts(): number {
    return this.#inserts;
  }

  /** Estimated. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of the entry that was added last; they are numbered from 1. */
  get lastNumber(): number {
    return this.#cut + this.#entries.length;
  }

  /** @param isJoined it goes into the same batch as the one before; not for `tries` */
  add(mutation: Mutation, waiter: InsertWaiter | null, isJoined = false): void {
    if (mutation.kind === 'tries') {
      this.#addTries(mutation);
      return;
    }
    // What was tried before it does not count, what is tried from now on does.
    if (mutation.kind === 'retry') this.#tries.delete(mutation.id);
    if (waiter !== null) this.#inserts++;
    const entry: PlainEntry = {
      kind: 'plain',
      mutation,
      bytes: mutationBytes(mutation),
      waiter,
      isJoined,
      gone: false,
    };
    if (mutation.kind === 'direct_output') {
      const outputs = this.#outputs.get(mutation.id);
      if (outputs) outputs.push(entry);
      else this.#outputs.set(mutation.id, [entry]);
    }
    this.#push(entry);
  }

  /** False if the page waits already. */
  pageChanged(submission: PagedSubmission, page: number): boolean {
    const { done } = submission;
    if (done === this.#lastDone && page === this.#lastPage) return false;
    this.#lastDone = done;
    this.#lastPage = page;
    let pages = this.#pages.get(done);
    if (!pages) {
      pages = new Set();
      this.#pages.set(done, pages);
    }
    if (pages.has(page)) return false;
    pages.add(page);
    this.#push({ kind: 'page', submission, page, bytes: PAGE_ROW_BYTES });
    return true;
  }

  /** Takes as much as one batch may hold, from the front. */
  cut(limits: BatchLimits): Batch {
    const taken = this.#take(limits);
    const completed = new Set<SubmissionId>();
    for (const entry of taken) {
      if (entry.kind !== 'plain') continue;
      const { mutation } = entry;
      if (mutation.kind === 'end' && mutation.end.state === 'completed') completed.add(mutation.id);
    }
    const mutations: Mutation[] = [];
    const waiters: InsertWaiter[] = [];
    for (const entry of taken) {
      switch (entry.kind) {
        case 'plain':
          if (entry.gone) break;
          entry.gone = true;
          mutations.push(entry.mutation);
          if (entry.waiter) waiters.push(entry.waiter);
          break;
        case 'page':
          // The end of a completed submission deletes its pages and tries: writing them first would be for nothing.
          if (!completed.has(entry.submission.record.id)) this.#emitPage(entry, mutations);
          break;
        case 'tries':
          if (!completed.has(entry.mutation.id)) mutations.push(entry.mutation);
          break;
      }
    }
    for (const entry of taken) this.#forget(entry);
    this.#inserts -= waiters.length;
    return { mutations, waiters, lastNumber: this.#cut, progress: this.#progressOf(taken) };
  }

  /** Forgets everything; gives back who waits for an insert. */
  clear(): InsertWaiter[] {
    const waiters: InsertWaiter[] = [];
    for (const entry of this.#entries) {
      if (entry.kind === 'plain' && entry.waiter) waiters.push(entry.waiter);
    }
    this.#cut += this.#entries.length;
    this.#entries = [];
    this.#bytes = 0;
    this.#inserts = 0;
    this.#pages.clear();
    this.#tries.clear();
    this.#outputs.clear();
    this.#lastDone = null;
    return waiters;
  }

  #addTries(mutation: TriesEntry['mutation']): void {
    let ofSubmission = this.#tries.get(mutation.id);
    if (!ofSubmission) {
      ofSubmission = new Map();
      this.#tries.set(mutation.id, ofSubmission);
    }
    const pending = ofSubmission.get(mutation.chunkIndex);
    if (pending) {
      pending.mutation = mutation;
      return;
    }
    const entry: TriesEntry = { kind: 'tries', mutation, bytes: ROW_BYTES };
    ofSubmission.set(mutation.chunkIndex, entry);
    this.#push(entry);
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
  }

  #take(limits: BatchLimits): Entry[] {
    const entries = this.#entries;
    let count = 0;
    let bytes = 0;
    for (const entry of entries) {
      const isFull = count >= limits.mutationsMax || (count > 0 && bytes + entry.bytes > limits.bytesMax);
      if (isFull && !(entry.kind === 'plain' && entry.isJoined)) break;
      bytes += entry.bytes;
      count++;
    }
    this.#bytes -= bytes;
    this.#cut += count;
    this.#lastDone = null;
    if (count < entries.length) return entries.splice(0, count);
    this.#entries = [];
    return entries;
  }

  /**
   * The content is what the page is now, later completions included. The outputs of those wait further back,
   * possibly beyond this batch; they go first, or a crash in between would leave done chunks without output. Those of
   * other pages need not: the batch is large enough.
   */
  #emitPage(entry: PageEntry, mutations: Mutation[]): void {
    const { id } = entry.submission.record;
    for (const output of this.#outputs.get(id) ?? []) {
      if (output.gone || !isOfPage(output.mutation, entry.page)) continue;
      output.gone = true;
      mutations.push(output.mutation);
    }
    mutations.push({
      kind: 'page',
      id,
      page: entry.page,
      content: entry.submission.done.page(entry.page),
    });
  }

  /** Of submissions with pages in the batch and none that waits for a later one. */
  #progressOf(taken: readonly Entry[]): Map<PagedSubmission, number> {
    const progress = new Map<PagedSubmission, number>();
    for (const entry of taken) {
      if (entry.kind !== 'page' || this.#pages.has(entry.submission.done)) continue;
      progress.set(entry.submission, entry.submission.done.count);
    }
    return progress;
  }

  #forget(entry: Entry): void {
    switch (entry.kind) {
      case 'page': {
        const { done } = entry.submission;
        const pages = this.#pages.get(done);
        pages?.delete(entry.page);
        if (pages?.size === 0) this.#pages.delete(done);
        break;
      }
      case 'tries': {
        const { id, chunkIndex } = entry.mutation;
        const ofSubmission = this.#tries.get(id);
        if (ofSubmission?.get(chunkIndex) !== entry) break;
        ofSubmission.delete(chunkIndex);
        if (ofSubmission.size === 0) this.#tries.delete(id);
        break;
      }
      case 'plain':
        if (entry.mutation.kind === 'direct_output') this.#forgetOutput(entry, entry.mutation.id);
        break;
    }
  }

  #forgetOutput(entry: PlainEntry, id: SubmissionId): void {
    // Entries are forgotten in the order in which they were added, so it is the first one.
    const outputs = this.#outputs.get(id);
    if (outputs?.[0] !== entry) return;
    if (outputs.length === 1) this.#outputs.delete(id);
    else outputs.shift();
  }
}

function isOfPage(mutation: Mutation, page: number): boolean {
  return mutation.kind === 'direct_output' && ChunkSet.pageOf(mutation.chunkIndex) === page;
}

function mutationBytes(mutation: Mutation): number {
  switch (mutation.kind) {
    case 'insert': {
      const { record } = mutation;
      let bytes = 2 * ROW_BYTES + (record.prefix?.length ?? 0) + record.otelTraceCarrier.length;
      bytes += record.metadata?.length ?? 0;
      for (const key of record.strategicMetadata.keys()) bytes += key.length + 16;
      for (const input of mutation.directInputs ?? []) bytes += 16 + (input?.length ?? 0);
      return bytes;
    }
    case 'direct_output':
      return ROW_BYTES + (mutation.content?.length ?? 0);
    case 'end':
      return (
        ROW_BYTES +
        ('failedChunk' in mutation.end
          ? mutation.end.failedChunk.failure.length + (mutation.end.failedChunk.inputContent?.length ?? 0)
          : 0)
      );
    case 'control':
    case 'scope_control':
      return CONTROL_ROW_BYTES;
    case 'failed_chunk':
      return ROW_BYTES + (mutation.failure?.length ?? 0);
    case 'page':
      return PAGE_ROW_BYTES;
    case 'tries':
    case 'retry':
      return ROW_BYTES;
  }
}
