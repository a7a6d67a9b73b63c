import type { SubmissionId } from '../../model/ids.ts';
import type { StrategicMetadata, SubmissionEnd, SubmissionRecord } from '../../model/submission.ts';
import { bounded } from '../../model/thrown.ts';
import { Ring } from './ring.ts';
import type { Durations, SubmissionTally } from './tallies.ts';

/** What was counted of a submission while it was open, since the start. */
export interface EndedFigures {
  readonly setBack: number;
  readonly durationsMs: Durations | null;
}

/** A submission that has ended with chunks that failed. */
export interface FailedEnd {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly id: SubmissionId;
  readonly queue: string;
  readonly prefix: string | null;
  /** The first pairs of it. */
  readonly metadata: StrategicMetadata;
  readonly state: 'failed' | 'completed_with_failures';
  readonly chunksFailed: number;
  readonly chunksTotal: number;
  /** The chunk that it failed by, or the first one that failed, and what its consumer said. */
  readonly chunkIndex: number;
  readonly cause: 'failed';
  readonly text: string;
  /** The store has it no more: of it is known what is told here. */
  isForgotten: boolean;
}

/** Of those that ended smoothly, and of those of which tries failed, so that many of the former leave the latter alone. */
const FIGURES_MAX = 2_000;
const FAILED_MAX = 500;
/** What a person finds in the morning. */
const FAILED_KEPT_MS = 12 * 3_600_000;
const TEXT_CHARS_MAX = 2_048;
const PAIRS_MAX = 16;

const NOTHING: EndedFigures = { setBack: 0, durationsMs: null };

/** Submissions that ended of late: what the store does not keep of them, and those that failed. */
export class Ended {
  readonly #smooth = new Latest<EndedFigures>(FIGURES_MAX);
  readonly #troubled = new Latest<EndedFigures>(FIGURES_MAX);
  readonly #failed = new Latest<FailedEnd>(FAILED_MAX);
  /** When the latest one that was forgotten for lack of room had failed. */
  #cutAtMs = Number.NEGATIVE_INFINITY;

  add(record: SubmissionRecord, end: SubmissionEnd, tally: SubmissionTally | null): void {
    const { id } = record;
    const figures = tally === null ? NOTHING : { setBack: tally.setBack, durationsMs: tally.durationsMs };
    (figures.setBack === 0 ? this.#smooth : this.#troubled).add(id, figures);
    if (!('failedChunk' in end)) return;
    const { state, endedAtMs, chunksDone, failedChunk } = end;
    const gone = this.#failed.add(id, {
      atMs: endedAtMs,
      id,
      queue: record.queue,
      prefix: record.prefix,
      metadata: new Map([...record.strategicMetadata].slice(0, PAIRS_MAX)),
      state,
      chunksFailed: state === 'failed' ? 1 : record.chunksTotal - chunksDone,
      chunksTotal: record.chunksTotal,
      chunkIndex: failedChunk.chunkIndex,
      cause: 'failed',
      text: bounded(failedChunk.failure, TEXT_CHARS_MAX),
      isForgotten: false,
    });
    if (gone !== undefined) this.#cutAtMs = gone.atMs;
  }

  /** It is open again. */
  forget(id: SubmissionId): void {
    for (const each of [this.#smooth, this.#troubled, this.#failed]) each.forget(id);
  }

  /** The store has them no more. */
  forgotten(ids: readonly SubmissionId[]): void {
    for (const id of ids) {
      const end = this.#failed.get(id);
      if (end !== undefined) end.isForgotten = true;
    }
  }

  /** Those queues are another node's from now on, and what failed may be done there. */
  leave(isOneOf: (queue: string) => boolean): void {
    for (const { id, queue } of this.#failed.all()) if (isOneOf(queue)) this.#failed.forget(id);
  }

  /** null: they are not kept, or not any more. */
  figuresOf(id: SubmissionId): EndedFigures | null {
    return this.#troubled.get(id) ?? this.#smooth.get(id) ?? null;
  }

  hasFailed(id: SubmissionId): boolean {
    return this.#failed.get(id) !== undefined;
  }

  /** Those that failed in the last hours, the oldest first, and whether there were more of them. */
  failed(nowMs: number): { readonly ends: readonly FailedEnd[]; readonly areCut: boolean } {
    const sinceMs = nowMs - FAILED_KEPT_MS;
    const ends = this.#failed.all().filter(({ atMs }) => atMs >= sinceMs);
    return { ends, areCut: this.#cutAtMs >= sinceMs };
  }
}

interface Entry<T> {
  readonly id: SubmissionId;
  readonly item: T;
}

/** Of the last so many, those that were not forgotten since. */
class Latest<T> {
  /** All, in their order: the oldest entry of a map is found only past those that were deleted before it. */
  readonly #ring: Ring<Entry<T>>;
  readonly #entries = new Map<SubmissionId, Entry<T>>();

  constructor(max: number) {
    this.#ring = new Ring(max);
  }

  get(id: SubmissionId): T | undefined {
    return this.#entries.get(id)?.item;
  }

  all(): T[] {
    return Array.from(this.#entries.values(), ({ item }) => item);
  }

  /** Returns what made room. */
  add(id: SubmissionId, item: T): T | undefined {
    const entry = { id, item };
    const gone = this.#ring.push(entry);
    const isGone = gone !== undefined && this.#entries.get(gone.id) === gone;
    if (isGone) this.#entries.delete(gone.id);
    this.#entries.set(id, entry);
    return isGone ? gone.item : undefined;
  }

  forget(id: SubmissionId): void {
    this.#entries.delete(id);
  }
}
