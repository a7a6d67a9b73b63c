import { type Act, SERVER_SCOPE } from '../../model/control.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { SubmissionEnd, SubmissionRecord } from '../../model/submission.ts';
import { duration, plural } from '../../protocol/api/words.ts';
import type { EventObserver, QueueEvent } from '../../queue/events.ts';
import type { ConnectedConsumer } from '../../queue/peer.ts';
import type { OpenSubmission } from '../../scheduler/types.ts';
import { clipped } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import { endInWords } from '../end-in-words.ts';
import { Ended } from './ended.ts';
import { Failures } from './failures.ts';
import { type Occurrence, Occurrences } from './occurrences.ts';
import {
  ConsumerTally,
  LongOnes,
  QueueTally,
  Regions,
  SubmissionTally,
  submissionTallyOf,
} from './tallies.ts';

/** From its so-manieth chunk on, durations of a submission are kept by place. */
const REGIONS_AFTER = 20;
/** Of all submissions together. */
const REGIONS_BYTES_MAX = 16 * 1024 * 1024;
const TEXT_CHARS_MAX = 500;
const EXPIRED = 'reservation expired';
const DISCONNECTED = 'connection lost while the chunk was running';

type Of<Kind extends QueueEvent['kind']> = Extract<QueueEvent, { kind: Kind }>;

