import assert from 'node:assert/strict';
import { type Control, NO_CONTROL } from '../../src/model/control.ts';
import type { Strategy } from '../../src/model/strategy.ts';
import type { ChunkTries, SubmissionRecord } from '../../src/model/submission.ts';
import type { Effect, SubmissionEndCause } from '../../src/scheduler/effects.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';
import type {
  ConsumerHandle,
  ConsumerOptions,
  ControlAt,
  HandedOutChunk,
  OpenSubmission,
  ReservationRequest,
  SchedulerOptions,
  SubmissionProgress,
} from '../../src/scheduler/types.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { type Random, seededRandom } from '../../src/system/random.ts';

/** What the wall clock shows when a scene begins. */
export const UNIX_ZERO_MS = 1_000_000;

/** Somebody's pause. */
export const PAUSED: Pick<Control, 'pauses'> = {
  pauses: [{ cause: 'manual', by: 'ann@host', reason: null, sinceMs: 0 }],
};

/** Consumers go by their names. */
export type NamedConsumer = ConsumerHandle<string>;

interface Answer {
  readonly consumer: NamedConsumer;
  readonly request: ReservationRequest;
  readonly chunks: readonly HandedOutChunk[];
}

/** A scheduler, the time, and what followed from its calls, as short texts: chunk 3 of submission 2 is `2#3`. */
export class Scene {
  readonly scheduler: Scheduler<string>;
  nowMs = 0;
  #answers: Answer[] = [];
  #told: string[] = [];
  readonly #ends = new Map<bigint, SubmissionEndCause>();
  readonly #tries = new Map<string, ChunkTries>();
  #deadlinesAnnounced = 0;
  /** What a caller's timer is set for. */
  #timerMs: number | null = null;
  #nonce = 0;

  constructor(options: Partial<SchedulerOptions> = {}) {
    this.scheduler = new Scheduler({
      random: seededRandom(7),
      reservationExpirationMs: 1_000,
      chunkRetriesMax: 3,
      chunkDisconnectsMax: 4,
      disconnectDelayMs: 100,
      ...options,
    });
  }

  /** Answers to reservations since `takeAnswers`. */
  get answers(): readonly Answer[] {
    this.#drain();
    return this.#answers;
  }

  get ends(): ReadonlyMap<bigint, SubmissionEndCause> {
    this.#drain();
    return this.#ends;
  }

  get tries(): ReadonlyMap<string, ChunkTries> {
    this.#drain();
    return this.#tries;
  }

  get deadlinesAnnounced(): number {
    this.#drain();
    return this.#deadlinesAnnounced;
  }

  insert(
    id: number | bigint,
    fields: Partial<Omit<SubmissionRecord, 'strategicMetadata'>> & { meta?: Record<string, number> } = {},
    progress?: SubmissionProgress,
    control?: Partial<Control>,
  ): OpenSubmission {
    const { meta = {}, ...rest } = fields;
    const strategicMetadata = new Map(Object.entries(meta).map(([key, value]) => [key, BigInt(value)]));
    return this.scheduler.insert(
      submissionRecord({ ...rest, id: BigInt(id), strategicMetadata }),
      this.nowMs,
      progress,
      control && this.#at(control),
    );
  }

