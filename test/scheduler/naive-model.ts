import type { Strategy } from '../../src/model/strategy.ts';
import type { SubmissionRecord } from '../../src/model/submission.ts';

/** The rules that the model and the scheduler are told. */
export interface ModelLimits {
  readonly reservationExpirationMs: number;
  readonly chunkRetriesMax: number;
  readonly chunkDisconnectsMax: number;
  readonly disconnectDelayMs: number;
  readonly disconnectFadesAfterMs: number;
}

export interface ModelConsumer {
  readonly name: string;
  readonly concurrency: number;
  readonly silentOnExpiry: boolean;
  hasAsked: boolean;
}

export interface ModelRequest {
  readonly consumer: ModelConsumer;
  readonly nonce: number;
  readonly max: number;
  readonly strategy: Strategy;
}

interface Chunk {
  readonly submission: ModelSubmission;
  readonly index: number;
  state: 'available' | 'reserved' | 'delayed' | 'done';
  holder: ModelConsumer | null;
  /** When it was handed out, as a number that rises by one. */
  handedOut: number;
  /** The same, but of its last extension, if there was one. */
  expiryOrder: number;
  expiresMs: number;
  dueMs: number;
  retries: number;
  /** When a connection broke under it. */
  disconnects: number[];
  /** As many of them counted when the last one came. */
  disconnectsCounted: number;
  readonly barredFor: Set<ModelConsumer>;
}

interface ModelSubmission {
  readonly record: SubmissionRecord;
  readonly chunks: Chunk[];
  ended: boolean;
}

/**
 * What the scheduler promises, written down as plainly as possible: lists, looked through from end to end. It says what
 * each call leads to; of a reservation it says which chunks are legal, and is told which of them was taken.
 */
export class NaiveModel {
  readonly submissions: ModelSubmission[] = [];
  readonly consumers: ModelConsumer[] = [];
  readonly waiting: ModelRequest[] = [];
  /** What is to be told because of the last call, besides answers to reservations. */
  told: string[] = [];
  isHeld = false;
  readonly #limits: ModelLimits;
  #handedOut = 0;

  constructor(limits: ModelLimits) {
    this.#limits = limits;
  }

  /** `failed`: the chunks that failed once before a restart. */
  insert(
    record: SubmissionRecord,
    done: readonly number[],
    failed: readonly number[],
    nowMs: number,
    draws: readonly number[],
  ): void {
    let drawn = 0;
    const submission: ModelSubmission = { record, chunks: [], ended: false };
    for (let index = 0; index < record.chunksTotal; index++) {
      submission.chunks.push({
        submission,
        index,
        state: done.includes(index) ? 'done' : 'available',
        holder: null,
        handedOut: 0,
        expiryOrder: 0,
        expiresMs: 0,
        dueMs: 0,
        retries: failed.includes(index) ? 1 : 0,
        disconnects: [],
        disconnectsCounted: 0,
        barredFor: new Set(),
      });
    }
    this.submissions.push(submission);
    for (const chunk of submission.chunks) {
      if (chunk.retries === 0 || chunk.state === 'done') continue;
      this.#again(chunk, this.#backOffMs(chunk, isJittered(record) ? draws[drawn++] : undefined), nowMs);
    }
    if (submission.chunks.every((chunk) => chunk.state === 'done')) this.#end(submission, 'completed');
  }

  complete(consumer: ModelConsumer | null, id: bigint, index: number): boolean {
    const chunk = this.#openChunk(id, index);
    if (chunk === undefined) return false;
    if (chunk.holder !== null && chunk.holder !== consumer)
      this.#tell('completed_elsewhere', chunk, chunk.holder);
    chunk.state = 'done';
    chunk.holder = null;
    for (const late of chunk.barredFor) if (late !== consumer) this.#tell('completed_elsewhere', chunk, late);
    chunk.barredFor.clear();
    this.told.push(`page of ${id}`);
    if (chunk.submission.chunks.every((each) => each.state === 'done'))
      this.#end(chunk.submission, 'completed');
    return true;
  }

