import type { ChunkId, SubmissionId } from '../../../src/model/ids.ts';
import type { Strategy } from '../../../src/model/strategy.ts';
import type { SubmissionEnd } from '../../../src/model/submission.ts';
import { decodeClientMessage, decodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import type { ServerMessage } from '../../../src/protocol/consumer/types.ts';
import type { MemoryDatabase } from '../../../src/store/memory/memory-store.ts';
import type { CommitBatch } from '../../../src/store/store.ts';
import { key, sameBytes, type Told } from '../work.ts';
import { History } from './history.ts';
import { Holders } from './holders.ts';
import { Pauses } from './pauses.ts';
import { RetriesInPlace } from './retries.ts';
import { doneOf, isDoneOnDisk, nameOf } from './rows.ts';
import { describe, Trace } from './trace.ts';
import { type Limits, Tries } from './tries.ts';
import { must, Violation } from './violation.ts';

/** What is known of one process, and forgotten with it. */
interface Life {
  readonly limits: Limits;
  /** What its wall clock shows. */
  wallMs(): number;
  readonly tries: Tries;
  readonly holders: Holders;
  readonly retries: RetriesInPlace;
  /** What the reservations of a connection asked for. */
  readonly asked: Map<string, Strategy>;
  /** Hand-outs that were decided and are not told yet, by connection and chunk: the tries that had been counted by then. */
  readonly decided: Map<string, number>;
  /** Ids on disk when it took over: its own are higher. */
  readonly idsBefore: ReadonlySet<SubmissionId>;
}

/** What was known of a retry when it was asked for. */
export interface RetryAsked {
  readonly id: SubmissionId;
  /** Its number among those in place; null: it is none. */
  readonly inPlace: number | null;
}

type HandedOut = Extract<ServerMessage, { kind: 'reserved' }>['chunks'][number];

/**
 * Watches the server processes from outside - what arrives at them, what leaves them, what is on disk - and knows what
 * must hold. It shares no code with what it judges.
 */
export class Oracle {
  readonly #database: MemoryDatabase;
  readonly #elapsedMs: () => number;
  readonly #trace = new Trace();
  readonly #history: History;
  readonly #pauses = new Pauses();
  #life: Life | null = null;
  #highestBefore = 0n;
  /** Of the batches that took place. */
  #lastSeq = 0;
  /** The queue of each connection, and of each submission by its name. */
  readonly #queueOf = new Map<number | string, string>();
  handOuts = 0;
  /** How many chunks of a value of `licence` may be in flight, in a run where everybody keeps to that. */
  licencesMax: number | null = null;
  /** The server may have ended them, and taken back their chunks, although that is not on disk yet. */
  readonly #mayHaveEnded = new Set<SubmissionId>();

  constructor(database: MemoryDatabase, elapsedMs: () => number) {
    this.#database = database;
    this.#elapsedMs = elapsedMs;
    this.#history = new History(database.rows);
  }

  /** What happened last, for the report of a failure. */
  get trace(): readonly string[] {
    return this.#trace.lines;
  }

  get acknowledgedInserts(): ReadonlyMap<SubmissionId, Told> {
    return this.#history.inserts;
  }

  get insertsTotal(): number {
    return this.#history.insertsTotal;
  }

  get forgotten(): ReadonlySet<SubmissionId> {
    return this.#history.forgotten;
  }

  get #now(): Life {
    if (this.#life === null) throw new Violation('no process has taken over the store');
    return this.#life;
  }

  note(what: string | (() => string)): void {
    this.#trace.note(what);
  }

  // ---- processes and connections

  /** A new process has taken over: reservations are forgotten, the rest is what is on disk. */
  restarted(limits: Limits, wallMs: () => number): void {
    const { rows } = this.#database;
    this.#life = {
      limits,
      wallMs,
      tries: new Tries(rows, limits, this.#elapsedMs),
      holders: new Holders(limits.reservationExpirationMs),
      retries: new RetriesInPlace(),
      asked: new Map(),
      decided: new Map(),
      idsBefore: new Set(rows.keys()),
    };
    for (const id of rows.keys()) if (id > this.#highestBefore) this.#highestBefore = id;
    this.note('the queue starts');
    this.checkDisk();
  }

  /** The process has loaded everything. */
  loaded(): void {
    this.#now.tries.loaded();
  }

  /** A consumer has connected to that queue. */
  connects(connection: number, queue: string): void {
    this.#queueOf.set(connection, queue);
  }

  /** The server knows that the connection is over. */
  ended(connection: number): void {
    this.note(`-- ${connection} is over`);
    const { holders, tries } = this.#now;
    for (const chunk of holders.ended(connection)) if (tries.broke(chunk)) this.mayEnd(chunk.submissionId);
  }

  // ---- chunks

  /** The server decides to hand out a chunk, whenever its message leaves. */
  decided(connection: number, chunk: ChunkId): void {
    const { tries, decided, wallMs } = this.#now;
    this.#pauses.mustNotHold(chunk.submissionId, this.#database.rows.get(chunk.submissionId), wallMs());
    tries.mustNotWait(chunk);
    decided.set(`${connection} ${key(chunk)}`, tries.retriesOf(chunk));
  }

  /** The server takes a chunk away from a consumer, which may not have heard of it yet. */
  expires(connection: number, chunk: ChunkId): void {
    this.note(() => `!! ${connection} ${key(chunk)} expires`);
    const { holders, tries } = this.#now;
    holders.expires(connection, chunk, this.#elapsedMs());
    if (tries.failed(chunk)) this.mayEnd(chunk.submissionId);
  }

  /** The server sends this to a consumer. */
  sent(connection: number, bytes: Uint8Array, modern: boolean): void {
    const message = decodeServerMessage(bytes);
    this.note(() => `-> ${connection} ${describe(message)}`);
    const { holders, asked } = this.#now;
    if (message.kind === 'expired') holders.expiryTold(connection, message.chunk, modern);
    if (message.kind === 'dropped') holders.done(message.chunk);
    if (message.kind !== 'reserved') return;
    const strategy = asked.get(`${connection} ${message.nonce}`);
    for (const handedOut of message.chunks) this.#handsOut(connection, handedOut, strategy);
  }

  #handsOut(connection: number, handedOut: HandedOut, strategy: Strategy | undefined): void {
    const { chunk, retries, inputContent } = handedOut;
    const { holders, decided, retries: retriesInPlace } = this.#now;
    const name = key(chunk);
    this.handOuts++;
    const row = this.#database.rows.get(chunk.submissionId);
    if (row === undefined) throw new Violation(`${name} is handed out before its insert is on disk`);
    must(
      this.#isOfItsQueue(connection, chunk),
      () => `${name} is handed out to ${connection}, a consumer of another queue`,
    );
    must(
      sameBytes(inputContent, row.inputs[chunk.chunkIndex] ?? null),
      () => `${name} is handed out with another input`,
    );
    must(row.end === null, () => `${name} is handed out, but its submission has ended on disk`);
    must(
      !isDoneOnDisk(this.#database.rows, chunk),
      () => `${name} is handed out, but its completion is on disk`,
    );
    must(
      !row.failed.has(chunk.chunkIndex) || retriesInPlace.isPending(chunk.submissionId),
      () => `${name} is handed out, but it is set aside on disk and nobody retried it`,
    );
    holders.handedOut(connection, chunk);
    const decision = `${connection} ${name}`;
    // Made for this consumer when it was decided, perhaps before a retry.
    const expected = decided.get(decision);
    must(
      retries === expected,
      () => `${name} is handed out with ${retries} tries counted; it has had ${expected}`,
    );
    decided.delete(decision);
    must(
      strategy === undefined || selects(strategy, row.record.strategicMetadata),
      () => `${name} is handed out to ${connection}, which did not select it`,
    );
    this.#mustBeLicensed(chunk.submissionId);
  }

  #mustBeLicensed(id: SubmissionId): void {
    if (this.licencesMax === null) return;
    const licence = this.#licenceOf(id);
    if (licence === null) return;
    let count = 0;
    for (const held of this.#now.holders.submissions()) {
      if (!this.#mayHaveEnded.has(held) && this.#licenceOf(held) === licence) count++;
    }
    must(count <= this.licencesMax, () => `${count} chunks of licence ${licence} are in flight`);
  }

  /** Each queue counts for itself. */
  #licenceOf(id: SubmissionId): string | null {
    const record = this.#database.rows.get(id)?.record;
    const licence = record?.strategicMetadata.get('licence');
    return licence === undefined ? null : `${licence} of queue "${record?.queue}"`;
  }

  /** This is about to arrive at the server, on a connection that is open. */
  arrives(connection: number, bytes: Uint8Array): void {
    const message = decodeClientMessage(bytes);
    this.note(() => `<- ${connection} ${describe(message)}`);
    const { holders, tries, asked } = this.#now;
    switch (message.kind) {
      case 'reserve':
        asked.set(`${connection} ${message.nonce}`, message.strategy);
        break;
      case 'complete':
        holders.answered(connection, message.chunk);
        if (!this.#isOfItsQueue(connection, message.chunk)) break;
        this.#history.completed(message.chunk);
        holders.done(message.chunk);
        break;
      case 'fail': {
        holders.answered(connection, message.chunk);
        if (!holders.givenBack(connection, message.chunk)) break;
        const isLast = tries.failed(message.chunk, message.retryable === false);
        if (isLast) this.mayEnd(message.chunk.submissionId);
        break;
      }
      case 'extend':
        for (const chunk of message.chunks) holders.extended(connection, chunk, this.#elapsedMs());
        break;
      case 'release':
        for (const chunk of message.chunks) holders.givenBack(connection, chunk);
        break;
    }
  }

  /** Whether a connection and a chunk belong to the same queue, as far as is known. */
  #isOfItsQueue(connection: number, { submissionId }: ChunkId): boolean {
    const row = this.#database.rows.get(submissionId);
    return row === undefined || this.#queueOf.get(nameOf(row) ?? '') === this.#queueOf.get(connection);
  }

  // ---- producers

  /** A producer is about to insert it. */
  inserts({ name, queue }: Told): void {
    this.#queueOf.set(name, queue);
  }

  insertAcknowledged(id: SubmissionId, told: Told): void {
    if (this.forgotten.has(id)) return;
    this.note(`inserted ${id}: ${told.name}, ${told.chunks} chunks`);
    must(
      this.#now.idsBefore.has(id) || id > this.#highestBefore,
      `the new id ${id} is below ${this.#highestBefore}, which a process before gave out`,
    );
    this.#history.insertAcknowledged(id, told);
  }

  /** The server may end it from now on. */
  mayEnd(id: SubmissionId): void {
    this.#mayHaveEnded.add(id);
  }

  cancelAcknowledged(id: SubmissionId): void {
    if (this.forgotten.has(id)) return;
    this.note(`cancelled ${id}`);
    this.#history.cancelAcknowledged(id);
  }

  /** Something was asked in another queue than that of the submission, which is unknown there. */
  elsewhere(id: SubmissionId, isKnown: boolean): void {
    must(!isKnown, `${id} is known in another queue than its own`);
  }

  /** A producer is told that there is no such submission. */
  unknownSeen(id: SubmissionId): void {
    must(this.forgotten.has(id), `the acknowledged submission ${id} is unknown`);
  }

  statusSeen(id: SubmissionId, state: string): void {
    if (!this.forgotten.has(id)) this.#history.statusSeen(id, state);
  }

  /** A producer is told that these chunks are done. */
  progressSeen(id: SubmissionId, chunks: Iterable<number>): void {
    if (!this.forgotten.has(id)) this.#history.progressSeen(id, chunks);
  }

  /** Somebody asks for a resume: from now on a pause of that cause need not hold. */
  resumeAsked(what: string, cause: string): void {
    this.note(`resume ${what} ${cause}`);
    this.#pauses.resumeAsked(what, cause);
  }

  resumesAskedOf(what: string, cause: string): number {
    return this.#pauses.resumesAskedOf(what, cause);
  }

  /** @param resumesAsked as of when it was asked for */
  pauseAcknowledged(what: string, cause: string, resumesAsked: number): void {
    if (this.#pauses.acknowledged(what, cause, resumesAsked)) this.note(`paused ${what} ${cause}`);
  }

  /** Acknowledged submissions of which something has failed, on disk. */
  failedOnDisk(): SubmissionId[] {
    return [...this.acknowledgedInserts.keys()].filter((id) => {
      const row = this.#database.rows.get(id);
      return row !== undefined && (row.failed.size > 0 || row.end?.state === 'failed');
    });
  }

  /**
   * Somebody is about to ask for a retry. `isInPlace`: something of a submission in progress has failed, and the queue
   * takes the retry: all its tries begin anew at once.
   */
  retryAsked(id: SubmissionId, isInPlace: boolean): RetryAsked {
    this.#history.retryAsked(id);
    this.note(`retry ${id}${isInPlace ? ' in place' : ''}`);
    if (!isInPlace) return { id, inPlace: null };
    const { tries, retries } = this.#now;
    tries.forget(id);
    return { id, inPlace: retries.made(id) };
  }

  retryAcknowledged({ id, inPlace }: RetryAsked, chunks: number): void {
    if (this.forgotten.has(id) || chunks === 0) return;
    this.note(`retried ${id}`);
    must(this.#database.rows.has(id), `the retry of ${id} is acknowledged, but it is gone`);
    must(
      inPlace === null || this.#now.retries.isCommitted(id, inPlace),
      `the retry of ${id} is acknowledged, but not on disk`,
    );
  }

  // ---- the disk

  /** A batch took place, or had before if it is sent once more. */
  committed({ seq, mutations }: CommitBatch): void {
    if (seq <= this.#lastSeq) return;
    this.#lastSeq = seq;
    const { tries, retries } = this.#now;
    for (const mutation of mutations) {
      if (mutation.kind === 'end') this.#mustHaveAReason(mutation.id, mutation.end);
      if (mutation.kind === 'failed_chunk' && mutation.failure !== null) {
        const { id: submissionId, chunkIndex, failure } = mutation;
        tries.givenUp({ submissionId, chunkIndex }, failure);
      }
      if (mutation.kind === 'retry' && !retries.committed(mutation.id)) this.#opensAgain(mutation.id);
      if (mutation.kind === 'page') this.#history.mustHaveOutputs(mutation.id);
    }
  }

  /** Nothing of what had ended has been handed out since. */
  #opensAgain(id: SubmissionId): void {
    const { tries, holders } = this.#now;
    tries.forget(id);
    holders.opensAgain(id);
    this.#mayHaveEnded.delete(id);
  }

  /** A submission fails by a chunk that has had its tries, or completes when all chunks are done or set aside. */
  #mustHaveAReason(id: SubmissionId, end: SubmissionEnd): void {
    const row = this.#database.rows.get(id);
    if (row === undefined) return;
    if (end.state === 'failed') {
      const { chunkIndex, failure } = end.failedChunk;
      this.#now.tries.givenUp({ submissionId: id, chunkIndex }, failure);
      must(row.record.failureMode === 'fail', `${id} collects failures, and has failed`);
    }
    if (end.state !== 'completed_with_failures' || row.end !== end) return;
    const done = doneOf(row);
    const failed = [...row.failed.keys()].filter((index) => !done.has(index));
    must(
      failed.length > 0 && done.count + failed.length === row.record.chunksTotal,
      `${id} has ended: ${done.count} chunks are done and ${failed.length} set aside of ${row.record.chunksTotal}`,
    );
    must(failed.includes(end.failedChunk.chunkIndex), `${id} names a chunk that has not failed`);
  }

  /** Wraps each clean-up that takes place. */
  cleaningUp(run: () => Promise<number>): Promise<number> {
    return this.#history.cleaningUp(run);
  }

  checkDisk(): void {
    this.#history.check();
  }
}

/** Whether a strategy may yield chunks of a submission with such metadata, whatever is in flight. */
function selects(strategy: Strategy, metadata: ReadonlyMap<string, bigint>): boolean {
  if (strategy.kind === 'or_else')
    return selects(strategy.first, metadata) || selects(strategy.fallback, metadata);
  if (!('underlying' in strategy)) return true;
  const value = metadata.get(strategy.metaKey);
  if (strategy.kind === 'select_only' && !(value !== undefined && strategy.values.includes(value)))
    return false;
  if (strategy.kind === 'select_except' && value !== undefined && strategy.values.includes(value))
    return false;
  return selects(strategy.underlying, metadata);
}
