import { ChunkSet } from '../../src/model/chunk-set.ts';
import type { ChunkId, SubmissionId } from '../../src/model/ids.ts';
import type { Strategy } from '../../src/model/strategy.ts';
import type { SubmissionEnd } from '../../src/model/submission.ts';
import { decodeClientMessage, decodeServerMessage } from '../../src/protocol/consumer/codec.ts';
import type { ClientMessage, ServerMessage } from '../../src/protocol/consumer/types.ts';
import type { MemoryDatabase } from '../../src/store/memory/memory-store.ts';
import type { CommitBatch } from '../../src/store/store.ts';

type Row = MemoryDatabase['rows'] extends Map<unknown, infer R> ? R : never;

const TRACE_MAX = 60;
/** The wall clock of a process may leap ahead by this for a moment. */
const WALL_LEAP_MS = 5_010;

/** What a process counts by. */
export interface Limits {
  readonly chunkRetriesMax: number;
  /** 0: never. */
  readonly chunkDisconnectsMax: number;
  readonly disconnectFadesAfterMs: number;
  readonly reservationExpirationMs: number;
}

/** Something that must never happen has happened. */
export class Violation extends Error {
  override name = 'Violation';
}

export function key({ submissionId, chunkIndex }: ChunkId): string {
  return `${submissionId}/${chunkIndex}`;
}

/** What a producer told of its submission when it inserted it. */
export interface Told {
  readonly queue: string;
  /** The prefix, or the idempotency key of a direct one. */
  readonly name: string;
  readonly chunks: number;
  readonly isDirect: boolean;
}

/** What a direct submission has for a chunk. */
export function inputOf({ name }: Told, chunkIndex: number): Uint8Array {
  return Buffer.from(`${name}/${chunkIndex}`);
}

/** What a consumer makes of it. */
export function outputOf(input: Uint8Array): Uint8Array {
  return Buffer.concat([input, Buffer.from('!')]);
}

/**
 * Watches one server process from outside - what arrives at it, what leaves it, what is on disk - and knows what
 * must hold. It shares no code with what it judges.
 */
export class Oracle {
  readonly #database: MemoryDatabase;
  readonly #elapsedMs: () => number;
  #limits: Limits | null = null;
  /** When connections ended that held a chunk, running or not. */
  #breaks = new Map<string, number[]>();
  /** When a chunk that failed may be handed out again, at the earliest. */
  #notBeforeMs = new Map<string, number>();
  /** Chunks of which a consumer said that another try is of no use. */
  #hopeless = new Set<string>();
  /** Who holds what, of this process: chunk -> connection. */
  #holders = new Map<string, number>();
  /** When its holder last said that it works on a chunk. */
  #extendedMs = new Map<string, number>();
  /** Expired chunks that their old-style connection has not answered for yet. */
  #barred = new Set<string>();
  #expiriesToTell = new Set<string>();
  /** Tries of this process and of what it loaded. */
  #retries = new Map<string, number>();
  /** Chunks whose completion arrived at any process. */
  readonly completionsSeen = new Set<string>();
  /** Chunks whose completion was on disk once. */
  readonly #doneOnDisk = new Map<SubmissionId, ChunkSet>();
  /** The queue of each connection, and of each submission by its name. */
  readonly #queueOf = new Map<number | string, string>();
  readonly acknowledgedInserts = new Map<SubmissionId, Told>();
  insertsTotal = 0;
  /** Ended, and then cleaned up. */
  readonly forgotten = new Set<SubmissionId>();
  readonly acknowledgedCancels = new Set<SubmissionId>();
  readonly endsSeen = new Map<SubmissionId, string>();
  handOuts = 0;
  /** How many chunks of a value of `licence` may be in flight, in a run where everybody keeps to that. */
  licencesMax: number | null = null;
  /** What the reservations of a connection asked for. */
  #asked = new Map<string, Strategy>();
  /** Causes of pauses that hold for certain: acknowledged, and no resume asked for since. By id, or `queue NAME`, `server`. */
  readonly #pauses = new Map<string, Set<string>>();
  readonly #resumesAsked = new Map<string, number>();
  /** What the wall clock of the process shows. */
  #wallMs: () => number = () => 0;
  /** The server may have ended them, and taken back their chunks, although that is not on disk yet. */
  readonly #mayHaveEnded = new Set<SubmissionId>();
  /** What happened last, for the report of a failure. */
  readonly trace: string[] = [];
  /** A retry of them was asked of this process; and of any. */
  #retriesAsked = new Set<SubmissionId>();
  readonly #everRetried = new Set<SubmissionId>();
  /** Retries whose commit is still to come. */
  #isInPlace = new Set<SubmissionId>();
  /** Ids on disk when the process took over: its own are higher. */
  #idsBefore = new Set<SubmissionId>();
  #highestBefore = 0n;