  fail(
    consumer: ModelConsumer,
    id: bigint,
    index: number,
    failure: { text: string; retryable: boolean; delayMs: number },
    nowMs: number,
    draws: readonly number[],
  ): 'stale' | 'retry' | 'failed' {
    const chunk = this.#openChunk(id, index);
    if (chunk === undefined) return 'stale';
    if (chunk.holder !== consumer) {
      chunk.barredFor.delete(consumer);
      return 'stale';
    }
    chunk.retries++;
    this.#tellTries(chunk);
    if (!failure.retryable || chunk.retries >= this.#triesMax(chunk)) {
      chunk.holder = null;
      this.#end(chunk.submission, `failed at ${index}: ${failure.text}`);
      return 'failed';
    }
    this.#again(chunk, Math.max(failure.delayMs, this.#backOffMs(chunk, draws[0])), nowMs);
    return 'retry';
  }

  release(consumer: ModelConsumer, id: bigint, index: number): boolean {
    const chunk = this.#openChunk(id, index);
    if (chunk === undefined) return false;
    if (chunk.holder !== consumer) {
      chunk.barredFor.delete(consumer);
      return false;
    }
    this.#again(chunk, 0, 0);
    return true;
  }

  extend(consumer: ModelConsumer, id: bigint, index: number, nowMs: number): boolean {
    const chunk = this.#openChunk(id, index);
    if (chunk === undefined || chunk.holder !== consumer) return false;
    chunk.expiresMs = nowMs + this.#limits.reservationExpirationMs;
    chunk.expiryOrder = this.#handedOut++;
    return true;
  }

  /** `draws`: what the scheduler drew for the delays, in turn. */
  removeConsumer(
    consumer: ModelConsumer,
    manner: 'orderly' | 'broken',
    nowMs: number,
    draws: readonly number[],
  ): void {
    this.consumers.splice(this.consumers.indexOf(consumer), 1);
    remove(this.waiting, (request) => request.consumer === consumer);
    for (const chunk of this.#chunks()) chunk.barredFor.delete(consumer);
    const held = this.held()
      .filter((chunk) => chunk.holder === consumer)
      .sort((a, b) => a.handedOut - b.handedOut);
    let drawn = 0;
    for (const [place, chunk] of held.entries()) {
      if (chunk.submission.ended) continue;
      if (manner === 'orderly' || place >= consumer.concurrency) {
        this.#again(chunk, 0, nowMs);
        continue;
      }
      const { chunkDisconnectsMax, disconnectDelayMs, disconnectFadesAfterMs } = this.#limits;
      chunk.disconnects.push(nowMs);
      const count = chunk.disconnects.filter((atMs) => nowMs - atMs <= disconnectFadesAfterMs).length;
      chunk.disconnectsCounted = count;
      this.#tellTries(chunk);
      const stepMs = disconnectDelayMs * 2 ** (count - 2);
      const delayMs = count < 2 ? 0 : stepMs / 2 + (draws[drawn++]! * stepMs) / 2;
      if (chunkDisconnectsMax > 0 && count >= chunkDisconnectsMax) {
        chunk.holder = null;
        const text = 'The connection of the consumer broke while the chunk was running';
        this.#end(chunk.submission, `failed at ${chunk.index}: ${text}`, consumer);
      } else {
        this.#again(chunk, delayMs, nowMs);
      }
    }
  }

  cancel(id: bigint): 'ending' | 'unknown' | 'already_ending' {
    const submission = this.submissions.find((each) => each.record.id === id);
    if (submission === undefined) return 'unknown';
    if (submission.ended) return 'already_ending';
    this.#end(submission, 'cancelled');
    return 'ending';
  }

  forget(id: bigint): void {
    remove(this.submissions, (submission) => submission.record.id === id);
  }

  /** `draws`: what the scheduler drew for the waits, in turn. */
  advance(nowMs: number, draws: readonly number[]): void {
    let drawn = 0;
    const due = this.held().sort((a, b) => a.expiryOrder - b.expiryOrder);
    for (const chunk of due) {
      if (chunk.submission.ended || chunk.holder === null || chunk.expiresMs > nowMs) continue;
      this.#tell('expired', chunk, chunk.holder);
      if (!chunk.holder.silentOnExpiry) chunk.barredFor.add(chunk.holder);
      chunk.retries++;
      this.#tellTries(chunk);
      if (chunk.retries >= this.#triesMax(chunk)) {
        chunk.holder = null;
        this.#end(chunk.submission, `failed at ${chunk.index}: Reservation expired`);
      } else {
        const isDrawn = isJittered(chunk.submission.record);
        this.#again(chunk, this.#backOffMs(chunk, isDrawn ? draws[drawn++] : undefined), nowMs);
      }
    }
    for (const chunk of this.#chunks()) {
      if (chunk.state === 'delayed' && chunk.dueMs <= nowMs) chunk.state = 'available';
    }
  }

  nextDeadlineMs(): number | null {
    const deadlines = this.#chunks().flatMap((chunk) =>
      chunk.state === 'reserved' ? [chunk.expiresMs] : chunk.state === 'delayed' ? [chunk.dueMs] : [],
    );
    return deadlines.length === 0 ? null : Math.min(...deadlines);
  }

