import { type Control, NO_CONTROL } from '../model/control.ts';
import { ProtocolError, SubmissionConflictError } from '../model/errors.ts';
import type { SubmissionId } from '../model/ids.ts';
import { KEPT_BYTES_MAX } from '../model/limits.ts';
import { queueField } from '../model/queue-name.ts';
import type { StrategicMetadata, SubmissionRecord } from '../model/submission.ts';
import type { InsertResult, Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock } from '../system/time/clock.ts';
import { QueueUnavailableError } from './errors.ts';
import type { QueueEvents } from './events.ts';
import type { NamedQueue } from './named-queue.ts';
import type { NamedQueues } from './named-queues.ts';
import type { Shards } from './shard/shards.ts';
import { deadlineProblem } from './verbs/changes.ts';

/** What a producer wants to insert. */
export interface NewSubmission extends Omit<SubmissionRecord, 'id'> {
  /** Inputs of a `Direct` submission, one for each chunk. */
  readonly directInputs?: readonly (Uint8Array | null)[] | undefined;
  readonly idempotencyKey?: string | undefined;
  /** What is decided of it from the beginning: its deadline, its start. Default: nothing. */
  readonly control?: Control | undefined;
}

export interface InsertsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly shards: Shards;
  readonly queues: NamedQueues;
  readonly events: QueueEvents;
  /** Bytes that may wait for their commit. */
  readonly pendingBytesMax: number;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/** Inputs that are asked of the store at once, to compare them. */
const INPUTS_AT_ONCE = 256;

/** Takes in submissions: acknowledged, and on the schedule, after their commit. */
export class Inserts {
  readonly #o: InsertsOptions;

  constructor(options: InsertsOptions) {
    this.#o = options;
  }

  /**
   * Gives the id, after the commit; for a prefix or key that was inserted before, that submission's id, whatever
   * has become of it.
   *
   * @throws DeadlinePassedError; SubmissionConflictError if that one differs; ProtocolError for what could never be written;
   *   QueueUnavailableError; TooManyQueuesError
   */
  async insert(wanted: NewSubmission): Promise<SubmissionId> {
    const { shards, clock } = this.#o;
    refuseTooLarge(wanted);
    const { deadlineMs, startAfterMs } = wanted.control ?? NO_CONTROL;
    const problem = deadlineProblem(deadlineMs, startAfterMs, clock.nowMs());
    // What was inserted in time is found again, whatever the time is now.
    if (problem !== null && !(await this.#isKnown(wanted.prefix))) throw problem;
    if (!shards.of(wanted.queue).isHealthy) {
      throw new QueueUnavailableError('the store takes nothing at the moment');
    }
    if (shards.bytesPending > this.#o.pendingBytesMax) {
      throw new QueueUnavailableError('too much waits to be written');
    }
    const queue = this.#o.queues.enter(wanted.queue);
    queue.insertsPending++;
    try {
      return await this.#insert(wanted, queue);
    } finally {
      queue.insertsPending--;
      this.#o.queues.changed(queue);
    }
  }

  async #isKnown(prefix: string | null): Promise<boolean> {
    if (prefix === null) return false;
    const [id] = await this.#o.store.idsByPrefix([prefix]);
    return (id ?? null) !== null;
  }

  async #insert(wanted: NewSubmission, queue: NamedQueue): Promise<SubmissionId> {
    const { clock } = this.#o;
    const { shard } = queue;
    const { directInputs, idempotencyKey, control = NO_CONTROL, ...fixed } = wanted;
    const nowMs = clock.nowMs();
    const id = shard.nextId(nowMs);
    const record: SubmissionRecord = { id, ...fixed };
    let result: InsertResult;
    try {
      result = await shard.journal.insert({
        kind: 'insert',
        record,
        control,
        ...(directInputs === undefined ? {} : { directInputs }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        ...(record.chunksTotal === 0 ? { end: { state: 'completed', endedAtMs: nowMs } } : {}),
      });
    } catch (cause) {
      throw new QueueUnavailableError('whether it was inserted is not known', { cause });
    }
    if (result.kind === 'exists') return this.#existing(result.submission.record, wanted);
    if (result.kind === 'gone') {
      throw new QueueUnavailableError('what was inserted before under this name has just been forgotten');
    }
    this.#inserted(record, control, directInputs, queue);
    return id;
  }

  /** The id of what was inserted before under the same prefix or key, if it is the same. */
  async #existing(before: SubmissionRecord, now: NewSubmission): Promise<SubmissionId> {
    const field = differingField(before, now) ?? (await this.#differingContents(before.id, now.directInputs));
    if (field === null) return before.id;
    const what = now.prefix === null ? 'this idempotency key' : `the prefix ${JSON.stringify(now.prefix)}`;
    throw new SubmissionConflictError(field, `${what} was inserted before, with another ${field}`);
  }

  /** `contents` if the inputs are not those of the submission, which has as many; they are kept as long as it is. */
  async #differingContents(id: SubmissionId, inputs: NewSubmission['directInputs']): Promise<string | null> {
    const { store } = this.#o;
    for (let first = 0; inputs !== undefined && first < inputs.length; ) {
      const some = inputs.slice(first, first + INPUTS_AT_ONCE);
      const before = await store.directContents(
        'input',
        some.map((_, i) => ({ submissionId: id, chunkIndex: first + i })),
      );
      if (before.every((input, i) => sameBytes(input, some[i] ?? null))) {
        first += before.length;
        continue;
      }
      // Forgotten in this moment, and its inputs with it: nobody can say any more that they differ.
      return (await store.findById(id)) === null ? null : 'contents';
    }
    return null;
  }

