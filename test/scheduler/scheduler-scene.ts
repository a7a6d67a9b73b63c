import type { Strategy } from '../../src/model/strategy.ts';
import type { ChunkTries, SubmissionRecord } from '../../src/model/submission.ts';
import { Scheduler } from '../../src/scheduler/scheduler.ts';
import type {
  ConsumerHandle,
  ConsumerOptions,
  OpenSubmission,
  ReservationRequest,
  ReservedChunk,
  SchedulerEvents,
  SchedulerOptions,
  SubmissionEndCause,
  SubmissionProgress,
} from '../../src/scheduler/types.ts';
import { type Random, seededRandom } from '../../src/system/random.ts';
import { submissionRecord } from '../support/store/submissions.ts';

interface Answer {
  readonly consumer: ConsumerHandle;
  readonly request: ReservationRequest;
  readonly chunks: readonly ReservedChunk[];
}

/** A scheduler, the time, and what it has told, as short texts: chunk 3 of submission 2 is `2#3`. */
export class Scene {
  readonly scheduler: Scheduler;
  nowMs = 0;
  /** Answers to reservations since `takeAnswers`. */
  answers: Answer[] = [];
  /** All else that was told since `takeTold`, but deadlines. */
  told: string[] = [];
  readonly ends = new Map<bigint, SubmissionEndCause>();
  readonly tries = new Map<string, ChunkTries>();
  deadlinesAnnounced = 0;
  #nonce = 0;

  constructor(options: Partial<SchedulerOptions> = {}, onEvent: () => void = () => {}) {
    this.scheduler = new Scheduler(
      {
        random: seededRandom(7),
        reservationExpirationMs: 1_000,
        chunkRetriesMax: 3,
        chunkDisconnectsMax: 4,
        disconnectDelayMs: 100,
        ...options,
      },
      this.#events(onEvent),
    );
  }

  insert(
    id: number | bigint,
    fields: Partial<Omit<SubmissionRecord, 'strategicMetadata'>> & { meta?: Record<string, number> } = {},
    progress?: SubmissionProgress,
  ): OpenSubmission {
    const { meta = {}, ...rest } = fields;
    const strategicMetadata = new Map(Object.entries(meta).map(([key, value]) => [key, BigInt(value)]));
    return this.scheduler.insert(
      submissionRecord({ ...rest, id: BigInt(id), strategicMetadata }),
      this.nowMs,
      progress,
    );
  }

  consumer(name: string, options: ConsumerOptions = {}): ConsumerHandle {
    const consumer = this.scheduler.addConsumer(options);
    consumer.owner = name;
    return consumer;
  }

  /** Asks, and gives what was answered at once, such as `['1#0', '1#1']`; null if it waits. */
  reserve(consumer: ConsumerHandle, strategy: Strategy, max = 1): string[] | null {
    const before = this.answers.length;
    this.ask(consumer, strategy, max);
    const answer = this.answers[before];
    return answer === undefined ? null : answer.chunks.map(nameOf);
  }

  ask(consumer: ConsumerHandle, strategy: Strategy, max = 1): ReservationRequest {
    const request = { nonce: this.#nonce++, max, strategy };
    this.scheduler.reserve(consumer, request, this.nowMs);
    return request;
  }

  complete(consumer: ConsumerHandle | null, chunk: string): boolean {
    const [id, index] = parse(chunk);
    return this.scheduler.complete(consumer, id, index, this.nowMs);
  }

  fail(consumer: ConsumerHandle, chunk: string, failure: { retryable?: boolean; delayMs?: number } = {}) {
    const [id, index] = parse(chunk);
    return this.scheduler.fail(consumer, id, index, { text: `${chunk} went wrong`, ...failure }, this.nowMs);
  }

  release(consumer: ConsumerHandle, chunk: string): boolean {
    const [id, index] = parse(chunk);
    return this.scheduler.release(consumer, id, index, this.nowMs);
  }

  extend(consumer: ConsumerHandle, chunk: string): boolean {
    const [id, index] = parse(chunk);
    return this.scheduler.extend(consumer, id, index, this.nowMs);
  }

  remove(consumer: ConsumerHandle, manner: 'orderly' | 'broken'): void {
    this.scheduler.removeConsumer(consumer, manner, this.nowMs);
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.scheduler.advance(this.nowMs);
  }

  /** The answers since the last call, such as `['A: 1#0 1#1']`. */
  takeAnswers(): string[] {
    const answers = this.answers.map(
      ({ consumer, chunks }) => `${consumer.owner}: ${chunks.map(nameOf).join(' ')}`,
    );
    this.answers = [];
    return answers;
  }

  takeTold(): string[] {
    const { told } = this;
    this.told = [];
    return told;
  }

  #events(onEvent: () => void): SchedulerEvents {
    const tell = (text: string) => {
      this.told.push(text);
      onEvent();
    };
    return {
      reserved: (consumer, request, chunks) => {
        this.answers.push({ consumer, request, chunks });
        onEvent();
      },
      expired: (consumer, { record }, index) => tell(`expired ${record.id}#${index} to ${consumer.owner}`),
      dropped: (consumer, { record }, index, reason) =>
        tell(`${reason} ${record.id}#${index} to ${consumer.owner}`),
      pageChanged: ({ record }) => tell(`page of ${record.id}`),
      triesChanged: ({ record }, index, tries) => {
        this.tries.set(`${record.id}#${index}`, tries);
        tell(`tries of ${record.id}#${index}: ${tries.retries}, ${tries.disconnects}`);
      },
      ending: ({ record }, end) => {
        this.ends.set(record.id, end);
        const how = end.state === 'failed' ? `failed at ${end.chunkIndex}: ${end.failure}` : end.state;
        tell(`${record.id} ${how}`);
      },
      sick: (consumer, { pauseMs }) => tell(`${consumer.owner} is sick: ${pauseMs}`),
      recovered: (consumer) => tell(`${consumer.owner} recovers`),
      deadlineChanged: () => {
        this.deadlinesAnnounced++;
        onEvent();
      },
    };
  }
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

export function nameOf({ submission, chunkIndex }: ReservedChunk): string {
  return `${submission.record.id}#${chunkIndex}`;
}

function parse(chunk: string): [bigint, number] {
  const [id, index] = chunk.split('#');
  return [BigInt(id!), Number(index)];
}