  /** The chunks that may be handed out next; one, unless the strategy draws. */
  legal(consumer: ModelConsumer, strategy: Strategy): Chunk[] {
    const lowest: Chunk[] = [];
    for (const submission of this.#open()) {
      const chunk = submission.chunks.find(
        (each) => each.state === 'available' && !each.barredFor.has(consumer),
      );
      if (chunk !== undefined) lowest.push(chunk);
    }
    return this.#best(lowest, strategy);
  }

  handOut(consumer: ModelConsumer, chunk: Chunk, nowMs: number): void {
    chunk.state = 'reserved';
    chunk.holder = consumer;
    chunk.handedOut = this.#handedOut++;
    chunk.expiryOrder = chunk.handedOut;
    chunk.expiresMs = nowMs + this.#limits.reservationExpirationMs;
  }

  /** How many chunks an answer may have. */
  share(consumer: ModelConsumer): number {
    const asking = this.consumers.filter((each) => each.hasAsked).length;
    const available = this.#chunks().filter((chunk) => chunk.state === 'available').length;
    const reserved = this.held().length;
    const own = this.held().filter((chunk) => chunk.holder === consumer).length;
    if (asking <= 1) return available;
    const most = Math.min(Math.ceil(available / asking), Math.ceil((available + reserved) / asking) - own);
    return Math.max(most, 1);
  }

  inFlight(key: string, value: bigint): number {
    return this.held().filter((chunk) => chunk.submission.record.strategicMetadata.get(key) === value).length;
  }

  find(pairs: ReadonlyMap<string, bigint>, limit: number): bigint[] {
    return this.#open()
      .filter(({ record }) => [...pairs].every(([key, value]) => record.strategicMetadata.get(key) === value))
      .map(({ record }) => record.id)
      .sort((a, b) => (a < b ? -1 : 1))
      .slice(0, limit);
  }

  counts() {
    const count = (state: Chunk['state']) => this.#chunks().filter((chunk) => chunk.state === state).length;
    const backlog = this.#chunks().filter((chunk) => chunk.state !== 'done');
    return {
      submissionsOpen: this.#open().length,
      chunksAvailable: count('available'),
      chunksReserved: count('reserved'),
      chunksDelayed: count('delayed'),
      chunksInBacklog: backlog.length,
      operationsInBacklog: backlog.reduce((sum, chunk) => sum + chunk.submission.record.chunkSizeOps, 0),
      consumers: this.consumers.length,
      requestsWaiting: this.waiting.length,
    };
  }