  #inserted(
    record: SubmissionRecord,
    control: Control,
    directInputs: NewSubmission['directInputs'],
    queue: NamedQueue,
  ): void {
    const { clock, events } = this.#o;
    const nowMs = clock.monotonicMs();
    events.publish({ kind: 'submission_inserted', record }, nowMs);
    this.#o.logger.debug(
      {
        submission: String(record.id),
        ...queueField(record.queue),
        prefix: record.prefix,
        chunksTotal: record.chunksTotal,
      },
      'submission inserted',
    );
    if (record.chunksTotal === 0) {
      const end = { state: 'completed', endedAtMs: clock.nowMs() } as const;
      events.publish({ kind: 'submission_ended', record, submission: null, end, chunksDone: 0 }, nowMs);
      return;
    }
    if (directInputs !== undefined) queue.shard.inputs.keep(record.id, directInputs);
    try {
      queue.insert(record, control);
    } catch (error) {
      this.#o.giveUp(error);
    }
  }
}

/** One mutation that the store cannot write would hold up everybody's. */
function refuseTooLarge({ metadata, directInputs = [] }: NewSubmission): void {
  refuseLarger('metadata', metadata);
  for (const [i, input] of directInputs.entries()) {
    refuseLarger(`chunk_contents.Direct.contents[${i}]`, input);
  }
}

function refuseLarger(field: string, bytes: Uint8Array | null): void {
  const length = bytes?.length ?? 0;
  if (length <= KEPT_BYTES_MAX) return;
  throw new ProtocolError(
    field,
    `${field}: ${length} bytes are more than the ${KEPT_BYTES_MAX} that are kept`,
  );
}

/** In the words of the insert request. */
function differingField(before: SubmissionRecord, now: NewSubmission): string | null {
  if (before.queue !== now.queue) return 'queue';
  if (before.prefix !== now.prefix) return 'prefix';
  if (before.chunksTotal !== now.chunksTotal) return 'count';
  if (before.chunkSizeOps !== now.chunkSizeOps) return 'chunk_size';
  if (!sameBytes(before.metadata, now.metadata)) return 'metadata';
  if (!samePairs(before.strategicMetadata, now.strategicMetadata)) return 'strategic_metadata';
  if (before.failureMode !== now.failureMode) return 'failure_mode';
  return null;
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return Buffer.compare(a, b) === 0;
}

function samePairs(a: StrategicMetadata, b: StrategicMetadata): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
