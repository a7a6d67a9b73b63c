import type { Strategy } from '../../src/model/strategy.ts';
import type { SubmissionRecord } from '../../src/model/submission.ts';

/** The rules that the model and the scheduler are told. */
export interface ModelLimits {
  readonly reservationExpirationMs: number;
  readonly chunkRetriesMax: number;
  readonly chunkDisconnectsMax: number;
  readonly disconnectDelayMs: number;
  readonly disconnectFadesAfterMs: number;
  readonly anotherFirstMs: number;
  readonly sickAfterFailures: number;
  readonly sickPauseMs: number;
}

export interface ModelConsumer {
  readonly name: string;
  readonly concurrency: number;
  readonly silentOnExpiry: boolean;
  hasAsked: boolean;
  failuresInRow: number;
  /** The completions of all when it was paused last, or failed its first chunk in a row. */
  completionsSeen: number;
  pauses: number;
  pausedUntilMs: number | null;
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
  state: 'available' | 'reserved' | 'delayed' | 'failed' | 'done';
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
  /** Another one is to have it first, until then. */
  readonly failedOn: Set<ModelConsumer>;
  anotherUntilMs: number;
}

/** What a verb leaves behind; times on the scheduler's clock. */
export interface ModelControl {
  readonly isPaused: boolean;
  readonly startMs: number | null;
  readonly deadlineMs: number | null;
  readonly meta: ReadonlyMap<string, bigint> | null;
}

interface ModelSubmission {
  record: SubmissionRecord;
  readonly inserted: ReadonlyMap<string, bigint>;
  control: ModelControl;
  /** It has still to wait for its start. */
  isEarly: boolean;
  readonly chunks: Chunk[];
  ended: boolean;
}

/** Chunks of a submission before a restart. */
export interface ModelProgress {
  readonly done: readonly number[];
  /** They failed once. */
  readonly failed: readonly number[];
  /** They were out of tries. */
  readonly setAside: readonly number[];
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
  isPaused = false;
  readonly #limits: ModelLimits;
  #handedOut = 0;
  #completions = 0;

  constructor(limits: ModelLimits) {
    this.#limits = limits;
  }

  insert(
    record: SubmissionRecord,
    { done, failed, setAside }: ModelProgress,
    nowMs: number,
    draws: readonly number[],
    control: ModelControl,
  ): void {
    let drawn = 0;
    const inserted = record.strategicMetadata;
    const submission: ModelSubmission = {
      record,
      inserted,
      control: UNTOUCHED,
      isEarly: false,
      chunks: [],
      ended: false,
    };
    for (let index = 0; index < record.chunksTotal; index++) {
      submission.chunks.push({
        submission,
        index,
        state: done.includes(index) ? 'done' : setAside.includes(index) ? 'failed' : 'available',
        holder: null,
        handedOut: 0,
        expiryOrder: 0,
        expiresMs: 0,
        dueMs: 0,
        retries: failed.includes(index) ? 1 : 0,
        disconnects: [],
        disconnectsCounted: 0,
        barredFor: new Set(),
        failedOn: new Set(),
        anotherUntilMs: 0,
      });
    }
    this.submissions.push(submission);
    for (const chunk of submission.chunks) {
      if (chunk.retries === 0 || chunk.state !== 'available') continue;
      this.#again(chunk, this.#backOffMs(chunk, isJittered(record) ? draws[drawn++] : undefined), nowMs);
    }
    this.#endIfSettled(submission);
    if (!submission.ended) this.#change(submission, control, nowMs);
  }

  control(id: bigint, control: ModelControl, nowMs: number): boolean {
    const submission = this.#open().find((each) => each.record.id === id);
    if (submission === undefined) return false;
    this.#change(submission, control, nowMs);
    return true;
  }

  complete(consumer: ModelConsumer | null, id: bigint, index: number): boolean {
    const chunk = this.#openChunk(id, index);
    if (chunk === undefined) return false;
    if (chunk.holder !== null && chunk.holder !== consumer)
      this.#tell('completed_elsewhere', chunk, chunk.holder);
    const hadFailed = chunk.state === 'failed';
    chunk.state = 'done';
    chunk.holder = null;
    for (const late of chunk.barredFor) if (late !== consumer) this.#tell('completed_elsewhere', chunk, late);
    chunk.barredFor.clear();
    chunk.failedOn.clear();
    this.#completions++;
    if (consumer !== null) this.#succeeded(consumer);
    this.told.push(`page of ${id}`);
    if (hadFailed) this.told.push(`${this.nameOf(chunk)} is not set aside any more`);
    this.#endIfSettled(chunk.submission);
    return true;
  }