  constructor(database: MemoryDatabase, elapsedMs: () => number) {
    this.#database = database;
    this.#elapsedMs = elapsedMs;
  }

  /** A new process has taken over: reservations are forgotten, the rest is what is on disk. */
  restarted(limits: Limits, wallMs: () => number): void {
    this.#limits = limits;
    this.#wallMs = wallMs;
    this.#breaks = new Map();
    this.#hopeless = new Set();
    this.#notBeforeMs = new Map();
    this.#retriesAsked = new Set();
    this.#isInPlace = new Set();
    this.#holders = new Map();
    this.#asked = new Map();
    this.#extendedMs = new Map();
    this.#barred = new Set();
    this.#expiriesToTell = new Set();
    this.#retries = new Map();
    for (const [id, row] of this.#database.rows) {
      for (const [chunkIndex, tries] of row.tries) {
        const name = key({ submissionId: id, chunkIndex });
        this.#retries.set(name, tries.retries);
        this.#waits(name, row, tries.retries);
        this.#breaks.set(name, Array<number>(tries.disconnects).fill(this.#elapsedMs()));
      }
    }
    this.#idsBefore = new Set(this.#database.rows.keys());
    for (const id of this.#idsBefore) if (id > this.#highestBefore) this.#highestBefore = id;
    this.note('the queue starts');
    this.checkDisk();
  }

  /**
   * The process has loaded everything. What counted on disk is for it as old as its loading of that submission, which is
   * not seen from here: now at the latest.
   */
  loaded(): void {
    for (const times of this.#breaks.values()) times.fill(this.#elapsedMs());
  }

  /** A consumer has connected to that queue. */
  connects(connection: number, queue: string): void {
    this.#queueOf.set(connection, queue);
  }

  /** A producer is about to insert it. */
  inserts({ name, queue }: Told): void {
    this.#queueOf.set(name, queue);
  }

  /** Somebody asks for a resume: from now on a pause of that cause need not hold. */
  resumeAsked(what: string, cause: string): void {
    const name = `${what} ${cause}`;
    this.note(`resume ${name}`);
    this.#resumesAsked.set(name, this.resumesAskedOf(what, cause) + 1);
    this.#pauses.get(what)?.delete(cause);
  }

  resumesAskedOf(what: string, cause: string): number {
    return this.#resumesAsked.get(`${what} ${cause}`) ?? 0;
  }

  /** @param resumesAsked as of when it was asked for */
  pauseAcknowledged(what: string, cause: string, resumesAsked: number): void {
    if (this.resumesAskedOf(what, cause) !== resumesAsked) return;
    this.note(`paused ${what} ${cause}`);
    this.#pauses.set(what, (this.#pauses.get(what) ?? new Set()).add(cause));
  }

  /** The server decides to hand out a chunk, whenever its message leaves. */
  decided({ submissionId }: ChunkId): void {
    const row = this.#database.rows.get(submissionId);
    for (const what of [String(submissionId), `queue ${row?.record.queue}`, 'server']) {
      const causes = [...(this.#pauses.get(what) ?? [])].join(', ');
      this.#must(causes === '', `${submissionId} is handed out, but ${what} is paused for ${causes}`);
    }
    const { startAfterMs = null } = row?.control ?? {};
    this.#must(
      startAfterMs === null || this.#wallMs() >= startAfterMs - WALL_LEAP_MS,
      `${submissionId} is handed out ${(startAfterMs ?? 0) - this.#wallMs()} ms before its start`,
    );
  }

  note(what: string): void {
    if (this.trace.push(what) > TRACE_MAX) this.trace.shift();
  }

  /** The server takes a chunk away from a consumer, which may not have heard of it yet. */
  expires(connection: number, chunk: ChunkId): void {
    const name = key(chunk);
    this.note(`!! ${connection} ${name} expires`);
    const holder = this.#holders.get(name);
    this.#must(
      holder === undefined || holder === connection,
      `${name} expires for ${connection}; ${holder} holds it`,
    );
    const lastsMs = this.#elapsedMs() - (this.#extendedMs.get(name) ?? Number.NEGATIVE_INFINITY);
    this.#must(
      holder === undefined || lastsMs >= (this.#limits?.reservationExpirationMs ?? 0) - 1,
      `${name} expires for ${connection}, which extended it ${lastsMs} ms ago`,
    );
    this.#countTry(name);
    if (holder === undefined) return;
    this.#holders.delete(name);
    this.#expiriesToTell.add(`${connection} ${name}`);
  }

  /** The server sends this to a consumer. */
  sent(connection: number, bytes: Uint8Array, modern: boolean): void {
    const message = decodeServerMessage(bytes);
    this.note(`-> ${connection} ${describe(message)}`);
    if (message.kind === 'expired') {
      const name = key(message.chunk);
      const isDue = this.#expiriesToTell.delete(`${connection} ${name}`);
      this.#must(isDue, `${connection} is told that ${name} expired, which it did not hold`);
      if (!modern) this.#barred.add(`${connection} ${name}`);
    }
    if (message.kind === 'dropped') this.#holders.delete(key(message.chunk));
    if (message.kind !== 'reserved') return;
    const strategy = this.#asked.get(`${connection} ${message.nonce}`);
    for (const { chunk, retries, inputContent } of message.chunks) {
      const name = key(chunk);
      this.handOuts++;
      const row = this.#database.rows.get(chunk.submissionId);
      this.#must(row !== undefined, `${name} is handed out before its insert is on disk`);
      this.#must(
        this.#isOfItsQueue(connection, chunk),
        `${name} is handed out to ${connection}, a consumer of another queue`,
      );
      this.#must(
        sameBytes(inputContent, row?.inputs[chunk.chunkIndex] ?? null),
        `${name} is handed out with another input`,
      );
      this.#must(row?.end === null, `${name} is handed out, but its submission has ended on disk`);
      this.#must(!this.#isDoneOnDisk(chunk), `${name} is handed out, but its completion is on disk`);
      this.#must(
        row?.failed.has(chunk.chunkIndex) !== true || this.#retriesAsked.has(chunk.submissionId),
        `${name} is handed out, but it is set aside on disk and nobody retried it`,
      );
      const holder = this.#holders.get(name);
      this.#must(holder === undefined, `${name} is handed out to ${connection}, but ${holder} holds it`);
      this.#must(
        !this.#barred.has(`${connection} ${name}`),
        `${name} is handed out to ${connection}, which has not answered its expiry`,
      );
      const expected = this.#retries.get(name) ?? 0;
      this.#must(
        retries === expected,
        `${name} is handed out with ${retries} tries counted; it has had ${expected}`,
      );
      this.#must(
        this.#elapsedMs() >= (this.#notBeforeMs.get(name) ?? 0),
        `${name} is handed out to ${connection} before its wait is over`,
      );
      this.#must(
        strategy === undefined || row === undefined || selects(strategy, row.record.strategicMetadata),
        `${name} is handed out to ${connection}, which did not select it`,
      );
      this.#holders.set(name, connection);
      this.#extendedMs.delete(name);
      this.#mustBeLicensed(chunk.submissionId);
    }
  }

  /** Acknowledged submissions of which something has failed, on disk. */
  failedOnDisk(): SubmissionId[] {
    return [...this.acknowledgedInserts.keys()].filter((id) => {
      const row = this.#database.rows.get(id);
      return row !== undefined && (row.failed.size > 0 || row.end?.state === 'failed');
    });
  }

  /** Somebody is about to ask for a retry. How it ended, if it had failed, is not its end any more. */
  retryAsked(id: SubmissionId): void {
    this.note(`retry ${id}`);
    this.#retriesAsked.add(id);
    this.#everRetried.add(id);
    if (isFailure(this.endsSeen.get(id))) this.endsSeen.delete(id);
  }

  /** A submission in progress has its tries anew, and its chunks in flight go on. */
  retriedInPlace(id: SubmissionId): void {
    this.#isInPlace.add(id);
    this.note(`retried in place ${id}`);
    this.#forgetTries(id);
  }

  retryAcknowledged(id: SubmissionId, chunks: number): void {
    if (this.forgotten.has(id) || chunks === 0) return;
    this.note(`retried ${id}`);
    this.#must(this.#database.rows.has(id), `the retry of ${id} is acknowledged, but it is gone`);
  }

  /** It had ended, and took back what was in flight: old clients were not told. */
  #opensAgain(id: SubmissionId): void {
    this.#forgetTries(id);
    for (const name of this.#holders.keys()) if (name.startsWith(`${id}/`)) this.#holders.delete(name);
    for (const bar of this.#barred) if (bar.includes(` ${id}/`)) this.#barred.delete(bar);
    this.#mayHaveEnded.delete(id);
  }

  #forgetTries(id: SubmissionId): void {
    for (const known of [this.#retries, this.#breaks, this.#notBeforeMs]) {
      for (const name of known.keys()) if (name.startsWith(`${id}/`)) known.delete(name);
    }
    for (const name of this.#hopeless) if (name.startsWith(`${id}/`)) this.#hopeless.delete(name);
  }

  /** The server may end it from now on. */
  mayEnd(id: SubmissionId): void {
    this.#mayHaveEnded.add(id);
  }

  #mustBeLicensed(id: SubmissionId): void {
    if (this.licencesMax === null) return;
    // Each queue counts for itself.
    const licenceOf = (id: SubmissionId) => {
      const record = this.#database.rows.get(id)?.record;
      return `${record?.strategicMetadata.get('licence')} of queue "${record?.queue}"`;
    };
    const licence = licenceOf(id);
    if (this.#database.rows.get(id)?.record.strategicMetadata.has('licence') !== true) return;
    let count = 0;
    for (const name of this.#holders.keys()) {
      const held = BigInt(name.split('/')[0]!);
      if (!this.#mayHaveEnded.has(held) && licenceOf(held) === licence) count++;
    }
    this.#must(count <= this.licencesMax, `${count} chunks of licence ${licence} are in flight`);
  }

  /** This is about to arrive at the server, on a connection that is open. */
  arrives(connection: number, bytes: Uint8Array): void {
    const message = decodeClientMessage(bytes);
    this.note(`<- ${connection} ${describe(message)}`);
    if (message.kind === 'reserve') this.#asked.set(`${connection} ${message.nonce}`, message.strategy);
    if (message.kind === 'complete' || message.kind === 'fail') {
      this.#barred.delete(`${connection} ${key(message.chunk)}`);
    }
    if (message.kind === 'complete' && !this.#isOfItsQueue(connection, message.chunk)) return;
    if (message.kind === 'complete') {
      this.completionsSeen.add(key(message.chunk));
      this.#holders.delete(key(message.chunk));
    } else if (message.kind === 'fail') {
      const name = key(message.chunk);
      if (this.#holders.get(name) !== connection) return;
      this.#holders.delete(name);
      this.#countTry(name);
      if (message.retryable === false) {
        this.#hopeless.add(name);
        this.mayEnd(message.chunk.submissionId);
      }
    } else if (message.kind === 'extend') {
      for (const chunk of message.chunks) {
        if (this.#holders.get(key(chunk)) === connection) this.#extendedMs.set(key(chunk), this.#elapsedMs());
      }
    } else if (message.kind === 'release') {
      for (const chunk of message.chunks) {
        if (this.#holders.get(key(chunk)) === connection) this.#holders.delete(key(chunk));
      }
    }
  }

  /** The server knows that the connection is over. */
  ended(connection: number): void {
    this.note(`-- ${connection} is over`);
    for (const [name, holder] of this.#holders) {
      if (holder !== connection) continue;
      this.#holders.delete(name);
      this.#breaks.set(name, [...(this.#breaks.get(name) ?? []), this.#elapsedMs()]);
      const most = this.#limits?.chunkDisconnectsMax ?? 0;
      if (most > 0 && this.#breaks.get(name)!.length >= most) this.mayEnd(BigInt(name.split('/')[0]!));
    }
  }

  insertAcknowledged(id: SubmissionId, told: Told): void {
    if (this.forgotten.has(id)) return;
    const row = this.#database.rows.get(id);
    this.#must(row !== undefined, `the insert of ${id} is acknowledged, but not on disk`);
    const name = row?.record.prefix ?? row?.idempotencyKey;
    this.#must(row?.record.queue === told.queue, `${told.name} is in the queue "${row?.record.queue}"`);
    this.#must(name === told.name, `the insert of ${told.name} is answered with the id ${id} of ${name}`);
    this.#must(
      this.#idsBefore.has(id) || id > this.#highestBefore,
      `the new id ${id} is below ${this.#highestBefore}, which a process before gave out`,
    );
    this.note(`inserted ${id}: ${told.name}, ${told.chunks} chunks`);
    if (!this.acknowledgedInserts.has(id)) this.insertsTotal++;
    this.acknowledgedInserts.set(id, told);
  }

  cancelAcknowledged(id: SubmissionId): void {
    if (this.forgotten.has(id)) return;
    this.#must(
      this.#database.rows.get(id)?.end?.state === 'cancelled',
      `the cancellation of ${id} is acknowledged, but not on disk`,
    );
    this.note(`cancelled ${id}`);
    this.acknowledgedCancels.add(id);
    this.endsSeen.set(id, 'cancelled');
  }

  /** Something was asked in another queue than that of the submission, which is unknown there. */
  elsewhere(id: SubmissionId, isKnown: boolean): void {
    this.#must(!isKnown, `${id} is known in another queue than its own`);
  }

  /** A producer is told that there is no such submission. */
  unknownSeen(id: SubmissionId): void {
    this.#must(this.forgotten.has(id), `the acknowledged submission ${id} is unknown`);
  }

  /** What has ended may be forgotten, nothing else. */
  async cleaningUp(run: () => Promise<number>): Promise<number> {
    const before = new Map(this.#database.rows);
    const count = await run();
    for (const [id, row] of before) {
      if (this.#database.rows.has(id)) continue;
      this.#must(row.end !== null, `${id} is forgotten, but has not ended`);
      this.note(`forgotten ${id}`);
      this.forgotten.add(id);
      this.acknowledgedInserts.delete(id);
    }
    return count;
  }

  statusSeen(id: SubmissionId, state: string): void {
    if (this.forgotten.has(id)) return;
    // It may have been opened again since.
    if (this.#everRetried.has(id) && (isFailure(state) || state === 'in_progress')) return;
    const seen = this.endsSeen.get(id);
    this.#must(seen === undefined || seen === state, `${id} was ${seen} and is ${state} now`);
    if (state === 'in_progress') return;
    this.#must(
      this.#database.rows.get(id)?.end?.state === state,
      `${id} is told as ${state}, but that is not on disk`,
    );
    this.endsSeen.set(id, state);
  }

  /** A producer is told that these chunks are done. */
  progressSeen(id: SubmissionId, chunks: Iterable<number>): void {
    if (this.forgotten.has(id)) return;
    for (const chunkIndex of chunks) {
      this.#must(
        this.#isDoneOnDisk({ submissionId: id, chunkIndex }),
        `${id}/${chunkIndex} is told as done, but that is not on disk`,
      );
    }
  }

  /** No crash may leave a chunk that is done and has no output. */
  committed({ mutations }: CommitBatch): void {
    for (const mutation of mutations) {
      if (mutation.kind === 'end') this.#mustHaveAReason(mutation.id, mutation.end);
      if (mutation.kind === 'failed_chunk' && mutation.failure !== null) {
        this.#mustHaveHadItsTries(mutation.id, mutation.chunkIndex, mutation.failure);
      }
      // Nothing of what had ended has been handed out since.
      if (mutation.kind === 'retry' && !this.#isInPlace.delete(mutation.id)) this.#opensAgain(mutation.id);
      if (mutation.kind !== 'page') continue;
      const row = this.#database.rows.get(mutation.id);
      if (row === undefined || row.record.prefix !== null) continue;
      for (const chunkIndex of doneOf(row)) this.#mustHaveOutput(mutation.id, chunkIndex);
    }
  }

  /** What is on disk, against what was ever seen: nothing lost, nothing made up. */
  checkDisk(): void {
    for (const [id, { name, chunks }] of this.acknowledgedInserts) {
      const row = this.#database.rows.get(id);
      this.#must(row !== undefined, `the acknowledged submission ${id} is gone`);
      this.#must(
        (row?.record.prefix ?? row?.idempotencyKey) === name && row?.record.chunksTotal === chunks,
        `the submission ${id} is another one now`,
      );
      const seen = this.endsSeen.get(id);
      this.#must(
        seen === undefined || row?.end?.state === seen,
        `${id} was ${seen} and is ${row?.end?.state} on disk`,
      );
    }
    for (const [id, row] of this.#database.rows) {
      if (row.end?.state === 'completed') {
        for (let chunkIndex = 0; chunkIndex < row.record.chunksTotal; chunkIndex++) {
          this.#mustBeSeen({ submissionId: id, chunkIndex });
          this.#mustHaveOutput(id, chunkIndex);
        }
        continue;
      }
      const done = doneOf(row);
      for (const chunkIndex of done) {
        this.#mustBeSeen({ submissionId: id, chunkIndex });
        this.#mustHaveOutput(id, chunkIndex);
      }
      for (const chunkIndex of this.#doneOnDisk.get(id) ?? []) {
        this.#must(done.has(chunkIndex), `the completion of ${id}/${chunkIndex} was on disk and is gone`);
      }
      this.#doneOnDisk.set(id, done);
    }
  }

  /** A submission fails by a chunk that has had its tries, or completes when all chunks are done or set aside. */
  #mustHaveAReason(id: SubmissionId, end: SubmissionEnd): void {
    const row = this.#database.rows.get(id);
    if (row === undefined) return;
    if (end.state === 'failed') {
      this.#mustHaveHadItsTries(id, end.failedChunk.chunkIndex, end.failedChunk.failure);
      this.#must(row.record.failureMode === 'fail', `${id} collects failures, and has failed`);
    }
    if (end.state !== 'completed_with_failures' || row.end !== end) return;
    const done = doneOf(row);
    const failed = [...row.failed.keys()].filter((index) => !done.has(index));
    this.#must(
      failed.length > 0 && done.count + failed.length === row.record.chunksTotal,
      `${id} has ended: ${done.count} chunks are done and ${failed.length} set aside of ${row.record.chunksTotal}`,
    );
    this.#must(failed.includes(end.failedChunk.chunkIndex), `${id} names a chunk that has not failed`);
  }

  /** A chunk is given up after its tries, and for nothing else. */
  #mustHaveHadItsTries(id: SubmissionId, chunkIndex: number, failure: string): void {
    const row = this.#database.rows.get(id);
    // Forgotten between its commit and this look: how many tries it had is not known any more.
    if (row === undefined || this.#limits === null || this.#everRetried.has(id)) return;
    const name = key({ submissionId: id, chunkIndex });
    const { chunkRetriesMax, chunkDisconnectsMax, disconnectFadesAfterMs } = this.#limits;
    if (failure.startsWith('The connection of the consumer broke')) {
      const breaks = mostWithin(disconnectFadesAfterMs, this.#breaks.get(name) ?? []);
      this.#must(
        chunkDisconnectsMax > 0 && breaks >= chunkDisconnectsMax,
        `${id} failed by broken connections under ${name}: ${breaks} of ${chunkDisconnectsMax}`,
      );
      return;
    }
    const tries = this.#retries.get(name) ?? 0;
    const triesMax = row.record.retry?.triesMax ?? chunkRetriesMax;
    this.#must(
      this.#hopeless.has(name) || tries >= triesMax,
      `${id} failed by ${name} after ${tries} of ${triesMax} tries`,
    );
  }

  #mustBeSeen(chunk: ChunkId): void {
    const name = key(chunk);
    if (!this.completionsSeen.has(name))
      throw new Violation(`${name} is done on disk, but nobody completed it`);
  }

  #mustHaveOutput(id: SubmissionId, chunkIndex: number): void {
    const row = this.#database.rows.get(id)!;
    if (row.record.prefix !== null) return;
    const input = row.inputs[chunkIndex]!;
    if (sameBytes(row.outputs.get(chunkIndex) ?? null, outputOf(input))) return;
    throw new Violation(`${id}/${chunkIndex} is done on disk, but its output is not there`);
  }

  /** Whether a connection and a chunk belong to the same queue, as far as is known. */
  #isOfItsQueue(connection: number, { submissionId }: ChunkId): boolean {
    const row = this.#database.rows.get(submissionId);
    const name = row?.record.prefix ?? row?.idempotencyKey ?? '';
    return row === undefined || this.#queueOf.get(name) === this.#queueOf.get(connection);
  }

  #isDoneOnDisk({ submissionId, chunkIndex }: ChunkId): boolean {
    const row = this.#database.rows.get(submissionId);
    if (row === undefined) return false;
    if (row.end?.state === 'completed') return true;
    const content = row.pages.get(ChunkSet.pageOf(chunkIndex));
    if (content === undefined || content === 'empty') return false;
    if (content === 'full') return true;
    return (content[(chunkIndex & 4095) >> 3]! & (1 << (chunkIndex & 7))) !== 0;
  }

  #countTry(name: string): void {
    const retries = (this.#retries.get(name) ?? 0) + 1;
    this.#retries.set(name, retries);
    const row = this.#database.rows.get(BigInt(name.split('/')[0]!));
    if (row === undefined) return;
    if (retries >= (row.record.retry?.triesMax ?? this.#limits?.chunkRetriesMax ?? 0))
      this.mayEnd(row.record.id);
    // The first retry is at once where another consumer can take it.
    if (retries === 1 && row.record.retry !== null)
      this.#notBeforeMs.set(name, this.#elapsedMs() + row.record.retryDelayMs - 1);
    else this.#waits(name, row, retries);
  }

  /** A chunk has failed so often: it is not handed out before the shortest wait of its submission. */
  #waits(name: string, { record }: Row, retries: number): void {
    if (retries === 0) return;
    const { retry, retryDelayMs } = record;
    let leastMs = retryDelayMs;
    if (retry !== null) {
      let stepMs = retry.delayMs;
      for (let i = 1; i < retries; i++) stepMs = Math.min(stepMs * retry.factor, retry.delayMsMax);
      leastMs = Math.max(leastMs, Math.min(stepMs, retry.delayMsMax) * (1 - retry.jitter));
    }
    this.#notBeforeMs.set(name, this.#elapsedMs() + leastMs - 1);
  }

  #must(condition: boolean, what: string): void {
    if (!condition) throw new Violation(what);
  }
}

/** An end that a retry takes back. */
function isFailure(state: string | undefined): boolean {
  return state === 'failed' || state === 'completed_with_failures';
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

/** How many of these times, ascending, lie at most that far apart. */
function mostWithin(ms: number, times: readonly number[]): number {
  return Math.max(
    0,
    ...times.map((lastMs, i) => times.slice(0, i + 1).filter((atMs) => lastMs - atMs <= ms).length),
  );
}

function doneOf({ record, pages }: Row): ChunkSet {
  const done = new ChunkSet(record.chunksTotal);
  for (const [page, content] of pages) done.setPage(page, content);
  return done;
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
}

function describe(message: ClientMessage | ServerMessage): string {
  switch (message.kind) {
    case 'reserved':
      return `reserved ${message.chunks.map(({ chunk }) => key(chunk)).join(' ')}`;
    case 'release':
    case 'extend':
      return `${message.kind} ${message.chunks.map(key).join(' ')}`;
    case 'complete':
    case 'fail':
    case 'expired':
    case 'dropped':
      return `${message.kind} ${key(message.chunk)}`;
    default:
      return message.kind;
  }
}