  /** What is reserved now. */
  held(): Chunk[] {
    return this.#chunks().filter((chunk) => chunk.state === 'reserved');
  }

  #best(chunks: Chunk[], strategy: Strategy): Chunk[] {
    if (chunks.length === 0) return [];
    const ids = chunks.map((chunk) => chunk.submission.record.id).sort((a, b) => (a < b ? -1 : 1));
    switch (strategy.kind) {
      case 'oldest':
        return chunks.filter((chunk) => chunk.submission.record.id === ids[0]);
      case 'newest':
        return chunks.filter((chunk) => chunk.submission.record.id === ids.at(-1));
      case 'random':
        return chunks;
      case 'prefer_distinct': {
        const counts = chunks.map((chunk) => {
          const value = chunk.submission.record.strategicMetadata.get(strategy.metaKey);
          return value === undefined ? 0 : this.inFlight(strategy.metaKey, value);
        });
        const least = Math.min(...counts);
        return this.#best(
          chunks.filter((_, i) => counts[i] === least),
          strategy.underlying,
        );
      }
    }
  }

  #triesMax({ submission }: Chunk): number {
    return submission.record.retry?.triesMax ?? this.#limits.chunkRetriesMax;
  }

  #backOffMs({ submission, retries }: Chunk, draw = 0): number {
    const { retry, retryDelayMs } = submission.record;
    if (retry === null || retries === 0) return retries === 0 ? 0 : retryDelayMs;
    let stepMs = retry.delayMs;
    for (let i = 1; i < retries; i++) stepMs *= retry.factor;
    stepMs = Math.min(stepMs, retry.delayMsMax);
    return Math.max(retryDelayMs, stepMs * (1 - retry.jitter * draw));
  }

  #again(chunk: Chunk, delayMs: number, nowMs: number): void {
    chunk.holder = null;
    chunk.state = delayMs > 0 ? 'delayed' : 'available';
    chunk.dueMs = nowMs + delayMs;
  }

  #end(submission: ModelSubmission, how: string, gone: ModelConsumer | null = null): void {
    for (const chunk of submission.chunks) {
      if (chunk.holder !== null && chunk.holder !== gone) this.#tell('submission_ended', chunk, chunk.holder);
    }
    for (const chunk of submission.chunks) {
      for (const late of chunk.barredFor) this.#tell('submission_ended', chunk, late);
    }
    submission.ended = true;
    this.told.push(`${submission.record.id} ${how}`);
  }

  #tell(what: string, chunk: Chunk, consumer: ModelConsumer): void {
    this.told.push(`${what} ${chunk.submission.record.id}#${chunk.index} to ${consumer.name}`);
  }

  #tellTries({ submission, index, retries, disconnectsCounted }: Chunk): void {
    this.told.push(`tries of ${submission.record.id}#${index}: ${retries}, ${disconnectsCounted}`);
  }

  #openChunk(id: bigint, index: number): Chunk | undefined {
    return this.#chunks().find(
      (chunk) => chunk.submission.record.id === id && chunk.index === index && chunk.state !== 'done',
    );
  }

  #open(): ModelSubmission[] {
    return this.submissions.filter((submission) => !submission.ended);
  }

  nameOf({ submission, index }: Chunk): string {
    return `${submission.record.id}#${index}`;
  }

  /** Of open submissions. */
  #chunks(): Chunk[] {
    return this.#open().flatMap((submission) => submission.chunks);
  }
}

function isJittered({ retry }: SubmissionRecord): boolean {
  return retry !== null && retry.jitter > 0;
}

function remove<T>(list: T[], matches: (item: T) => boolean): void {
  for (let i = list.length - 1; i >= 0; i--) if (matches(list[i]!)) list.splice(i, 1);
}