  /** Times of the control are those of the scene. */
  control(id: number | bigint, control: Partial<Control>): boolean {
    return this.scheduler.control(BigInt(id), this.#at(control), this.nowMs);
  }

  consumer(name: string, options: ConsumerOptions = {}): NamedConsumer {
    return this.scheduler.addConsumer(name, options);
  }

  /** Asks, and gives what was answered at once, such as `['1#0', '1#1']`; null if it waits. */
  reserve(consumer: NamedConsumer, strategy: Strategy, max = 1): string[] | null {
    const before = this.answers.length;
    this.ask(consumer, strategy, max);
    const answer = this.answers[before];
    return answer === undefined ? null : answer.chunks.map(nameOf);
  }

  ask(consumer: NamedConsumer, strategy: Strategy, max = 1): ReservationRequest {
    const request = { nonce: this.#nonce++, max, strategy };
    this.scheduler.reserve(consumer, request, this.nowMs);
    return request;
  }

  complete(consumer: NamedConsumer | null, chunk: string): boolean {
    const [id, index] = parse(chunk);
    return this.scheduler.complete(consumer, id, index, this.nowMs);
  }

  fail(consumer: NamedConsumer, chunk: string, failure: { retryable?: boolean; delayMs?: number } = {}) {
    const [id, index] = parse(chunk);
    return this.scheduler.fail(consumer, id, index, { text: `${chunk} went wrong`, ...failure }, this.nowMs);
  }

  release(consumer: NamedConsumer, chunk: string): boolean {
    const [id, index] = parse(chunk);
    return this.scheduler.release(consumer, id, index, this.nowMs);
  }

  extend(consumer: NamedConsumer, chunk: string): boolean {
    const [id, index] = parse(chunk);
    return this.scheduler.extend(consumer, id, index, this.nowMs);
  }

  remove(consumer: NamedConsumer, manner: 'orderly' | 'broken'): void {
    this.scheduler.removeConsumer(consumer, manner, this.nowMs);
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.scheduler.advance(this.nowMs);
  }

  /** The answers since the last call, such as `['A: 1#0 1#1']`. */
  takeAnswers(): string[] {
    const answers = this.answers.map(
      ({ consumer, chunks }) => `${consumer.peer}: ${chunks.map(nameOf).join(' ')}`,
    );
    this.#answers = [];
    return answers;
  }

  /** All else since the last call, but deadlines. */
  takeTold(): string[] {
    this.#drain();
    const told = this.#told;
    this.#told = [];
    return told;
  }

  #at({ startAfterMs = null, deadlineMs = null, ...others }: Partial<Control>): ControlAt {
    const unix = (ms: number | null) => (ms === null ? null : ms + UNIX_ZERO_MS);
    const control = {
      ...NO_CONTROL,
      ...others,
      startAfterMs: unix(startAfterMs),
      deadlineMs: unix(deadlineMs),
    };
    return { control, unixMs: this.nowMs + UNIX_ZERO_MS };
  }

  #drain(): void {
    const { effects } = this.scheduler;
    for (let i = 0; i < effects.length; i++) this.#note(effects.at(i));
    effects.clear();
    const dueMs = this.scheduler.nextDeadlineMs();
    const timerMs = this.#timerMs ?? Number.POSITIVE_INFINITY;
    assert.ok(dueMs === null || timerMs <= dueMs, `no timer for what is due at ${dueMs}, but at ${timerMs}`);
  }

  #note(effect: Effect<string>): void {
    switch (effect.kind) {
      case 'reserved':
        this.#answers.push(effect);
        break;
      case 'completed':
        this.#told.push(`page of ${effect.submission.record.id}`);
        if (effect.hadFailed) this.#told.push(`${nameOf(effect)} is not set aside any more`);
        break;
      case 'set_back': {
        const { cause, consumer, tries } = effect;
        const chunk = nameOf(effect);
        this.#tries.set(chunk, tries);
        if (cause === 'expired') this.#told.push(`expired ${chunk} to ${consumer.peer}`);
        this.#told.push(`tries of ${chunk}: ${tries.retries}, ${tries.disconnects}`);
        if (effect.submission.failed?.has(effect.chunkIndex))
          this.#told.push(`${chunk} set aside: ${effect.fatal}`);
        break;
      }
      case 'retried':
        this.#told.push(`retry of ${effect.submission.record.id}`);
        break;
      case 'begun':
        this.#told.push(`${effect.submission.record.id} begins`);
        break;
      case 'dropped':
        this.#told.push(`${effect.reason} ${nameOf(effect)} to ${effect.consumer.peer}`);
        break;
      case 'ending': {
        const { submission, cause } = effect;
        this.#ends.set(submission.record.id, cause);
        this.#told.push(`${submission.record.id} ${howItEnds(cause)}`);
        break;
      }
      case 'sick':
        this.#told.push(`${effect.consumer.peer} is sick: ${effect.pauseMs}`);
        break;
      case 'recovered':
        this.#told.push(`${effect.consumer.peer} recovers`);
        break;
      case 'deadline_changed':
        this.#deadlinesAnnounced++;
        this.#timerMs = this.scheduler.deadlineForTimer();
        break;
      default:
        effect satisfies never;
    }
  }
}

function howItEnds(cause: SubmissionEndCause): string {
  if (cause.state === 'failed') return `failed at ${cause.chunkIndex}: ${cause.failure}`;
  if (cause.state === 'cancelled' && cause.reason !== null) return `cancelled: ${cause.reason}`;
  return cause.state;
}

/** A random source that keeps what it gave. */
export function recordedRandom(seed: number): Random & { readonly draws: number[] } {
  const random = seededRandom(seed);
  const draws: number[] = [];
  return {
    draws,
    next() {
      const draw = random.next();
      draws.push(draw);
      return draw;
    },
  };
}

export function nameOf({
  submission,
  chunkIndex,
}: Pick<HandedOutChunk, 'submission' | 'chunkIndex'>): string {
  return `${submission.record.id}#${chunkIndex}`;
}

function parse(chunk: string): [bigint, number] {
  const [id, index] = chunk.split('#');
  return [BigInt(id!), Number(index)];
}
