import type { ChunkId, ShardId, SubmissionId } from '../../../src/model/ids.ts';
import type { Strategy } from '../../../src/model/strategy.ts';
import type { SubmissionEnd } from '../../../src/model/submission.ts';
import { decodeClientMessage, decodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import type { ServerMessage } from '../../../src/protocol/consumer/types.ts';
import type { Mutation } from '../../../src/store/store.ts';
import type { Clock } from '../../../src/system/time/clock.ts';
import { key, sameBytes, type Told } from '../work.ts';
import { Holders } from './holders.ts';
import type { Known } from './known.ts';
import { RetriesInPlace } from './retries.ts';
import { doneOf, isDoneOnDisk, nameOf } from './rows.ts';
import { describe } from './trace.ts';
import { type Limits, Tries } from './tries.ts';
import { must, Violation } from './violation.ts';

export interface LifeOptions {
  readonly known: Known;
  readonly shard: ShardId;
  /** As which it owns the shard. */
  readonly epoch: number;
  readonly limits: Limits;
  /** Its clocks, when they do not leap. */
  readonly clock: Clock;
  /** By which others know it, if they share the store: it may act only while it has the lease. null: it is alone. */
  readonly node: string | null;
}

/** What was known of a retry when it was asked for. */
export interface RetryAsked {
  readonly id: SubmissionId;
  /** Its number among those in place; null: it is none. */
  readonly inPlace: number | null;
}

type HandedOut = Extract<ServerMessage, { kind: 'reserved' }>['chunks'][number];

/** A process that has taken over a shard, from then on: reservations are forgotten, the rest is what was on disk. */
export class Life {
  readonly #o: LifeOptions;
  readonly #known: Known;
  readonly #tries: Tries;
  readonly #holders: Holders;
  readonly #retries = new RetriesInPlace();
  /** What the reservations of a connection asked for. */
  readonly #asked = new Map<string, Strategy>();
  /** Hand-outs that were decided and are not told yet, by connection and chunk: the tries that had been counted by then. */
  readonly #decided = new Map<string, number>();
  /** Ids on disk when it took over: its own are higher. */
  readonly #idsBefore: ReadonlySet<SubmissionId>;
  readonly #highestBefore: SubmissionId;

  constructor(options: LifeOptions) {
    const { known, limits, clock } = options;
    const { rows } = known.database;
    this.#o = options;
    this.#known = known;
    this.#tries = new Tries(rows, limits, () => clock.monotonicMs());
    this.#holders = new Holders(limits.reservationExpirationMs);
    this.#idsBefore = new Set(rows.keys());
    const { shard } = options;
    let highest = known.highestIds.get(shard) ?? 0n;
    for (const [id, row] of rows) if (row.shard === shard && id > highest) highest = id;
    known.highestIds.set(shard, highest);
    this.#highestBefore = highest;
  }

  /** The process has loaded everything, from that time of its own on. */
  loaded(fromMs: number): void {
    this.#tries.loaded(fromMs);
  }

  // ---- connections

  /** A consumer has connected to that queue. */
  connects(connection: number, queue: string): void {
    this.#known.queueOf.set(connection, queue);
  }

  /** The server knows that the connection is over. */
  ended(connection: number): void {
    this.#note(`-- ${connection} is over`);
    for (const chunk of this.#holders.ended(connection)) {
      if (this.#tries.broke(chunk)) this.#mayEnd(chunk.submissionId);
    }
  }

  /** This is about to arrive at the server, on a connection that is open. */
  arrives(connection: number, bytes: Uint8Array): void {
    const message = decodeClientMessage(bytes);
    this.#note(() => `<- ${connection} ${describe(message)}`);
    switch (message.kind) {
      case 'reserve':
        this.#asked.set(`${connection} ${message.nonce}`, message.strategy);
        break;
      case 'complete':
        this.#holders.answered(connection, message.chunk);
        if (!this.#isOfItsQueue(connection, message.chunk)) break;
        this.#known.history.completed(message.chunk);
        this.#holders.done(message.chunk);
        break;
      case 'fail':
        this.#holders.answered(connection, message.chunk);
        if (!this.#holders.givenBack(connection, message.chunk)) break;
        if (this.#tries.failed(message.chunk, message.retryable === false)) {
          this.#mayEnd(message.chunk.submissionId);
        }
        break;
      case 'extend':
        for (const chunk of message.chunks) this.#holders.extended(connection, chunk, this.#nowMs);
        break;
      case 'release':
        for (const chunk of message.chunks) this.#holders.givenBack(connection, chunk);
        break;
    }
  }

  /** Whether a connection and a chunk belong to the same queue, as far as is known. */
  #isOfItsQueue(connection: number, { submissionId }: ChunkId): boolean {
    const { database, queueOf } = this.#known;
    const row = database.rows.get(submissionId);
    return row === undefined || queueOf.get(nameOf(row) ?? '') === queueOf.get(connection);
  }

  // ---- chunks

  /** The server decides to hand out a chunk, whenever its message leaves. */
  decided(connection: number, chunk: ChunkId): void {
    const { pauses, database } = this.#known;
    const row = database.rows.get(chunk.submissionId);
    pauses.mustNotHold(chunk.submissionId, row, this.#o.clock.nowMs());
    this.#tries.mustNotWait(chunk);
    this.#decided.set(`${connection} ${key(chunk)}`, this.#tries.retriesOf(chunk));
  }

  /** The server takes a chunk away from a consumer, which may not have heard of it yet. */
  expires(connection: number, chunk: ChunkId): void {
    this.#note(() => `!! ${connection} ${key(chunk)} expires`);
    this.#holders.expires(connection, chunk, this.#nowMs);
    if (this.#tries.failed(chunk)) this.#mayEnd(chunk.submissionId);
  }

  /** The server sends this to a consumer. */
  sent(connection: number, bytes: Uint8Array, modern: boolean): void {
    const message = decodeServerMessage(bytes);
    this.#note(() => `-> ${connection} ${describe(message)}`);
    this.#mustOwn(() => `${describe(message)} is sent to ${connection}`);
    if (message.kind === 'expired') this.#holders.expiryTold(connection, message.chunk, modern);
    if (message.kind === 'dropped') this.#holders.done(message.chunk);
    if (message.kind !== 'reserved') return;
    const strategy = this.#asked.get(`${connection} ${message.nonce}`);
    for (const handedOut of message.chunks) this.#handsOut(connection, handedOut, strategy);
  }

  #handsOut(connection: number, handedOut: HandedOut, strategy: Strategy | undefined): void {
    const { chunk, retries, inputContent } = handedOut;
    const { rows } = this.#known.database;
    const name = key(chunk);
    this.#known.handOuts++;
    const row = rows.get(chunk.submissionId);
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
    must(!isDoneOnDisk(rows, chunk), () => `${name} is handed out, but its completion is on disk`);
    must(
      !row.failed.has(chunk.chunkIndex) || this.#retries.isPending(chunk.submissionId),
      () => `${name} is handed out, but it is set aside on disk and nobody retried it`,
    );
    this.#holders.handedOut(connection, chunk);
    const decision = `${connection} ${name}`;
    // Made for this consumer when it was decided, perhaps before a retry.
    const expected = this.#decided.get(decision);
    must(
      retries === expected,
      () => `${name} is handed out with ${retries} tries counted; it has had ${expected}`,
    );
    this.#decided.delete(decision);
    must(
      strategy === undefined || selects(strategy, row.record.strategicMetadata),
      () => `${name} is handed out to ${connection}, which did not select it`,
    );
    this.#mustBeLicensed(chunk.submissionId);
  }

  #mustBeLicensed(id: SubmissionId): void {
    const { licencesMax } = this.#known;
    if (licencesMax === null) return;
    const licence = this.#licenceOf(id);
    if (licence === null) return;
    let count = 0;
    for (const held of this.#holders.submissions()) {
      if (!this.#mayHaveEnded(held) && this.#licenceOf(held) === licence) count++;
    }
    must(count <= licencesMax, () => `${count} chunks of licence ${licence} are in flight`);
  }

  /** A deadline ends it by itself, which nobody hears of before that is on disk. */
  #mayHaveEnded(id: SubmissionId): boolean {
    const { mayHaveEnded, database } = this.#known;
    return mayHaveEnded.has(id) || (database.rows.get(id)?.control.deadlineMs ?? null) !== null;
  }

  /** Each queue counts for itself. */
  #licenceOf(id: SubmissionId): string | null {
    const record = this.#known.database.rows.get(id)?.record;
    const licence = record?.strategicMetadata.get('licence');
    return licence === undefined ? null : `${licence} of queue "${record?.queue}"`;
  }

  // ---- what producers are told

  insertAcknowledged(id: SubmissionId, told: Told): void {
    this.#mustOwn(`the insert of ${told.name} is acknowledged`);
    if (this.#isForgotten(id)) return;
    this.#note(`inserted ${id}: ${told.name}, ${told.chunks} chunks`);
    must(
      this.#idsBefore.has(id) || id > this.#highestBefore,
      `the new id ${id} is below ${this.#highestBefore}, which a process before gave out`,
    );
    this.#known.history.insertAcknowledged(id, told);
  }

  cancelAcknowledged(id: SubmissionId): void {
    this.#mustOwn(`the cancellation of ${id} is acknowledged`);
    if (this.#isForgotten(id)) return;
    this.#note(`cancelled ${id}`);
    this.#known.history.cancelAcknowledged(id);
  }

  /** Something was asked in another queue than that of the submission, which is unknown there. */
  elsewhere(id: SubmissionId, isKnown: boolean): void {
    must(!isKnown, `${id} is known in another queue than its own`);
  }

  /** A producer is told that there is no such submission. */
  unknownSeen(id: SubmissionId): void {
    this.#mustOwn(`${id} is told as unknown`);
    must(this.#isForgotten(id), `the acknowledged submission ${id} is unknown`);
  }

  statusSeen(id: SubmissionId, state: string): void {
    this.#mustOwn(`${id} is told as ${state}`);
    if (!this.#isForgotten(id)) this.#known.history.statusSeen(id, state);
  }

  /** A producer is told that these chunks are done. */
  progressSeen(id: SubmissionId, chunks: Iterable<number>): void {
    this.#mustOwn(`the progress of ${id} is told`);
    if (!this.#isForgotten(id)) this.#known.history.progressSeen(id, chunks);
  }

  /** @param resumesAsked as of when it was asked for */
  pauseAcknowledged(what: string, cause: string, resumesAsked: number): void {
    this.#mustOwn(`the pause of ${what} for ${cause} is acknowledged`);
    if (this.#known.pauses.acknowledged(what, cause, resumesAsked)) this.#note(`paused ${what} ${cause}`);
  }

  /**
   * Somebody is about to ask for a retry. `isInPlace`: something of a submission in progress has failed, and the queue
   * takes the retry: all its tries begin anew at once.
   */
  retryAsked(id: SubmissionId, isInPlace: boolean): RetryAsked {
    this.#known.history.retryAsked(id);
    this.#note(`retry ${id}${isInPlace ? ' in place' : ''}`);
    if (!isInPlace) return { id, inPlace: null };
    this.#tries.forget(id);
    return { id, inPlace: this.#retries.made(id) };
  }

  retryAcknowledged({ id, inPlace }: RetryAsked, chunks: number): void {
    this.#mustOwn(`the retry of ${id} is acknowledged`);
    if (this.#isForgotten(id) || chunks === 0) return;
    this.#note(`retried ${id}`);
    must(this.#known.database.rows.has(id), `the retry of ${id} is acknowledged, but it is gone`);
    must(
      inPlace === null || this.#retries.isCommitted(id, inPlace),
      `the retry of ${id} is acknowledged, but not on disk`,
    );
  }

  // ---- the disk

  /** A batch of it took place, for the first time. */
  committed(mutations: readonly Mutation[]): void {
    for (const mutation of mutations) {
      if (mutation.kind === 'end') this.#mustHaveAReason(mutation.id, mutation.end);
      if (mutation.kind === 'failed_chunk' && mutation.failure !== null) {
        const { id: submissionId, chunkIndex, failure } = mutation;
        this.#tries.givenUp({ submissionId, chunkIndex }, failure);
      }
      if (mutation.kind === 'retry' && !this.#retries.committed(mutation.id)) this.#opensAgain(mutation.id);
      if (mutation.kind === 'direct_output') {
        const { id: submissionId, chunkIndex, content } = mutation;
        this.#known.history.outputWritten({ submissionId, chunkIndex }, content);
      }
      if (mutation.kind === 'page') this.#known.history.mustHaveOutputs(mutation.id);
    }
  }

  /** Nothing of what had ended has been handed out since. */
  #opensAgain(id: SubmissionId): void {
    this.#tries.forget(id);
    this.#holders.opensAgain(id);
    this.#known.mayHaveEnded.delete(id);
  }

  /** A submission fails by a chunk that has had its tries, or completes when all chunks are done or set aside. */
  #mustHaveAReason(id: SubmissionId, end: SubmissionEnd): void {
    const row = this.#known.database.rows.get(id);
    if (row === undefined) return;
    if (end.state === 'failed') {
      const { chunkIndex, failure } = end.failedChunk;
      this.#tries.givenUp({ submissionId: id, chunkIndex }, failure);
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

  get #nowMs(): number {
    return this.#o.clock.monotonicMs();
  }

  #note(what: string | (() => string)): void {
    this.#known.trace.note(what);
  }

  #isForgotten(id: SubmissionId): boolean {
    return this.#known.history.forgotten.has(id);
  }

  #mayEnd(id: SubmissionId): void {
    this.#known.mayHaveEnded.add(id);
  }

  /** What only the owner of the store may say. */
  #mustOwn(what: string | (() => string)): void {
    const { epoch, node } = this.#o;
    const { database, spoken } = this.#known;
    const shard = database.shard(this.#o.shard);
    const last = spoken.get(this.#o.shard) ?? 0;
    const told = () => `${typeof what === 'string' ? what : what()} by owner ${epoch}`;
    must(epoch >= last, () => `${told()}, but owner ${last} has spoken`);
    spoken.set(this.#o.shard, epoch);
    if (node === null) {
      must(shard.epoch === epoch, () => `${told()}; it is ${shard.epoch} now`);
      return;
    }
    const { lease } = shard;
    must(lease !== null, () => `${told()}, which gave its lease away`);
    // A claim of its own that comes late fences it at its next commit, but nobody else acts meanwhile.
    must(
      shard.epoch === epoch || lease?.holder === node,
      () => `${told()}; it is ${shard.epoch} now, ${lease?.holder}`,
    );
    const overMs = this.#known.elapsedMs() - (lease?.endsMs ?? 0);
    must(overMs < 0, () => `${told()}, whose lease has been over for ${overMs} ms`);
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