/** Counts what happens in the queue, as it happens: each event costs the same, however much is open. */
export class Watcher implements EventObserver {
  readonly total = new QueueTally();
  readonly failures = new Failures();
  readonly occurrences = new Occurrences();
  readonly ended = new Ended();
  readonly #clock: Clock;
  readonly #queues = new Map<string, QueueTally>();
  /** The queue that something happened in last, which is likely to be the next one as well. */
  #lastQueue: { readonly name: string; readonly tally: QueueTally } | null = null;
  readonly #longOnes = new LongOnes();
  readonly #regionBytes = new Map<SubmissionId, number>();
  #regionBytesTotal = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Of one queue, '' being the unnamed one. */
  tallyOf(queue: string): QueueTally {
    if (this.#lastQueue?.name === queue) return this.#lastQueue.tally;
    let tally = this.#queues.get(queue);
    if (tally === undefined) {
      tally = new QueueTally();
      this.#queues.set(queue, tally);
    }
    this.#lastQueue = { name: queue, tally };
    return tally;
  }

  /** Those queues are in use: the others are forgotten. */
  keep(queues: ReadonlySet<string>): void {
    this.#lastQueue = null;
    for (const name of this.#queues.keys()) if (!queues.has(name)) this.#queues.delete(name);
  }

  note(event: QueueEvent, atMs: number): void {
    switch (event.kind) {
      case 'chunk_completed':
        this.#completed(event, atMs);
        break;
      case 'chunk_set_back':
        this.#setBack(event, atMs);
        break;
      case 'reservation_answered':
      case 'reservation_refused':
        break;
      case 'submission_inserted':
        this.total.inserted++;
        this.tallyOf(event.record.queue).inserted++;
        this.#ofSubmission(
          'submission_inserted',
          event.record,
          null,
          plural(event.record.chunksTotal, 'chunk'),
        );
        break;
      case 'submission_ended':
        this.#ended(event);
        break;
      case 'submission_retried':
        this.ended.forget(event.record.id);
        this.#acted('submission_retried', event.record, event.act);
        break;
      case 'submissions_forgotten':
        this.ended.forgotten(event.ids);
        break;
      case 'submission_changed':
        this.#changed(event.submission, atMs);
        this.#acted('acted', event.submission.record, event.act);
        break;
      case 'submission_begun':
        this.#changed(event.submission, atMs);
        break;
      case 'scope_changed': {
        const { scope, act } = event;
        const what = scope === SERVER_SCOPE ? 'the server' : 'the queue';
        this.#occurred('acted', {
          queue: scope === SERVER_SCOPE ? null : scope,
          by: act.by,
          text: `${textOf(act)} (${what})`,
        });
        break;
      }
      case 'consumer_connected':
        this.#ofConsumer('consumer_connected', event, '');
        break;
      case 'consumer_gone':
        this.#ofConsumer(
          'consumer_gone',
          event,
          event.manner === 'broken' ? ', its connection broke' : ', as it should',
        );
        break;
      case 'consumer_sick':
        this.#ofConsumer(
          'consumer_sick',
          event,
          `: ${plural(event.failuresInRow, 'chunk')} failed in a row while others completed theirs, it pauses for ${duration(Math.round(event.pauseMs))}`,
        );
        break;
      default:
        event satisfies never;
    }
  }

  serverStarted(version: string): void {
    this.#occurred('server_started', { text: `opsqueue ${version}` });
  }

  storeStuck(text: string): void {
    this.#occurred('store_stuck', { text });
  }

  storeRecovered(): void {
    this.#occurred('store_recovered', { text: 'the store takes batches again' });
  }

  #completed({ queue, submission, chunkIndex, tookMs, by }: Of<'chunk_completed'>, atMs: number): void {
    this.total.done++;
    this.tallyOf(queue).done++;
    const isLong = tookMs !== null && this.#longOnes.isLong(tookMs, atMs);
    if (isLong || submission.isWithheld || SubmissionTally.mustSee(submission, atMs)) {
      const tally = this.#submissionTally(submission);
      if (tally.regions === undefined && tally.done >= REGIONS_AFTER)
        this.#addRegions(submission.record, tally);
      tally.completed(chunkIndex, tookMs, isLong, atMs);
    }
    if (by !== null && (isLong || ConsumerTally.mustSee(by, atMs))) {
      this.#consumerTally(by).completed(tookMs, isLong, atMs);
    }
  }

  #setBack(event: Of<'chunk_set_back'>, atMs: number): void {
    const { submission, chunkIndex, cause, isFatal, tookMs, from, failure } = event;
    const { id, queue, prefix, strategicMetadata: metadata } = submission.record;
    const tally = this.#submissionTally(submission);
    this.total.setBack++;
    this.tallyOf(queue).setBack++;
    tally.failed(atMs);
    this.#consumerTally(from).failed(atMs);
    this.failures.add({
      atMs: this.#clock.nowMs(),
      submissionId: id,
      queue,
      prefix,
      metadata,
      chunkIndex,
      connId: from.peer.facts.connId,
      cause,
      isFatal,
      tookMs,
      text: failure ?? (cause === 'disconnected' ? DISCONNECTED : EXPIRED),
    });
  }

  #ended({ record, submission, end }: Of<'submission_ended'>): void {
    const bytes = this.#regionBytes.get(record.id);
    if (bytes !== undefined) {
      this.#regionBytes.delete(record.id);
      this.#regionBytesTotal -= bytes;
    }
    const ofQueue = this.tallyOf(record.queue);
    for (const tally of [this.total, ofQueue]) {
      if (end.state === 'cancelled') tally.cancelled++;
      else if (end.state === 'failed') tally.failed++;
      else tally.completed++;
    }
    this.ended.add(record, end, submission === null ? null : submissionTallyOf(submission));
    const by = end.state === 'cancelled' ? end.by : null;
    this.#ofSubmission('submission_ended', record, by, endText(end, record.chunksTotal));
  }

  /** Of one that has not been worked on there is no pace, and very many may be paused at once. */
  #changed(submission: OpenSubmission, atMs: number): void {
    const { tally, chunksReserved, isWithheld } = submission;
    if (tally !== null || chunksReserved > 0) this.#submissionTally(submission).standsStill(isWithheld, atMs);
  }

  #submissionTally(submission: OpenSubmission): SubmissionTally {
    const { tally } = submission;
    if (tally instanceof SubmissionTally) return tally;
    const made = new SubmissionTally(submission);
    submission.tally = made;
    return made;
  }

  #consumerTally(consumer: ConnectedConsumer): ConsumerTally {
    const { tally } = consumer;
    if (tally instanceof ConsumerTally) return tally;
    const made = new ConsumerTally(consumer);
    consumer.tally = made;
    return made;
  }

  #addRegions({ id, chunksTotal }: SubmissionRecord, tally: SubmissionTally): void {
    tally.regions = this.#regionBytesTotal < REGIONS_BYTES_MAX ? Regions.for(chunksTotal) : null;
    const bytes = tally.regions?.bytes ?? 0;
    if (bytes === 0) return;
    this.#regionBytes.set(id, bytes);
    this.#regionBytesTotal += bytes;
  }

  #acted(kind: 'acted' | 'submission_retried', record: SubmissionRecord, act: Act): void {
    this.#ofSubmission(kind, record, act.by, textOf(act));
  }

  #ofSubmission(
    kind: Occurrence['kind'],
    { id, queue }: SubmissionRecord,
    by: string | null,
    text: string,
  ): void {
    this.#occurred(kind, { queue, submissionId: id, by, text });
  }

  #ofConsumer(
    kind: Occurrence['kind'],
    { queue, consumer }: { readonly queue: string; readonly consumer: ConnectedConsumer },
    text: string,
  ): void {
    const { connId, address, client } = consumer.peer.facts;
    const who = client === null ? '' : ` (${client})`;
    this.#occurred(kind, { queue, connId, text: `${address ?? 'a consumer'}${who}${text}` });
  }

  #occurred(kind: Occurrence['kind'], what: Partial<Occurrence> & { readonly text: string }): void {
    const none = { queue: null, submissionId: null, connId: null, by: null };
    this.occurrences.add({ ...none, kind, atMs: this.#clock.nowMs(), ...what });
  }
}

function textOf({ verb, detail, reason }: Act): string {
  const what = detail === '' ? verb : `${verb} ${detail}`;
  return clipped(reason === null ? what : `${what}: ${reason}`, TEXT_CHARS_MAX);
}

function endText(end: SubmissionEnd, chunksTotal: number): string {
  const state = endInWords(end, chunksTotal);
  const why =
    'failedChunk' in end
      ? `chunk ${end.failedChunk.chunkIndex}: ${end.failedChunk.failure}`
      : end.state === 'cancelled'
        ? end.reason
        : null;
  return clipped(why === null ? state : `${state}: ${why}`, TEXT_CHARS_MAX);
}