  fail(
    consumer: ModelConsumer,
    id: bigint,
    index: number,
    failure: { text: string; retryable: boolean; delayMs: number },
    nowMs: number,
    draws: readonly number[],
  ): 'stale' | 'retry' | 'set_aside' | 'failed' {
    const chunk = this.#openChunk(id, index);
    if (chunk === undefined) return 'stale';
    if (chunk.holder !== consumer) {
      chunk.barredFor.delete(consumer);
      return 'stale';
    }
    const isFatal = !failure.retryable || chunk.retries + 1 >= this.#triesMax(chunk);
    this.#triedInVain(chunk, isFatal ? failure.text : null, failure.delayMs, nowMs, draws[0]);
    if (!isFatal) return 'retry';
    return chunk.submission.record.failureMode === 'collect' ? 'set_aside' : 'failed';
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
        this.#outOfTries(chunk, 'The connection of the consumer broke while the chunk was running', consumer);
      } else {
        this.#again(chunk, delayMs, nowMs);
      }
    }
    for (const chunk of this.#chunks()) chunk.failedOn.delete(consumer);
    if (this.consumers.every(({ pauses }) => pauses > 0)) {
      for (const each of this.consumers) each.pausedUntilMs = null;
    }
    this.#forgetWhereNobodyIsLeft(this.#chunks());
  }

  /** How many chunks were set aside; null if there is no such open submission. */
  retry(id: bigint): number | null {
    const submission = this.#open().find((each) => each.record.id === id);
    if (submission === undefined) return null;
    const failed = submission.chunks.filter((chunk) => chunk.state === 'failed');
    if (failed.length === 0) return 0;
    for (const chunk of failed) chunk.state = 'available';
    for (const chunk of submission.chunks) {
      chunk.retries = 0;
      chunk.disconnects = [];
      chunk.disconnectsCounted = 0;
    }
    this.told.push(`retry of ${id}`);
    return failed.length;
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
    for (const submission of this.#open()) {
      const wasWithheld = isWithheld(submission);
      this.#settle(submission, nowMs);
      if (wasWithheld && !isWithheld(submission) && !submission.ended)
        this.told.push(`${submission.record.id} begins`);
    }
    const due = this.held().sort((a, b) => a.expiryOrder - b.expiryOrder);
    for (const chunk of due) {
      if (chunk.submission.ended || chunk.holder === null || chunk.expiresMs > nowMs) continue;
      this.#tell('expired', chunk, chunk.holder);
      if (!chunk.holder.silentOnExpiry) chunk.barredFor.add(chunk.holder);
      const isFatal = chunk.retries + 1 >= this.#triesMax(chunk);
      const isDrawn = !isFatal && isJittered(chunk.submission.record);
      this.#triedInVain(
        chunk,
        isFatal ? 'Reservation expired' : null,
        0,
        nowMs,
        isDrawn ? draws[drawn++] : 0,
      );
    }
    for (const chunk of this.#chunks()) {
      if (chunk.state === 'delayed' && chunk.dueMs <= nowMs) chunk.state = 'available';
      if (chunk.anotherUntilMs <= nowMs) chunk.failedOn.clear();
    }
    for (const consumer of this.consumers) {
      if (consumer.pausedUntilMs !== null && consumer.pausedUntilMs <= nowMs) consumer.pausedUntilMs = null;
    }
  }

  nextDeadlineMs(nowMs: number): number | null {
    const deadlines = this.#chunks().flatMap((chunk) =>
      chunk.state === 'reserved' ? [chunk.expiresMs] : chunk.state === 'delayed' ? [chunk.dueMs] : [],
    );
    for (const chunk of this.#chunks()) if (chunk.failedOn.size > 0) deadlines.push(chunk.anotherUntilMs);
    for (const { pausedUntilMs } of this.consumers) if (pausedUntilMs !== null) deadlines.push(pausedUntilMs);
    for (const { isEarly, control } of this.#open()) {
      // The wall clock, by which these go, is looked at once a minute.
      if (isEarly) deadlines.push(control.startMs!, nowMs + 60_000);
      if (control.deadlineMs !== null) deadlines.push(control.deadlineMs, nowMs + 60_000);
    }
    return deadlines.length === 0 ? null : Math.min(...deadlines);
  }

  /** The chunks that may be handed out next; one, unless the strategy draws. */
  legal(consumer: ModelConsumer, strategy: Strategy): Chunk[] {
    const lowest: Chunk[] = [];
    const holdsSome = this.held().some(({ holder }) => holder === consumer);
    if (consumer.pausedUntilMs !== null || (consumer.pauses > 0 && holdsSome)) return [];
    for (const submission of this.#open()) {
      if (isWithheld(submission)) continue;
      const chunk = submission.chunks.find(
        (each) => each.state === 'available' && !each.barredFor.has(consumer) && !each.failedOn.has(consumer),
      );
      if (chunk !== undefined) lowest.push(chunk);
    }
    for (const alternative of alternativesOf(strategy)) {
      const qualified = lowest.filter((chunk) => this.#qualifies(chunk, alternative));
      if (qualified.length > 0) return this.#best(qualified, alternative);
    }
    return [];
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
    const { chunksAvailable: available } = this.counts();
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
    const paused = this.#chunks().filter(
      (chunk) => chunk.state === 'available' && isWithheld(chunk.submission),
    );
    const backlog = this.#chunks().filter((chunk) => chunk.state !== 'done' && chunk.state !== 'failed');
    return {
      submissionsOpen: this.#open().length,
      submissionsPaused: this.#open().filter(isWithheld).length,
      chunksAvailable: count('available') - paused.length,
      chunksPaused: paused.length,
      chunksReserved: count('reserved'),
      chunksDelayed: count('delayed'),
      chunksFailed: count('failed'),
      chunksInBacklog: backlog.length,
      operationsInBacklog: backlog.reduce((sum, chunk) => sum + chunk.submission.record.chunkSizeOps, 0),
      consumers: this.consumers.length,
      consumersSick: this.consumers.filter(({ pauses }) => pauses > 0).length,
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
      case 'priority': {
        const values = chunks.map((chunk) => metaValueOf(chunk, strategy.metaKey) ?? 0n);
        const highest = [...values].sort((a, b) => (a < b ? 1 : -1))[0];
        return this.#best(
          chunks.filter((_, i) => values[i] === highest),
          strategy.underlying,
        );
      }
      case 'or_else':
        throw new Error('it is asked for its alternatives');
      default:
        return this.#best(chunks, strategy.underlying);
    }
  }

  /** Whether what selects and what limits in the strategy, wherever it stands, lets the chunk pass. */
  #qualifies(chunk: Chunk, strategy: Strategy): boolean {
    if (!('underlying' in strategy)) return true;
    if (!this.#qualifies(chunk, strategy.underlying)) return false;
    const value = metaValueOf(chunk, strategy.metaKey);
    switch (strategy.kind) {
      case 'select_only':
        return value !== undefined && strategy.values.includes(value);
      case 'select_except':
        return value === undefined || !strategy.values.includes(value);
      case 'max_simultaneous':
        return value === undefined || this.inFlight(strategy.metaKey, value) < strategy.max;
      default:
        return true;
    }
  }

  #change(submission: ModelSubmission, control: ModelControl, nowMs: number): void {
    submission.control = control;
    submission.record = { ...submission.record, strategicMetadata: control.meta ?? submission.inserted };
    this.#settle(submission, nowMs);
  }

  #settle(submission: ModelSubmission, nowMs: number): void {
    const { startMs, deadlineMs } = submission.control;
    if (deadlineMs !== null && deadlineMs <= nowMs) this.#end(submission, 'cancelled: its deadline passed');
    submission.isEarly = startMs !== null && startMs > nowMs;
  }

  /** A failure or an expiry; `fatal`: the submission fails with it. */
  #triedInVain(chunk: Chunk, fatal: string | null, askedMs: number, nowMs: number, draw?: number): void {
    const by = chunk.holder!;
    const { record } = chunk.submission;
    const pauseMs = this.#failedAgain(by, nowMs);
    chunk.retries++;
    this.#tellTries(chunk);
    if (fatal === null) {
      const waitMs = Math.max(askedMs, this.#backOffMs(chunk, draw));
      chunk.failedOn.add(by);
      chunk.anotherUntilMs = nowMs + waitMs + this.#limits.anotherFirstMs;
      this.#forgetWhereNobodyIsLeft([chunk]);
      const isAtOnce = chunk.failedOn.size > 0 && chunk.retries === 1 && record.retry !== null;
      this.#again(chunk, isAtOnce ? Math.max(askedMs, record.retryDelayMs) : waitMs, nowMs);
    } else {
      this.#outOfTries(chunk, fatal);
    }
    if (pauseMs === 0) return;
    this.#forgetWhereNobodyIsLeft(this.#chunks());
    this.told.push(`${by.name} is sick: ${pauseMs}`);
  }

  #outOfTries(chunk: Chunk, text: string, gone?: ModelConsumer): void {
    chunk.holder = null;
    if (chunk.submission.record.failureMode === 'fail') {
      this.#end(chunk.submission, `failed at ${chunk.index}: ${text}`, gone);
      return;
    }
    chunk.state = 'failed';
    chunk.failedOn.clear();
    this.told.push(`${this.nameOf(chunk)} set aside: ${text}`);
    this.#endIfSettled(chunk.submission);
  }

  #endIfSettled(submission: ModelSubmission): void {
    if (submission.chunks.every((chunk) => chunk.state === 'done')) this.#end(submission, 'completed');
    else if (submission.chunks.every(({ state }) => state === 'done' || state === 'failed')) {
      this.#end(submission, 'completed_with_failures');
    }
  }

  #failedAgain(consumer: ModelConsumer, nowMs: number): number {
    consumer.failuresInRow++;
    if (consumer.failuresInRow === 1) consumer.completionsSeen = this.#completions;
    const othersCompleted = this.#completions - consumer.completionsSeen;
    const othersWell = this.consumers.filter((each) => each !== consumer && each.pauses === 0).length;
    const { sickAfterFailures, sickPauseMs } = this.#limits;
    if (consumer.failuresInRow < sickAfterFailures || consumer.pausedUntilMs !== null) return 0;
    if (othersCompleted === 0 || othersWell === 0) return 0;
    consumer.completionsSeen = this.#completions;
    const pauseMs = Math.min(sickPauseMs * 2 ** consumer.pauses, 60_000);
    consumer.pauses++;
    consumer.pausedUntilMs = nowMs + pauseMs;
    return pauseMs;
  }

  #succeeded(consumer: ModelConsumer): void {
    if (consumer.pauses > 0) this.told.push(`${consumer.name} recovers`);
    consumer.failuresInRow = 0;
    consumer.pauses = 0;
    consumer.pausedUntilMs = null;
  }

  /** Another one: who is well, and holds chunks or waits for some. */
  #forgetWhereNobodyIsLeft(chunks: readonly Chunk[]): void {
    const held = this.held();
    for (const { failedOn } of chunks) {
      const isAnother = (each: ModelConsumer) =>
        !failedOn.has(each) &&
        each.pauses === 0 &&
        (held.some(({ holder }) => holder === each) ||
          this.waiting.some(({ consumer }) => consumer === each));
      if (!this.consumers.some(isAnother)) failedOn.clear();
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

function metaValueOf({ submission }: Chunk, metaKey: string): bigint | undefined {
  return submission.record.strategicMetadata.get(metaKey);
}

/** Without `OrElse`: what stands around it holds for both of its sides. */
function alternativesOf(strategy: Strategy): Strategy[] {
  if (strategy.kind === 'or_else')
    return [...alternativesOf(strategy.first), ...alternativesOf(strategy.fallback)];
  if (!('underlying' in strategy)) return [strategy];
  return alternativesOf(strategy.underlying).map((underlying) => ({ ...strategy, underlying }));
}

/** No verb has touched it. */
export const UNTOUCHED: ModelControl = { isPaused: false, startMs: null, deadlineMs: null, meta: null };

function isWithheld({ isEarly, control }: ModelSubmission): boolean {
  return isEarly || control.isPaused;
}

function isJittered({ retry }: SubmissionRecord): boolean {
  return retry !== null && retry.jitter > 0;
}

function remove<T>(list: T[], matches: (item: T) => boolean): void {
  for (let i = list.length - 1; i >= 0; i--) if (matches(list[i]!)) list.splice(i, 1);
}
